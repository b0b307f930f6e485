//! Models that are looked at, and refused before MAX starts.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use libtest_mimic::{Failed, Trial};
use mxfp4_checkpoint::testing::{Small, broken};
use serde_json::{Value, json};

use crate::support::{folder, free_port, mxfp4, run, trial};

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![
        trial::test(
            module_path!(),
            "every_broken_checkpoint_is_refused_before_max_starts",
            every_broken,
        ),
        trial::test(
            module_path!(),
            "warm_and_bench_refuse_as_serve_does",
            other_commands,
        ),
        trial::test(module_path!(), "a_model_is_inspected", inspected),
        trial::test(module_path!(), "inspection_is_told_as_json", as_json),
        trial::ignorable(
            module_path!(),
            "the_published_configuration_and_tokenizer_pass",
            published,
        ),
    ]
}

fn every_broken() -> Result<(), Failed> {
    for broken in broken() {
        let workspace = folder([("mxfp4.toml", "")]);
        broken.write(&workspace.path().join("model"))?;
        let ran = run(mxfp4(workspace.path())
            .args(["serve", "--model", "model"])
            .envs([free_port()]));
        let says = broken.says.iter().all(|part| ran.stderr.contains(part));
        let noise = ["panicked", "Traceback"];
        let noise = noise.iter().any(|noise| ran.stderr.contains(noise));
        if ran.code != Some(5) || !says || noise || !ran.stdout.is_empty() {
            let said = &broken.says;
            return Err(format!("{}: {said:?} is not in {ran:#?}", broken.name).into());
        }
    }
    Ok(())
}

fn other_commands() -> Result<(), Failed> {
    let workspace = folder([("mxfp4.toml", "")]);
    let mut small = Small::default();
    small.remove("model.norm.weight");
    small.write(&workspace.path().join("model"))?;
    for args in [
        &["warm", "--model", "model"][..],
        &["bench", "serve", "--model", "model"],
    ] {
        let ran = run(mxfp4(workspace.path()).args(args).envs([free_port()]));
        if ran.code != Some(5) || !ran.stderr.contains("model.norm.weight is missing") {
            return Err(format!("{args:?}: {ran:#?}").into());
        }
    }
    Ok(())
}

fn inspected() -> Result<(), Failed> {
    let place = folder([("x", "")]);
    let root = place.path().canonicalize()?;
    Small::default().write(&root.join("model"))?;
    let inspect = |args: &[&str]| {
        let ran = run(mxfp4(&root)
            .args(["model", "inspect"])
            .args(args)
            .env("CUDA_VISIBLE_DEVICES", ""));
        let told = ran.stdout.replace(&root.display().to_string(), "ROOT");
        format!(
            "$ mxfp4 model inspect {}\n{told}{}exit code {}\n",
            args.join(" "),
            ran.stderr,
            ran.code.expect("no signal ended it")
        )
    };
    let mut said = inspect(&["model", "--scales"]);
    fs::remove_file(root.join("model/model-00001-of-00002.safetensors"))?;
    said += &inspect(&["model"]);
    said += &inspect(&["owner/name"]);
    insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("model_inspect", said);
    });
    Ok(())
}

fn as_json() -> Result<(), Failed> {
    let place = folder([("x", "")]);
    let mut small = Small::default();
    small.tensor("model.norm.weight").dtype = "F32".into();
    small.write(&place.path().join("model"))?;
    let ran = run(mxfp4(place.path()).args(["model", "inspect", "--json", "--scales", "model"]));
    let found: Value = serde_json::from_str(&ran.stdout)?;
    assert_eq!(ran.code, Some(5), "{ran:#?}");
    assert_eq!(found["schema"], 1);
    assert_eq!(found["servable"], false);
    assert_eq!(found["layout"]["name"], "published");
    assert_eq!(found["sizes"]["hidden_size"], 96);
    assert_eq!(found["loads"]["tensors"], 41);
    assert_eq!(
        found["scales"][1],
        json!({"layer": 1, "scales": 2304, "nan": 0})
    );
    let fault = &found["faults"][0];
    assert_eq!(fault["kind"], "mistyped");
    assert_eq!(fault["tensor"], "model.norm.weight");
    assert_eq!(fault["hint"], "save it as BF16");
    Ok(())
}

/// With weights that are not there, nothing else is wrong.
fn published() -> Result<libtest_mimic::Completion, Failed> {
    let Some(published) = std::env::var_os("MXFP4_PUBLISHED") else {
        let why = "skipped: MXFP4_PUBLISHED names no folder with the published files";
        return Ok(libtest_mimic::Completion::ignored_with(why));
    };
    let place = folder([("model/x", "")]);
    for name in [
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    ] {
        symlink(
            Path::new(&published).join(name),
            place.path().join("model").join(name),
        )?;
    }
    let ran = run(mxfp4(place.path()).args(["model", "inspect", "--json", "model"]));
    let found: Value = serde_json::from_str(&ran.stdout)?;
    assert_eq!(found["tokenizer"]["tokens"], 200_019);
    assert_eq!(found["template"], "chat_template.jinja");
    let kinds: Vec<&Value> = found["faults"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|fault| &fault["kind"])
        .collect();
    assert_eq!(kinds, ["no_weights"]);
    Ok(libtest_mimic::Completion::Completed)
}
