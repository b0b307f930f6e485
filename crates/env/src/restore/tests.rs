use std::ffi::OsString;

use super::*;
use crate::Warning;
use crate::fixture::Fixture;
use crate::{Environment, Options, Sdk};

const REVERSIBLE: Options = Options {
    debug: false,
    serving: false,
    reversible: true,
    testing: false,
};
const DEBUGGING: Options = Options {
    debug: true,
    ..REVERSIBLE
};

/// `ambient` after the workspace was activated in it.
fn activated(fixture: &Fixture, ambient: &Ambient, options: Options) -> Ambient {
    let workspace = fixture.workspace();
    let sdk = Sdk::find(&workspace, ambient).unwrap();
    Environment::compute(&workspace, sdk.as_ref(), ambient, options)
        .unwrap()
        .apply(ambient)
}

/// `ambient` after the activation in it was undone.
fn restored(ambient: &Ambient) -> Ambient {
    Environment::undo(ambient).unwrap().unwrap().apply(ambient)
}

/// In an order of its own: only what is set counts.
fn sorted(ambient: &Ambient) -> Vec<(&OsStr, &OsStr)> {
    let mut variables: Vec<_> = ambient.iter().collect();
    variables.sort();
    variables
}

/// A workspace with everything, in an environment where everything is set already.
fn crowded() -> Fixture {
    let fixture = Fixture::standalone();
    fixture.venv("tree/.venv", "python3.11");
    fixture.write("build/mxfp4.mojoc", "");
    let hostile = OsString::from_vec(b"a,b%2C'\"$(x)`y`\n\xff+-".to_vec());
    fixture
        .set("PATH", "/usr/bin::/bin:")
        .set("PYTHONPATH", "")
        .set("PYTHONHOME", &hostile)
        .set("MODULAR_MOJO_MAX_IMPORT_PATH", &hostile)
        .set("MODULAR_MAX_PACKAGE_ROOT", &hostile)
        .set("MODULAR_TELEMETRY_ENABLED", "1")
}

#[test]
fn undoing_restores_every_byte() {
    for fixture in [crowded(), Fixture::standalone(), Fixture::modular()] {
        for options in [REVERSIBLE, DEBUGGING] {
            let active = activated(&fixture, &fixture.ambient, options);
            assert_ne!(sorted(&active), sorted(&fixture.ambient));
            assert_eq!(sorted(&restored(&active)), sorted(&fixture.ambient));
            let again = activated(&fixture, &active, options);
            assert_eq!(again, active, "the record of the first time stays");
        }
    }
    assert_eq!(
        Environment::undo(&Fixture::standalone().ambient).unwrap(),
        None
    );
}

#[test]
fn a_package_that_was_built_since_is_loaded_and_the_record_stays_exact() {
    let fixture = Fixture::standalone().set("MAX_CUSTOM_EXTENSIONS", "/mine.mojoc");
    let active = activated(&fixture, &fixture.ambient, REVERSIBLE);
    let package = fixture.write("build/mxfp4.mojoc", "");
    let active = activated(&fixture, &active, REVERSIBLE);
    let list = format!("{}:/mine.mojoc", package.display());
    assert_eq!(active.get("MAX_CUSTOM_EXTENSIONS"), Some(list.as_ref()));
    assert_eq!(sorted(&restored(&active)), sorted(&fixture.ambient));
}

#[test]
fn what_the_user_changed_since_is_kept() {
    let fixture = crowded();
    let active = activated(&fixture, &fixture.ambient, REVERSIBLE);
    let path = active.get("PATH").unwrap().to_str().unwrap();
    let changed = |name: &str, value: &str| {
        let mut ambient = active.clone();
        ambient.set(name, value);
        let again = activated(&fixture, &ambient, REVERSIBLE);
        let restored = restored(&ambient).get(name).map(OsStr::to_owned);
        (restored.unwrap(), again.get(name).unwrap().to_owned())
    };
    let (head, _) = path.split_once(':').unwrap();
    for (value, expected) in [
        (format!("{path}:/more"), "/usr/bin::/bin::/more"),
        (format!("/more:{path}"), "/more:/usr/bin::/bin:"),
        (format!("/1:{path}:/2"), "/1:/usr/bin::/bin::/2"),
        // Between ours: those are taken out one by one.
        (
            path.replacen(head, &format!("{head}:/more"), 1),
            "/more:/usr/bin::/bin",
        ),
        ("/only".into(), "/only"),
    ] {
        let (restored, _) = changed("PATH", &value);
        assert_eq!(restored, expected, "{value}");
    }
    let (restored, again) = changed("MODULAR_TELEMETRY_ENABLED", "0");
    assert_eq!((restored, again), ("0".into(), "0".into()));
    let (restored, again) = changed("MODULAR_MAX_PACKAGE_ROOT", "/theirs");
    assert_eq!(restored, "/theirs");
    assert_ne!(again, "/theirs", "activating again decides it again");

    let mut ambient = active.clone();
    ambient.remove("PYTHONPATH");
    assert_eq!(self::restored(&ambient).get("PYTHONPATH"), None);
}

