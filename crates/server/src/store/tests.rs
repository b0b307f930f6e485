use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use super::*;

/// Where this process is the one that is killed while it writes.
const WRITER: &str = "MXFP4_TEST_STORE_WRITER";
/// How many responses, and how many kills, a whole run has.
const RESPONSES: &str = "MXFP4_TEST_STORE_RESPONSES";
const KILLS: &str = "MXFP4_TEST_STORE_KILLS";

fn number(variable: &str, otherwise: usize) -> usize {
    let value = std::env::var(variable).ok();
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or(otherwise)
}

fn entry(id: usize, owner: Option<&str>, length: usize) -> Entry {
    let text = format!("[{}]", "7".repeat(length));
    Entry {
        id: format!("resp_{id}"),
        owner: owner.map(str::to_owned),
        previous: id.checked_sub(1).map(|before| format!("resp_{before}")),
        input: text.clone(),
        output: text.clone(),
        response: text,
    }
}

fn limits(responses: usize, bytes: usize) -> StoreLimits {
    StoreLimits {
        responses,
        bytes,
        ..StoreLimits::default()
    }
}

/// One in memory, one in a file.
fn both(limits: StoreLimits, test: impl Fn(Store)) {
    test(Store::memory(limits));
    let folder = tempfile::tempdir().unwrap();
    test(Store::file(&folder.path().join("store"), limits).unwrap());
}

fn size(store: &Store) -> (usize, usize) {
    match &*store.lock() {
        Kept::Memory(memory) => memory.size(),
        Kept::File(database) => {
            let (check, responses, bytes) = database.check();
            assert_eq!(check, "ok");
            assert_eq!(database.size(), (responses, bytes));
            (responses, bytes)
        }
    }
}

#[test]
fn what_was_put_is_there_for_its_owner_alone() {
    both(StoreLimits::default(), |store| {
        let (of_ann, of_nobody) = (entry(1, Some("ann"), 9), entry(2, None, 9));
        assert!(store.put(of_ann.clone()).unwrap() && store.put(of_nobody.clone()).unwrap());
        for (id, owner, found) in [
            ("resp_1", Some("ann"), Some(&of_ann)),
            ("resp_1", Some("bob"), None),
            ("resp_1", None, None),
            ("resp_2", None, Some(&of_nobody)),
            ("resp_2", Some("ann"), None),
            ("resp_3", None, None),
            ("", None, None),
        ] {
            let got = store.get(id, owner).unwrap();
            assert_eq!(got.as_deref(), found, "{id} {owner:?}");
        }
        assert!(!store.delete("resp_1", Some("bob")).unwrap());
        assert!(store.delete("resp_1", Some("ann")).unwrap());
        assert!(!store.delete("resp_1", Some("ann")).unwrap());
        assert_eq!(store.get("resp_1", Some("ann")).unwrap(), None);
        assert_eq!(size(&store), (1, of_nobody.bytes()));
    });
}

#[test]
fn what_was_not_used_goes_first() {
    both(limits(3, 1 << 20), |store| {
        for id in 0..3 {
            assert!(store.put(entry(id, None, 5)).unwrap());
        }
        assert!(store.get("resp_0", None).unwrap().is_some());
        assert!(store.put(entry(3, None, 5)).unwrap());
        assert!(store.get("resp_1", None).unwrap().is_none());
        assert!(store.get("resp_0", None).unwrap().is_some());
        assert_eq!(size(&store).0, 3);
    });
    both(limits(100, 4000), |store| {
        assert!(!store.put(entry(0, None, 4000)).unwrap());
        for id in 0..50 {
            assert!(store.put(entry(id, None, id * 3)).unwrap());
            assert!(size(&store).1 <= 4000);
        }
        assert!(store.get("resp_49", None).unwrap().is_some());
    });
}

