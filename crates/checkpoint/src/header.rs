//! The header of a safetensors file: which tensors it holds, of which types and shapes, and where.
//!
//! The format is eight bytes with the header's length, the header in JSON, and the tensors' bytes without a gap. A reader of
//! our own says of each tensor what is wrong with it, and reads no more than the header.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::dtype::Dtype;
use crate::fault::Fault;
use crate::tensor::Tensor;

/// The longest header that is read, as of the format's own reader.
pub const LONGEST: u64 = 100_000_000;

/// Bytes before the header: its length.
pub const LENGTH: u64 = 8;

/// What a header describes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The tensors that are described as they should be, in the order of the file.
    pub tensors: Vec<(String, Tensor)>,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

/// Reads the JSON of a header. The file is `file`, with `data` bytes behind the header, which ends at `start`.
pub fn parse(json: &[u8], file: &str, start: u64, data: u64) -> Header {
    let entries: Entries<'_> = match serde_json::from_slice(json) {
        Ok(entries) => entries,
        Err(error) => {
            let fault = Fault::HeaderJson {
                file: file.to_owned(),
                why: error.to_string(),
            };
            return Header {
                tensors: Vec::new(),
                faults: vec![fault],
            };
        }
    };
    let mut header = Header::default();
    for (name, entry) in entries.0 {
        if name == "__metadata__" {
            continue;
        }
        match tensor(entry) {
            Ok(tensor) => header.tensors.push((name, tensor)),
            Err(why) => header.faults.push(Fault::Entry {
                file: file.to_owned(),
                tensor: name,
                why,
            }),
        }
    }
    places(&mut header, file, start, data);
    header
}

/// The entries of a header in order, doubled ones too.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a tensor for each name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Entries(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// A tensor's entry as it stands in a header.
#[derive(serde::Deserialize)]
struct Raw {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

fn tensor(entry: &RawValue) -> Result<Tensor, String> {
    let raw: Raw = serde_json::from_str(entry.get()).map_err(|error| error.to_string())?;
    let (begin, end) = raw.data_offsets;
    let dtype = Dtype::new(raw.dtype);
    if end < begin {
        return Err(format!(
            "its bytes end at {end}, before they begin at {begin}"
        ));
    }
    let Some(bits) = dtype.bits() else {
        let short: String = dtype.name().chars().take(40).collect();
        return Err(format!("the type {short} is not known"));
    };
    let elements = raw
        .shape
        .iter()
        .try_fold(1u64, |product, &dim| product.checked_mul(dim));
    let bytes = elements
        .and_then(|elements| elements.checked_mul(bits))
        .map(|bits| bits.div_ceil(8));
    if bytes != Some(end - begin) {
        let takes = bytes.map_or("more bytes than there are".into(), |n| format!("{n} bytes"));
        return Err(format!(
            "its shape takes {takes}, and its offsets {begin} and {end} are {} apart",
            end - begin
        ));
    }
    Ok(Tensor {
        dtype,
        shape: raw.shape,
        begin,
        end,
    })
}

/// Where tensors lie: one after the other, to the file's end.
fn places(header: &mut Header, file: &str, start: u64, data: u64) {
    header
        .tensors
        .sort_by(|(a, x), (b, y)| (x.begin, x.end, a).cmp(&(y.begin, y.end, b)));
    let file = || file.to_owned();
    let mut end = 0;
    let mut last: Option<&String> = None;
    let mut cut = None;
    // Where an entry could not be read, its bytes are a gap of course.
    let whole = header.faults.is_empty();
    let mut found = Vec::new();
    for (name, tensor) in &header.tensors {
        if tensor.begin < end && tensor.bytes() > 0 {
            found.push(Fault::Overlap {
                file: file(),
                tensor: name.clone(),
                other: last.cloned().unwrap_or_default(),
            });
        } else if tensor.begin > end && whole {
            found.push(Fault::Gap {
                file: file(),
                tensor: name.clone(),
                bytes: tensor.begin - end,
            });
        }
        if tensor.end > data && cut.is_none() {
            cut = Some(name);
        }
        if tensor.end >= end {
            (end, last) = (tensor.end, Some(name));
        }
    }
    if let Some(tensor) = cut {
        found.push(Fault::Cut {
            file: file(),
            bytes: start.saturating_add(data),
            needed: start.saturating_add(end),
            tensor: tensor.clone(),
        });
    } else if end < data && whole {
        found.push(Fault::Longer {
            file: file(),
            bytes: start.saturating_add(data),
            needed: start.saturating_add(end),
        });
    }
    header.faults.append(&mut found);
}