#[test]
fn another_workspace_on_top_leaves_nothing_of_the_first() {
    let first = crowded();
    let second = Fixture::modular();
    let active = activated(&first, &first.ambient, DEBUGGING);
    let both = activated(&second, &active, REVERSIBLE);
    let alone = activated(&second, &first.ambient, REVERSIBLE);
    assert_eq!(sorted(&both), sorted(&alone));
    assert_eq!(sorted(&restored(&both)), sorted(&first.ambient));

    // The second has no SDK of its own, and the first one's on PATH is not the user's.
    assert_eq!(Sdk::find(&second.workspace(), &active).unwrap(), None);

    // A child of `mxfp4 serve` evaluates nothing, so that the first one's record would be wrong there.
    let serving = activated(
        &second,
        &active,
        Options {
            serving: true,
            ..Options::default()
        },
    );
    assert_eq!(serving.get(VARIABLE), None);
    assert_eq!(serving.get("PYTHONPATH"), both.get("PYTHONPATH"));
}

#[test]
fn debugging_goes_on_until_it_is_undone() {
    let fixture = Fixture::standalone().set("MODULAR_DEBUG", "nan-check");
    let debugging = activated(&fixture, &fixture.ambient, DEBUGGING);
    let again = activated(&fixture, &debugging, REVERSIBLE);
    for ambient in [&debugging, &again] {
        assert_eq!(
            ambient.get("MODULAR_DEBUG"),
            Some("device-sync-mode,nan-check".as_ref())
        );
        assert_eq!(sorted(&restored(ambient)), sorted(&fixture.ambient));
    }
}

#[test]
fn the_hooks_mark_goes_with_the_activation() {
    let (first, second) = (Fixture::standalone(), Fixture::standalone());
    let mut active = activated(&first, &first.ambient, REVERSIBLE);
    active.set(HOOK, &first.root);
    assert_eq!(activated(&first, &active, REVERSIBLE), active);
    assert_eq!(activated(&second, &active, REVERSIBLE).get(HOOK), None);
    assert_eq!(sorted(&restored(&active)), sorted(&first.ambient));
}

#[test]
fn what_is_no_record_restores_nothing() {
    let fixture = Fixture::standalone();
    for text in [
        "x",
        "2,/w",
        "1,/w,PATH,-",
        "1,/w,PATH,-,/x",
        "1,/w,PATH;id,-,+x",
        "1,/w,1X,-,+x",
        "1,/w,,-,+x",
    ] {
        let mut ambient = fixture.ambient.clone();
        ambient.set(VARIABLE, text);
        let error = Environment::undo(&ambient).unwrap_err();
        assert!(
            error.to_string().contains("MXFP4_RESTORE holds no record"),
            "{text}: {error}"
        );
        assert_eq!(error.exit().code(), 1);
        let active = activated(&fixture, &ambient, REVERSIBLE);
        assert_eq!(
            sorted(&restored(&active)),
            sorted(&fixture.ambient),
            "{text}"
        );
    }
}

#[test]
fn a_record_that_no_program_could_be_started_with_is_not_made() {
    // It is replaced as a whole.
    let fixture = crowded().set("PYTHONHOME", "x".repeat(131_000));
    let environment = fixture.compute_for(REVERSIBLE);
    assert_eq!(environment.get(VARIABLE), None);
    assert_eq!(environment.warnings, [Warning::TooLong]);
}

#[test]
fn a_long_path_is_recorded_and_restored() {
    // 60 KB, as they grow where each shell adds to it, and with entries of ours; each byte is to come back.
    let plain: Vec<String> = (0..1800)
        .map(|number| format!("/opt/tools/{number:04}/a folder of bin"))
        .collect();
    let twice = [&plain[..900], &plain[..900]].concat();
    for path in [plain.join(":"), twice.join(":")] {
        for own in [false, true] {
            let fixture = crowded();
            let venv = fixture.root.join(".venv/bin");
            let path = match own {
                false => path.clone(),
                true => format!("{path}:{}::/end:", venv.display()),
            };
            let fixture = fixture.set("PATH", path);
            let active = activated(&fixture, &fixture.ambient, REVERSIBLE);
            let record = active.get(VARIABLE).unwrap();
            assert!(record.len() < 100_000, "{}", record.len());
            assert_eq!(sorted(&restored(&active)), sorted(&fixture.ambient));
            assert_eq!(activated(&fixture, &active, REVERSIBLE), active);
        }
    }
}

#[test]
fn the_entries_of_a_list() {
    let fixture = crowded();
    let active = activated(&fixture, &fixture.ambient, REVERSIBLE);
    let record = Restore::of(&active).unwrap();
    let venv = fixture.root.join(".venv");
    let [native, scripts] = [
        venv.join("lib/python3.11/site-packages/modular/bin"),
        venv.join("bin"),
    ];
    assert_eq!(record.entries("PATH"), [native, scripts]);
    assert_eq!(record.entries("PYTHONPATH"), [fixture.root.join("python")]);
    assert_eq!(record.entries("PYTHONHOME"), [""; 0]);
}
