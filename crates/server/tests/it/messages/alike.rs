//! A stream tells what the message in one piece tells, whatever the model writes.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use serde_json::json;

use super::{add, ask, comparable, events, joined};
use crate::alike::piece;
use crate::mutated::cases;
use crate::rig::{Rig, config, options};

#[test]
fn a_stream_tells_what_the_message_tells() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let script = Arc::new(Mutex::new(Vec::new()));
    let answers = script.clone();
    let rig = runtime.block_on(Rig::with(
        config(),
        options(),
        Box::new(move |_| answers.lock().unwrap().clone().into()),
    ));
    let strategy = (
        prop::collection::vec(piece(), 1..12),
        prop::sample::select(vec![json!(null), json!(["STOP"]), json!(["é", "OP"])]),
        prop::sample::select(vec![
            json!(null),
            json!({"type": "adaptive"}),
            json!({"type": "adaptive", "display": "omitted"}),
        ]),
        any::<bool>(),
        1u32..60,
    );
    let config = ProptestConfig {
        cases: cases(300),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let run = proptest::test_runner::TestRunner::new(config).run(
        &strategy,
        |(pieces, stop, thinking, tools, max_tokens)| {
            *script.lock().unwrap() = pieces.concat();
            let mut tool = add();
            tool["name"] = "f".into();
            let mut body = json!({
                "stop_sequences": stop, "thinking": thinking, "max_tokens": max_tokens,
                "tools": if tools { json!([tool]) } else { json!([]) },
            });
            let whole = runtime.block_on(ask(&rig, body.clone()));
            prop_assert_eq!(whole.status, 200);
            body["stream"] = true.into();
            let streamed = joined(&events(&runtime.block_on(ask(&rig, body))));
            prop_assert_eq!(comparable(&streamed), comparable(&whole.json()));
            Ok(())
        },
    );
    run.unwrap();
}
