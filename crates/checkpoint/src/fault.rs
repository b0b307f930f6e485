//! What can be wrong with a checkpoint, and what to do about it.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::dtype::Dtype;
use crate::layout::Layout;

/// One thing that keeps a checkpoint from being served. Files are named as they lie below its folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fault {
    /// There is no such folder.
    #[error("the model folder {} does not exist", folder.display())]
    NoFolder {
        /// What was looked for.
        folder: PathBuf,
    },
    /// It is a file.
    #[error("the model {} is a file", path.display())]
    NotFolder {
        /// What was looked at.
        path: PathBuf,
    },
    /// A file or folder cannot be read.
    #[error("{} cannot be read: {why}", path.display())]
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// What the operating system says.
        why: String,
    },
    /// The folder has no `config.json`.
    #[error("{} does not exist", config.display())]
    NoConfig {
        /// Where it should be.
        config: PathBuf,
    },
    /// A file is not JSON of the form that it should have.
    #[error("{} is not valid: {why}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It is not GPT-OSS.
    #[error(
        "config.json describes {found}, not GPT-OSS (GptOssForCausalLM), the one architecture that is served here"
    )]
    Architecture {
        /// What it is.
        found: String,
    },
    /// The configuration does not say MXFP4.
    #[error(
        "config.json does not say that the weights are in MXFP4: quantization_config.quant_method is {}, not \"mxfp4\"",
        found.as_ref().map_or("not there".to_owned(), |found| format!("\"{}\"", shown(found)))
    )]
    Quantization {
        /// What it says instead.
        found: Option<String>,
    },
    /// The configuration has a value that no model of this kind can have.
    #[error("{key} of config.json is {found}, and must be {must}")]
    Config {
        /// The key.
        key: String,
        /// Its value.
        found: String,
        /// What it must be.
        must: String,
    },
    /// The folder has no tokenizer.
    #[error("the model folder {} has no tokenizer.json", folder.display())]
    NoTokenizer {
        /// The folder.
        folder: PathBuf,
    },
    /// Tokenizer, configuration, embedding and head are not of one vocabulary.
    #[error(
        "the vocabularies differ: tokenizer.json has {}, vocab_size of config.json is {config}, model.embed_tokens.weight has \
         {}, lm_head.weight has {}",
        tokens(*tokenizer), rows(*embedding), rows(*head)
    )]
    Vocabulary {
        /// The largest id of the tokenizer and one.
        tokenizer: Option<u64>,
        /// What the configuration says.
        config: u64,
        /// The rows of the embedding.
        embedding: Option<u64>,
        /// The rows of the head.
        head: Option<u64>,
    },
    /// The folder has no weights.
    #[error("the model folder {} holds no .safetensors file", folder.display())]
    NoWeights {
        /// The folder.
        folder: PathBuf,
    },
    /// There are more files than any checkpoint has.
    #[error("the model folder {} holds more than {limit} files", folder.display())]
    TooManyFiles {
        /// The folder.
        folder: PathBuf,
        /// How many are looked at.
        limit: usize,
    },
    /// The index names a file that is not there.
    #[error("{file} is missing, which model.safetensors.index.json names")]
    NoShard {
        /// The file.
        file: String,
    },
    /// The index names a file outside of the folder.
    #[error(
        "model.safetensors.index.json names {}, which is no file of this folder",
        shown(file)
    )]
    Outside {
        /// What it names.
        file: String,
    },
    /// What should be weights stands for them.
    #[error("{file} is a Git LFS pointer and not the weights")]
    Pointer {
        /// The file.
        file: String,
    },
    /// A file ends before its header does.
    #[error(
        "{file} ends within its header: it has {bytes} bytes, and its header would end at {needed}"
    )]
    HeaderLength {
        /// The file.
        file: String,
        /// The file's length.
        bytes: u64,
        /// Where the header ends by its own account.
        needed: u64,
    },
    /// A header is longer than any is.
    #[error("the header of {file} would have {bytes} bytes, and none has more than {limit}")]
    HeaderTooLong {
        /// The file.
        file: String,
        /// The header's length by its own account.
        bytes: u64,
        /// What is read at most.
        limit: u64,
    },
    /// A header is not what a header is.
    #[error("the header of {file} is not valid: {why}")]
    HeaderJson {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// A tensor's entry in a header is not what one is.
    #[error("{file} describes {} wrongly: {why}", shown(tensor))]
    Entry {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// What is wrong.
        why: String,
    },
    /// Two tensors have bytes in common.
    #[error("{} and {} overlap in {file}", shown(tensor), shown(other))]
    Overlap {
        /// The file.
        file: String,
        /// The tensor that begins later.
        tensor: String,
        /// The one whose bytes it takes.
        other: String,
    },
    /// There are bytes that belong to no tensor.
    #[error(
        "{file} has {bytes} bytes before {} that belong to no tensor",
        shown(tensor)
    )]
    Gap {
        /// The file.
        file: String,
        /// The tensor after them.
        tensor: String,
        /// How many there are.
        bytes: u64,
    },
    /// A file ends before its tensors do.
    #[error(
        "{file} is cut: it has {bytes} bytes of {needed}; {} is the first tensor that is not whole",
        shown(tensor)
    )]
    Cut {
        /// The file.
        file: String,
        /// The file's length.
        bytes: u64,
        /// What its header tells.
        needed: u64,
        /// The first tensor that is not whole.
        tensor: String,
    },
    /// A file goes on behind its tensors.
    #[error("{file} has {bytes} bytes, and its tensors end at {needed}")]
    Longer {
        /// The file.
        file: String,
        /// The file's length.
        bytes: u64,
        /// Where the last tensor ends.
        needed: u64,
    },
    /// A tensor occurs twice.
    #[error("{} is in {file} and again in {again}", shown(tensor))]
    Twice {
        /// The tensor.
        tensor: String,
        /// The file of the first.
        file: String,
        /// The file of the second.
        again: String,
    },
    /// The index puts a tensor into another file than the one that holds it.
    #[error(
        "model.safetensors.index.json says that {} is in {}, and it is in {file}",
        shown(tensor),
        shown(indexed)
    )]
    Elsewhere {
        /// The tensor.
        tensor: String,
        /// The file that the index names.
        indexed: String,
        /// The file that holds it.
        file: String,
    },
    /// The index does not know a tensor.
    #[error(
        "model.safetensors.index.json does not list {}, which is in {file}",
        shown(tensor)
    )]
    NotIndexed {
        /// The tensor.
        tensor: String,
        /// The file that holds it.
        file: String,
    },
    /// The index lists a tensor that no model has and no file holds.
    #[error(
        "model.safetensors.index.json says that {} is in {}, and it is not",
        shown(tensor),
        shown(indexed)
    )]
    Nowhere {
        /// The tensor.
        tensor: String,
        /// The file that the index names.
        indexed: String,
    },
    /// A tensor that the model needs is not there.
    #[error(
        "{} is missing{}", shown(tensor),
        indexed.as_ref().map_or(String::new(), |file| format!(", and should be in {} by the index", shown(file)))
    )]
    Missing {
        /// The tensor.
        tensor: String,
        /// The file that the index names for it.
        indexed: Option<String>,
    },
    /// A tensor belongs to no part of the model.
    #[error("{} in {file} belongs to no part of the model", shown(tensor))]
    Surplus {
        /// The tensor.
        tensor: String,
        /// Its file.
        file: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error(
        "{} in {file} is {}, and by config.json it must be {}",
        shown(tensor),
        dims(found),
        dims(expected)
    )]
    Misshapen {
        /// The tensor.
        tensor: String,
        /// Its file.
        file: String,
        /// Its shape.
        found: Vec<u64>,
        /// What it should be.
        expected: Vec<u64>,
    },
    /// A tensor has elements of another type than the model computes with.
    #[error("{} in {file} is {}, and must be {expected}", shown(tensor), shown(found.name()))]
    Mistyped {
        /// The tensor.
        tensor: String,
        /// Its file.
        file: String,
        /// Its type.
        found: Dtype,
        /// What it should be.
        expected: Dtype,
    },
    /// The weights are laid out as is not served.
    #[error("{layout}")]
    Layout {
        /// How they are.
        layout: Layout,
    },
}

