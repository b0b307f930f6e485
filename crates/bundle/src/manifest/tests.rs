use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn name(path: &str) -> Name {
    Name::new(path).unwrap()
}

fn sample() -> Manifest {
    let file = |path: &[u8]| Entry::File {
        path: Name::from_bytes(path).unwrap(),
        mode: Mode::Executable,
        bytes: 3,
        sha256: Digest::of(path),
    };
    Manifest {
        about: About {
            created_by: "mxfp4 0.1.0".into(),
            python: "3.12".into(),
            platform: "x86_64-manylinux_2_34".into(),
            max: "26.7.0".into(),
            mojo: "1.2.0".into(),
        },
        parts: ["bundle.tar.zst.0001", "bundle.tar.zst.0002"]
            .map(|name| Part {
                name: name.into(),
                bytes: 7,
                sha256: Digest::of(name.as_bytes()),
            })
            .into(),
        entries: vec![
            Entry::Folder { path: name("a") },
            file("a/b\u{e9}".as_bytes()),
            file(b"a/b\xff\n"),
            Entry::Link {
                path: name("c"),
                target: b"a/b\xff\n".to_vec(),
            },
        ],
    }
}

/// The text of the sample after `change`, with a digest that is right.
fn forged(change: impl FnOnce(&mut Value)) -> String {
    let mut content = serde_json::to_value(sample()).unwrap();
    change(&mut content);
    let content = content.to_string();
    format!(
        "{{\"format\":\"mxfp4-bundle\",\"version\":1,\"sha256\":\"{}\",\"content\":{content}}}",
        Digest::of(content.as_bytes())
    )
}

#[test]
fn what_is_written_is_read() {
    let manifest = sample();
    let text = manifest.to_text().unwrap();
    assert!(text.contains("\"mode\": \"0755\""), "{text}");
    assert!(text.contains("\"bytes\": ["), "{text}");
    assert_eq!(Manifest::parse(text.as_bytes()), Ok(manifest.clone()));
    assert_eq!(
        Manifest::parse(forged(|_| {}).as_bytes()),
        Ok(manifest.clone())
    );
    assert_eq!((manifest.bytes(), manifest.archive_bytes()), (6, 14));
}

#[test]
fn what_would_lead_outside_or_astray_is_refused() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 18] = [
        (
            |m| m["entries"][0]["path"] = json!("../a"),
            "leads upward with `..`",
        ),
        (|m| m["entries"][0]["path"] = json!("/a"), "is absolute"),
        (
            |m| m["entries"][0]["path"] = json!({"bytes": [46, 46]}),
            "leads upward",
        ),
        (|m| m["entries"][0]["path"] = json!(""), "is empty"),
        (
            |m| m["entries"][3]["target"] = json!("/etc/passwd"),
            "is absolute",
        ),
        (
            |m| m["entries"][3]["target"] = json!("../x"),
            "leaves the tree",
        ),
        (
            |m| m["entries"][3]["target"] = json!("a/../../x"),
            "has a `..` after a name",
        ),
        // A link where a folder should be.
        (
            |m| m["entries"][0] = json!({"kind": "link", "path": "a", "target": "c"}),
            "is in no folder",
        ),
        (
            |m| drop(m["entries"].as_array_mut().unwrap().remove(0)),
            "is in no folder",
        ),
        (
            |m| m["entries"].as_array_mut().unwrap().swap(1, 2),
            "out of order",
        ),
        (|m| m["entries"][2] = m["entries"][1].clone(), "comes twice"),
        (|m| m["entries"][1]["mode"] = json!("4755"), "4755"),
        (|m| m["entries"][1]["kind"] = json!("device"), "device"),
        (|m| m["entries"][1]["bytes"] = json!(u64::MAX - 1), "add up"),
        (
            |m| m["parts"][0]["name"] = json!("../part"),
            "no name of a part",
        ),
        (
            |m| m["parts"][0]["name"] = json!("manifest.json"),
            "no name of a part",
        ),
        (|m| m["parts"][0] = m["parts"][1].clone(), "comes twice"),
        (|m| m["parts"] = json!([]), "names no parts"),
    ];
    for (change, why) in cases {
        match Manifest::parse(forged(change).as_bytes()) {
            Err(Invalid::Wrong(message)) => assert!(message.contains(why), "{why}: {message}"),
            other => panic!("{why}: {other:?}"),
        }
    }
}

#[test]
fn what_is_no_manifest_is_refused() {
    let text = sample().to_text().unwrap();
    for (text, why) in [
        (String::new(), "EOF"),
        ("[]".into(), "invalid"),
        (text.replace("mxfp4-bundle", "mxfp4-bungle"), "mxfp4-bungle"),
        (text.replace("3.12", "3.13"), "not what its SHA-256 says"),
        (text.replace("\"version\":1", "\"version\":-1"), "-1"),
        (
            text.replace("\"version\":1", "\"version\":1,\"more\":0"),
            "more",
        ),
        (forged(|m| m["more"] = json!(0)), "more"),
        (forged(|m| m["entries"][1]["more"] = json!(0)), "more"),
    ] {
        match Manifest::parse(text.as_bytes()) {
            Err(Invalid::Wrong(message)) => assert!(message.contains(why), "{why}: {message}"),
            other => panic!("{why}: {other:?}"),
        }
    }
    // A later version may have any content.
    let later = r#"{"format":"mxfp4-bundle","version":2,"anything":[]}"#;
    assert_eq!(Manifest::parse(later.as_bytes()), Err(Invalid::Version(2)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_makes_it_panic(text in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Manifest::parse(&text);
    }

    #[test]
    fn what_looks_like_json_does_not_either(text in r#"(\{"format":"mxfp4-bundle","version":1,)?["{}\[\]:,a-z0-9\\u]{0,80}"#) {
        let _ = Manifest::parse(text.as_bytes());
    }

    #[test]
    fn a_changed_byte_shows(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let manifest = sample();
        let mut text = manifest.to_text().unwrap().into_bytes();
        let place = place.index(text.len());
        prop_assume!(text[place] != byte);
        text[place] = byte;
        // The one byte that means nothing is the newline at the end.
        let parsed = Manifest::parse(&text);
        prop_assert!(parsed.is_err() || (place + 1 == text.len() && parsed == Ok(manifest)));
    }
}
