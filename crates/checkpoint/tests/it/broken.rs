//! Each broken checkpoint is refused, and the refusal names the tensor or file and the remedy.

use mxfp4_checkpoint::inspect;
use mxfp4_checkpoint::testing::broken;

#[test]
fn each_broken_checkpoint_is_refused_with_what_is_wrong_and_what_to_do() {
    let all = broken();
    assert!(all.len() >= 40, "{}", all.len());
    let mut wrong = Vec::new();
    for broken in all {
        let folder = tempfile::tempdir().unwrap();
        broken.write(folder.path()).unwrap();
        let inspection = inspect(folder.path());
        let faults = inspection.faults.iter();
        let told: Vec<String> = faults
            .map(|fault| format!("{fault}; {}", fault.hint()))
            .collect();
        // One fault says all of it, and is among those that are told.
        let named = |told: &String| broken.says.iter().all(|part| told.contains(part));
        if !told.iter().take(10).any(named) {
            wrong.push(format!(
                "{}: {:?} is not in {told:#?}",
                broken.name, broken.says
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_wrong_with_one_tensor_is_told_once() {
    for name in [
        "without ",
        "model.norm.weight of another type",
        "a file without its last byte",
    ] {
        let found = broken()
            .into_iter()
            .find(|broken| broken.name.starts_with(name));
        let folder = tempfile::tempdir().unwrap();
        found.unwrap().write(folder.path()).unwrap();
        let faults = inspect(folder.path()).faults;
        assert_eq!(faults.len(), 1, "{name}: {faults:#?}");
    }
}
