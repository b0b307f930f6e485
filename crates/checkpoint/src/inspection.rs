//! The whole look at a checkpoint.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use crate::compare::{self, Place, Unread};
use crate::config::{architecture, is_gpt_oss, quantization, sizes};
use crate::expected;
use crate::fault::{Fault, Faults};
use crate::files::{unreadable, weight_files};
use crate::index::Index;
use crate::layout::{Layout, detect, is_original};
use crate::read::{self, Opened};
use crate::sizes::Sizes;
use crate::tokenizer;

/// What a checkpoint is, and what is wrong with it.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// Its folder.
    pub folder: PathBuf,
    /// The architecture that its configuration names.
    pub architecture: Option<String>,
    /// The quantization that its configuration names.
    pub quantization: Option<String>,
    /// How its weights are laid out; `None` where there are none.
    pub layout: Option<Layout>,
    /// Its sizes, where the configuration has them all.
    pub sizes: Option<Sizes>,
    /// The files that MAX takes for its weights.
    pub files: Vec<Shard>,
    /// Whether an index tells which file holds which tensor.
    pub indexed: bool,
    /// What is loaded, by type.
    pub dtypes: BTreeMap<String, DtypeTotal>,
    /// How many tensors are passed over: those of OpenAI's own layout beside the published one.
    pub skipped: usize,
    /// Its tokenizer.
    pub tokenizer: Option<Tokenizer>,
    /// The file that holds its chat template.
    pub template: Option<&'static str>,
    /// What is wrong with it.
    #[serde(skip)]
    pub faults: Vec<Fault>,
}

/// A weight file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shard {
    /// Its name below the folder.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// How many tensors it holds.
    pub tensors: usize,
}

/// Tensors of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DtypeTotal {
    /// How many there are.
    pub tensors: u64,
    /// What they take.
    pub bytes: u64,
}

/// A tokenizer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tokenizer {
    /// Its file.
    pub file: &'static str,
    /// The largest id and one, where the file tells.
    pub tokens: Option<u64>,
}

impl Inspection {
    /// What is loaded, in tensors and bytes.
    pub fn total(&self) -> DtypeTotal {
        let mut total = DtypeTotal::default();
        for each in self.dtypes.values() {
            total.tensors += each.tensors;
            total.bytes = total.bytes.saturating_add(each.bytes);
        }
        total
    }

    /// The size of all weight files.
    pub fn weight_bytes(&self) -> u64 {
        let sizes = self.files.iter().map(|shard| shard.bytes);
        sizes.fold(0, u64::saturating_add)
    }

    /// All that is wrong, where anything is.
    pub fn refusal(&self) -> Option<Faults> {
        self.refused(self.faults.clone())
    }

    /// The same, but for files that are not here yet: whoever starts the model fetches them.
    pub fn refusal_of_what_is_here(&self) -> Option<Faults> {
        let of_many = |shard: &Shard| shard.file.contains("-of-");
        let partial = !self.indexed && self.files.iter().any(of_many);
        let here = self.faults.iter().filter(|fault| match fault {
            Fault::NoWeights { .. } | Fault::NoShard { .. } | Fault::NoTokenizer { .. } => false,
            Fault::Missing { .. } => !partial,
            _ => true,
        });
        self.refused(here.cloned().collect())
    }

    fn refused(&self, faults: Vec<Fault>) -> Option<Faults> {
        (!faults.is_empty()).then(|| Faults {
            folder: self.folder.clone(),
            faults,
        })
    }

    fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            architecture: None,
            quantization: None,
            layout: None,
            sizes: None,
            files: Vec::new(),
            indexed: false,
            dtypes: BTreeMap::new(),
            skipped: 0,
            tokenizer: None,
            template: None,
            faults: Vec::new(),
        }
    }
}

/// Looks at the checkpoint in a folder. What is wrong with it is in [`Inspection::faults`].
pub fn inspect(folder: &Path) -> Inspection {
    let mut inspection = Inspection::new(folder);
    if let Err(fault) = is_folder(folder) {
        inspection.faults.push(fault);
        return inspection;
    }
    match read::json(&folder.join("config.json")) {
        Ok(Some(config)) => inspection.config(&config),
        Ok(None) if folder.join("adapter_config.json").is_file() => {
            inspection.layout = Some(Layout::Adapter);
            inspection.faults.push(Fault::Layout {
                layout: Layout::Adapter,
            });
            return inspection;
        }
        Ok(None) => inspection.faults.push(Fault::NoConfig {
            config: folder.join("config.json"),
        }),
        Err(fault) => inspection.faults.push(fault),
    }
    // Another model's tensors, or those of nothing that is known, are no fault of theirs.
    if inspection.faults.is_empty() || inspection.sizes.is_some() || is_ours(&inspection) {
        inspection.words();
        inspection.weights();
    }
    inspection
}

/// Whether it is GPT-OSS by its configuration, whatever else is wrong with that.
fn is_ours(inspection: &Inspection) -> bool {
    let other = |fault: &Fault| {
        matches!(
            fault,
            Fault::Architecture { .. }
                | Fault::NoConfig { .. }
                | Fault::Json { .. }
                | Fault::Unreadable { .. }
        )
    };
    !inspection.faults.iter().any(other)
}