#[test]
fn what_is_too_old_is_gone() {
    both(limits(10, 1 << 20), |store| {
        let age = store.0.limits.age.as_secs();
        match &mut *store.lock() {
            Kept::Memory(memory) => {
                memory.put(entry(0, None, 1), seconds() - age - 9, &store.0.limits)
            }
            Kept::File(database) => {
                let long_ago = seconds() - age - 9;
                database
                    .put(&entry(0, None, 1), long_ago, &store.0.limits)
                    .unwrap();
            }
        }
        assert_eq!(store.get("resp_0", None).unwrap(), None);
        assert!(store.put(entry(1, None, 1)).unwrap());
        assert_eq!(size(&store).0, 1);
    });
}

#[test]
fn a_file_survives_and_is_its_users_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let put = entry(1, Some("ann"), 5);
    Store::file(&path, StoreLimits::default())
        .unwrap()
        .put(put.clone())
        .unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = Store::file(&path, StoreLimits::default()).unwrap();
    assert_eq!(
        again.get("resp_1", Some("ann")).unwrap().as_deref(),
        Some(&put)
    );
    drop(again);
    // Less may be kept than before.
    let smaller = Store::file(&path, limits(0, 9)).unwrap();
    assert_eq!(size(&smaller), (0, 0));
}

#[test]
fn another_file_is_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(
        &text,
        "no database at all, but a text that is long enough for a header",
    )
    .unwrap();
    let other = folder.path().join("other");
    rusqlite::Connection::open(&other)
        .unwrap()
        .execute_batch("CREATE TABLE t (a)")
        .unwrap();
    for path in [text, other] {
        let error = Store::file(&path, StoreLimits::default()).unwrap_err();
        assert!(matches!(error, StoreError::Foreign { .. }), "{error:?}");
    }
    let nowhere = folder.path().join("no/such/folder");
    let error = Store::file(&nowhere, StoreLimits::default()).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
}

#[test]
fn memory_and_disk_stay_within_their_bounds() {
    let count = number(RESPONSES, 2000);
    let bounds = limits(count / 10, 2 << 20);
    let store = Store::memory(bounds);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let file = Store::file(&path, bounds).unwrap();
    for id in 0..count {
        let length = id * 37 % 3000;
        assert!(store.put(entry(id, None, length)).unwrap());
        assert!(file.put(entry(id, None, length)).unwrap());
    }
    let (responses, bytes) = size(&file);
    assert_eq!(size(&store), (responses, bytes));
    assert!(
        responses <= bounds.responses && bytes <= bounds.bytes,
        "{responses} {bytes}"
    );
    assert!(
        file.get(&format!("resp_{}", count - 1), None)
            .unwrap()
            .is_some()
    );
    let disk: u64 = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    // Pages are not full, and the log is as long as it may be.
    assert!(disk < 2 * (2 << 20) + (20 << 20), "{disk} bytes");
}

/// Writes until it is killed, and tells each response that is kept.
#[test]
fn writes_until_it_is_killed() {
    let Ok(path) = std::env::var(WRITER) else {
        return;
    };
    let store = Store::file(Path::new(&path), limits(50, 1 << 20)).unwrap();
    for id in std::process::id() as usize * 1_000_000.. {
        store.put(entry(id, None, id * 37 % 3000)).unwrap();
        println!("kept {id}");
    }
}

#[test]
fn a_kill_leaves_nothing_half() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    for kill in 0..number(KILLS, 4) {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "store::tests::writes_until_it_is_killed",
                "--nocapture",
            ])
            .env(WRITER, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut told = writer.stdout.take().unwrap();
        let mut text = String::new();
        let mut buffer = [0; 64];
        // Another moment each time.
        while text.matches("kept").count() < 3 + kill * 7 % 100 {
            let length = told.read(&mut buffer).unwrap();
            assert!(length > 0, "it ended by itself: {text}");
            text.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        told.read_to_string(&mut text).unwrap();
        let store = Store::file(&path, limits(50, 1 << 20)).unwrap();
        let (responses, bytes) = size(&store);
        assert!(responses <= 50 && bytes <= 1 << 20);
        let whole = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
        let last = whole.rsplit("kept ").next().unwrap().trim();
        let id: usize = last.parse().unwrap();
        let kept = store.get(&format!("resp_{id}"), None).unwrap();
        assert_eq!(kept.as_deref(), Some(&entry(id, None, id * 37 % 3000)));
    }
}