impl Fault {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::NoFolder { .. } => {
                "check the path, or give a repository's name such as openai/gpt-oss-20b".into()
            }
            Self::NotFolder { .. } => "give the folder that holds config.json".into(),
            Self::Unreadable { .. } => "check its permissions, and what it is".into(),
            Self::NoConfig { .. } => "give the folder of a checkpoint, with config.json".into(),
            Self::Architecture { .. } => {
                "give a folder or repository with GPT-OSS in MXFP4".into()
            }
            Self::Quantization { .. } => {
                "use a quantized checkpoint, such as the published one; where the experts are in MXFP4 (*_blocks, \
                 *_scales), have config.json say so"
                    .into()
            }
            Self::Config { .. } => "take config.json from the model that the weights come from".into(),
            Self::NoTokenizer { .. } => "copy the tokenizer's files of the model into it".into(),
            Self::Vocabulary { .. } => {
                "take tokenizer, config.json and weights from one model; ids of the tokenizer end below the rows, by at most \
                 4096"
                    .into()
            }
            Self::NoWeights { .. } => "download the model's weights into it".into(),
            Self::TooManyFiles { .. } => "give the folder of one checkpoint alone".into(),
            Self::Pointer { .. } => "run `git lfs pull` in the folder".into(),
            Self::NoShard { file } => format!("download {file}"),
            Self::HeaderLength { file, .. }
            | Self::HeaderTooLong { file, .. }
            | Self::HeaderJson { file, .. }
            | Self::Overlap { file, .. }
            | Self::Gap { file, .. }
            | Self::Cut { file, .. }
            | Self::Longer { file, .. }
            | Self::Entry { file, .. } => {
                format!("download or save {file} again")
            }
            Self::Json { path, .. } => format!("download or save {} again", path.display()),
            Self::Outside { .. }
            | Self::Elsewhere { .. }
            | Self::NotIndexed { .. }
            | Self::Nowhere { .. } => {
                "take model.safetensors.index.json from the save that the files come from".into()
            }
            Self::Twice { again, .. } => {
                format!("keep the files of one save: take {again} away where it is left from another")
            }
            Self::Missing { tensor, .. } if tensor.ends_with("bias") => {
                "save it with its biases; where a tool has dropped them, take them from the base model".into()
            }
            Self::Missing { tensor, .. } if tensor == "lm_head.weight" => {
                "save it with its head; where the head is the embedding, set tie_word_embeddings of config.json to true"
                    .into()
            }
            Self::Missing { .. } => "download or save the checkpoint again".into(),
            Self::Surplus { file, .. } => {
                format!("save the checkpoint without it, or take {file} away where it belongs to another model")
            }
            Self::Misshapen {
                found, expected, ..
            } if found.iter().eq(expected.iter().rev()) => {
                "it is transposed: save it with the output features first".into()
            }
            Self::Misshapen { .. } => {
                "take config.json and the weights from one model, and save the tensor in the published layout".into()
            }
            Self::Mistyped { expected, .. } if expected.name() == "U8" => {
                "quantize the experts to MXFP4: blocks and scales are bytes".into()
            }
            Self::Mistyped { expected, .. } => format!("save it as {expected}"),
            Self::Layout { layout } => layout.remedy().into(),
        }
    }
}

