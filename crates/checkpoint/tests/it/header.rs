//! Any bytes are a header that is refused, or one that is true; none is a panic.

use mxfp4_checkpoint::testing::{Small, write_header};
use mxfp4_checkpoint::{inspect, parse};
use proptest::prelude::*;

/// Text that is nearly a header.
fn nearly() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        Just("0".to_owned()),
        Just("-1".to_owned()),
        Just("18446744073709551615".to_owned()),
        Just("1e99".to_owned()),
        (0u64..64).prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
    ];
    let dtype = prop::sample::select(vec!["BF16", "U8", "F4", "F64", "X", ""]);
    let shape = prop::collection::vec(number.clone(), 0..4);
    let entry = (dtype, shape, number.clone(), number).prop_map(|(dtype, shape, begin, end)| {
        let shape = shape.join(",");
        format!(r#"{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[{begin},{end}]}}"#)
    });
    let entries = prop::collection::vec(("[ab\u{0}]{0,2}", entry), 0..5);
    entries.prop_map(|entries| {
        let entries: Vec<String> = entries
            .into_iter()
            .map(|(name, entry)| format!("{}:{entry}", serde_json::Value::from(name)))
            .collect();
        format!("{{{}}}", entries.join(","))
    })
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_refused(
        json in prop::collection::vec(any::<u8>(), 0..200),
        start: u64,
        data: u64,
    ) {
        parse(&json, "x", start, data);
    }

    #[test]
    fn tensors_that_are_accepted_lie_in_the_file_one_after_the_other(
        json in nearly(),
        data in 0u64..256,
    ) {
        let header = parse(json.as_bytes(), "x", 8, data);
        if header.faults.is_empty() {
            let mut end = 0;
            for (_, tensor) in &header.tensors {
                prop_assert_eq!(tensor.begin, end);
                end = tensor.end;
            }
            prop_assert_eq!(end, data);
        }
        for fault in &header.faults {
            prop_assert!(!fault.hint().is_empty());
            prop_assert!(!fault.to_string().is_empty());
        }
    }

    #[test]
    fn any_file_is_inspected(content in prop::collection::vec(any::<u8>(), 0..200)) {
        let folder = tempfile::tempdir().unwrap();
        let small = Small { files: Default::default(), indexed: false, ..Small::default() };
        small.write(folder.path()).unwrap();
        let file = folder.path().join("model.safetensors");
        std::fs::write(&file, &content).unwrap();
        prop_assert!(!inspect(folder.path()).faults.is_empty());
        write_header(&file, &String::from_utf8_lossy(&content), 64).unwrap();
        prop_assert!(!inspect(folder.path()).faults.is_empty());
    }

    #[test]
    fn any_text_is_a_configuration_an_index_or_a_tokenizer_that_is_refused(
        text in "[\\[\\]{}\":,a-z0-9 ]{0,60}",
        file in prop::sample::select(vec![
            "config.json", "model.safetensors.index.json", "tokenizer.json",
        ]),
    ) {
        let folder = tempfile::tempdir().unwrap();
        Small::default().write(folder.path()).unwrap();
        std::fs::write(folder.path().join(file), &text).unwrap();
        prop_assert!(!inspect(folder.path()).faults.is_empty());
    }
}
