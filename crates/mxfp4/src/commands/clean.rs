//! `mxfp4 clean`

use std::io::{self, Write};

use mxfp4_env::Layout;
use mxfp4_toolchain::clean::{self, Wanted};

use crate::context::Context;

/// Remove what was built, and with flags the compile cache and the SDK
///
/// Without a flag: the kernel packages and programs in build/, and in .mxfp4 what can be made again in seconds. What
/// mxfp4 did not make stays, and is named; of a link to a folder elsewhere only the link goes. A build or a setup that
/// runs is waited for. In a Modular checkout only .mxfp4 is ours to clean; Bazel's outputs go with `./bazelw clean`.
#[derive(clap::Args)]
pub struct Args {
    /// Remove everything that mxfp4 made here: the same as --cache --sdk
    #[arg(long)]
    all: bool,
    /// Remove the compile cache too, .mxfp4/cache; compiling a model again takes minutes
    #[arg(long)]
    cache: bool,
    /// Remove the SDK too, .venv as far as `mxfp4 setup` made it; making it again may download it
    #[arg(long)]
    sdk: bool,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    let wanted = Wanted {
        outputs: true,
        cache: args.cache || args.all,
        sdk: args.sdk || args.all,
    };
    let cleaned = clean::clean(context, wanted, args.dry_run)?;
    let (removed, freed) = match args.dry_run {
        true => ("would remove", "would free"),
        false => ("removed", "freed"),
    };
    let mut stdout = io::stdout().lock();
    for (path, bytes) in &cleaned.removed {
        writeln!(stdout, "{removed} {} ({})", path.display(), size(*bytes))?;
    }
    writeln!(stdout, "{freed} {}", size(cleaned.bytes()))?;
    for path in &cleaned.foreign {
        tracing::warn!("mxfp4 did not make {}, which stays", path.display());
    }
    if context.workspace.layout == Layout::Modular {
        tracing::info!("Bazel's outputs are Bazel's to remove: ./bazelw clean");
    }
    Ok(0)
}

/// `12 bytes`, `1.5 kB`, `1.8 GB`.
fn size(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64 / 1e3;
    for unit in ["kB", "MB", "GB"] {
        if value < 999.95 {
            return format!("{value:.1} {unit}");
        }
        value /= 1e3;
    }
    format!("{value:.1} TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_say_them() {
        for (bytes, expected) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (999_960, "1.0 MB"),
            (1_840_000_000, "1.8 GB"),
            (2_000_000_000_000, "2.0 TB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }
}