/// All that is wrong with one checkpoint, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// The checkpoint's folder.
    pub folder: PathBuf,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

impl Faults {
    /// So many are told; the rest is counted.
    pub const TOLD: usize = 10;

    /// What to do about the one fault; of several each is told with its own.
    pub fn hint(&self) -> Option<String> {
        match self.faults.as_slice() {
            [fault] => Some(fault.hint()),
            _ => None,
        }
    }
}

impl std::error::Error for Faults {}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        if let [fault] = self.faults.as_slice() {
            let told = fault.to_string();
            let folder = folder.to_string();
            return match told.contains(&folder) {
                true => f.write_str(&told),
                false => write!(f, "the model {folder} cannot be served: {told}"),
            };
        }
        write!(
            f,
            "the model {folder} cannot be served, for {} reasons:",
            self.faults.len()
        )?;
        for fault in self.faults.iter().take(Self::TOLD) {
            write!(f, "\n  {fault}; {}", fault.hint())?;
        }
        match self.faults.len().saturating_sub(Self::TOLD) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more, which `mxfp4 model inspect` lists"),
        }
    }
}

/// A name out of a file, shortened: a name may be as long as its file.
fn shown(name: &str) -> String {
    const LONGEST: usize = 200;
    match name.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &name[..end]),
        None => name.to_owned(),
    }
}

/// A shape, shortened.
fn dims(shape: &[u64]) -> String {
    const MOST: usize = 8;
    let mut dims: Vec<String> = shape.iter().take(MOST).map(u64::to_string).collect();
    if shape.len() > MOST {
        dims.push("...".into());
    }
    format!("[{}]", dims.join(", "))
}

fn tokens(count: Option<u64>) -> String {
    count.map_or("no known size".into(), |count| format!("{count} tokens"))
}

fn rows(count: Option<u64>) -> String {
    count.map_or("none".into(), |count| format!("{count} rows"))
}
