//! Where MAX keeps compiled models, and whether a start took its own from there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mxfp4_env::Context;

/// The variable that MAX reads.
pub const VARIABLE: &str = "MODULAR_CACHE_DIR";

/// Below the cache's folder: a folder for each version, a file for each compiled graph. Good for the machine alone.
const MODELS: &str = ".max_cache/mof/mef";

/// Below the cache's folder: a file for each graph that `mxfp4 warm` compiled. Good for any machine.
const GRAPHS: &str = "graphs";

/// How a file's name ends there; while it is written it ends otherwise.
const GRAPH: &str = "mef";

/// What MAX says when the model is compiled and loaded; the sampler comes later.
const LOADED: &str = "compiling, and initializing model took";

/// A compile cache, and what was in it when this was made.
#[derive(Debug)]
pub struct CompileCache {
    folder: PathBuf,
    before: BTreeSet<PathBuf>,
}

impl CompileCache {
    /// The cache that MAX will use: the user's own, or the workspace's. Without one, MAX would compile for minutes at
    /// every start where its own place is not writable.
    pub fn of(context: &Context) -> Self {
        let folder = context.ambient.get_nonempty(VARIABLE).map_or_else(
            || context.workspace.state_dir().join("cache"),
            PathBuf::from,
        );
        Self::at(&context.cwd.join(folder))
    }

    fn at(folder: &Path) -> Self {
        Self {
            before: compiled(folder),
            folder: folder.to_owned(),
        }
    }

    /// The cache's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of the graphs that can be carried to another machine.
    pub fn graphs(&self) -> PathBuf {
        self.folder.join(GRAPHS)
    }

    /// Whether something was compiled since.
    pub fn has_grown(&self) -> bool {
        !compiled(&self.folder).is_subset(&self.before)
    }

    /// What a line of MAX's log tells about where the model came from.
    pub fn news(&self, line: &str) -> Option<String> {
        if !line.contains(LOADED) {
            return None;
        }
        let folder = self.folder.display();
        Some(match self.has_grown() {
            true => format!("the model was compiled anew; the next start takes it from {folder}"),
            false => format!("the compiled model came from {folder}"),
        })
    }
}

/// The files of compiled graphs. A folder that cannot be read holds none.
fn compiled(folder: &Path) -> BTreeSet<PathBuf> {
    let files = |folder: PathBuf| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path())
    };
    let graphs = files(folder.join(GRAPHS)).filter(|path| is_graph(path));
    graphs
        .chain(files(folder.join(MODELS)).flat_map(files))
        .collect()
}

/// Whether a file among the graphs is one, and whole.
pub fn is_graph(path: &Path) -> bool {
    path.extension() == Some(GRAPH.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "20:17:43 INFO: Building, compiling, and initializing model took 8.7 seconds";

    #[test]
    fn a_start_from_the_cache_is_told_from_one_that_compiles() {
        let folder = tempfile::tempdir().unwrap();
        let version = folder.path().join(MODELS).join("26.7.0");
        fs::create_dir_all(&version).unwrap();
        fs::write(version.join("old"), "").unwrap();
        let cache = CompileCache::at(folder.path());

        assert_eq!(cache.news("Building model graph took 1 second"), None);
        let news = cache.news(LINE).unwrap();
        assert!(news.starts_with("the compiled model came from /"), "{news}");

        fs::write(version.join("new"), "").unwrap();
        let news = cache.news(LINE).unwrap();
        assert!(news.starts_with("the model was compiled anew"), "{news}");
        assert!(news.ends_with(folder.path().to_str().unwrap()), "{news}");
    }

    #[test]
    fn a_cache_that_is_not_there_yet_grows_too() {
        let folder = tempfile::tempdir().unwrap();
        let cache = CompileCache::at(&folder.path().join("none"));
        assert!(!cache.has_grown());
        let version = cache.folder().join(MODELS).join("26.7.0");
        fs::create_dir_all(&version).unwrap();
        assert!(!cache.has_grown());
        fs::write(version.join("new"), "").unwrap();
        assert!(cache.has_grown());
    }
}