fn is_folder(folder: &Path) -> Result<(), Fault> {
    let Err(error) = fs::read_dir(folder) else {
        return Ok(());
    };
    Err(match error.kind() {
        io::ErrorKind::NotFound => Fault::NoFolder {
            folder: folder.to_owned(),
        },
        io::ErrorKind::NotADirectory => Fault::NotFolder {
            path: folder.to_owned(),
        },
        _ => unreadable(folder, &error),
    })
}

impl Inspection {
    fn config(&mut self, config: &Value) {
        self.architecture = architecture(config).map(str::to_owned);
        self.quantization = quantization(config).map(str::to_owned);
        if !is_gpt_oss(config) {
            let found = self.architecture.as_deref().unwrap_or("nothing");
            let found = found.chars().take(100).collect();
            self.faults.push(Fault::Architecture { found });
            return;
        }
        if self.quantization.as_deref() != Some("mxfp4") {
            self.faults.push(Fault::Quantization {
                found: self.quantization.clone(),
            });
        }
        self.sizes = sizes(config, &mut self.faults);
    }

    /// The tokenizer and the template.
    fn words(&mut self) {
        let folder = self.folder.clone();
        let is_there = |name: &&str| folder.join(name).is_file();
        let file = ["tokenizer.json", "tokenizer_config.json"]
            .into_iter()
            .find(is_there);
        let Some(file) = file else {
            self.faults.push(Fault::NoTokenizer { folder });
            return;
        };
        let tokens = tokenizer::tokens(&folder).unwrap_or_else(|fault| {
            self.faults.push(fault);
            None
        });
        self.tokenizer = Some(Tokenizer { file, tokens });
        let config = "tokenizer_config.json";
        self.template = match ["chat_template.jinja"].into_iter().find(is_there) {
            Some(file) => Some(file),
            None => match read::json(&folder.join(config)) {
                Ok(Some(value)) if !value["chat_template"].is_null() => Some(config),
                _ => None,
            },
        };
    }

    fn weights(&mut self) {
        let index = Index::read(&self.folder, &mut self.faults);
        self.indexed = index.is_there;
        let mut unread = Unread::default();
        let opened = self.open(&index, &mut unread);
        let tensors = opened.iter().flat_map(|(file, opened)| {
            let tensors = opened.header.tensors.iter();
            tensors.map(move |(name, tensor)| {
                let place = Place {
                    file: file.as_str(),
                    tensor,
                };
                (name.as_str(), place)
            })
        });
        let found = compare::by_name(tensors, &mut self.faults);
        self.count(&found);
        if found.is_empty() {
            return;
        }
        let names = found.iter().map(|(name, place)| (*name, place.tensor));
        let layout = detect(names, self.sizes.as_ref());
        self.layout = Some(layout.clone());
        if !matches!(layout, Layout::Published | Layout::Unknown) {
            self.faults.push(Fault::Layout { layout });
            return;
        }
        let expected = self.sizes.as_ref().map(expected::tensors);
        if let (Some(sizes), Some(expected)) = (&self.sizes, &expected) {
            let tokens = self.tokenizer.as_ref().and_then(|found| found.tokens);
            let differ = compare::vocabulary(&found, sizes, tokens);
            self.faults.extend(differ);
            compare::tensors(&found, expected, &index, &unread, &mut self.faults);
        }
        let expected = expected.as_ref();
        compare::index(&found, expected, &index, &unread, &mut self.faults);
    }

    /// Reads the headers of all files that MAX loads, and of those that the index names.
    fn open(&mut self, index: &Index, unread: &mut Unread) -> Vec<(String, Opened)> {
        let mut files = match weight_files(&self.folder) {
            Ok(files) => files,
            Err(fault) => {
                self.faults.push(fault);
                return Vec::new();
            }
        };
        let named = index.shards(&mut self.faults);
        let outside = index
            .files
            .values()
            .filter(|file| !named.contains(file.as_str()));
        unread.files.extend(outside.cloned());
        let absent = named
            .into_iter()
            .filter(|name| !files.iter().any(|file| file == name));
        let absent: Vec<String> = absent.map(str::to_owned).collect();
        files.extend(absent);
        if files.is_empty() {
            self.faults.push(Fault::NoWeights {
                folder: self.folder.clone(),
            });
        }
        let mut all = Vec::new();
        for file in files {
            match read::weights(&self.folder, &file) {
                Ok(opened) => {
                    let header = &opened.header;
                    self.faults.extend(header.faults.iter().cloned());
                    for fault in &header.faults {
                        if let Fault::Entry { tensor, .. } = fault {
                            unread.tensors.insert(tensor.clone());
                        } else if let Fault::HeaderJson { file, .. } = fault {
                            unread.files.insert(file.clone());
                        }
                    }
                    self.files.push(Shard {
                        file: file.clone(),
                        bytes: opened.bytes,
                        tensors: header.tensors.len(),
                    });
                    all.push((file, opened));
                }
                Err(fault) => {
                    self.faults.push(fault);
                    unread.files.insert(file);
                }
            }
        }
        all
    }

    fn count(&mut self, found: &BTreeMap<&str, Place<'_>>) {
        for (name, place) in found {
            if is_original(name) {
                self.skipped += 1;
                continue;
            }
            let dtype = place.tensor.dtype.name().to_owned();
            let total = self.dtypes.entry(dtype).or_default();
            total.tensors += 1;
            total.bytes = total.bytes.saturating_add(place.tensor.bytes());
        }
    }
}
