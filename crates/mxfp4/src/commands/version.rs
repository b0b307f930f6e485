//! `mxfp4 --version`

use mxfp4_env::{Ambient, Layout, Sdk, Workspace};

use crate::context::Place;

/// The version of this program, and in a workspace those of MAX and Mojo: `mxfp4 0.1.0 (MAX 26.7.0, Mojo 1.2.0)`.
///
/// It answers wherever it is asked: no workspace, a wrong `mxfp4.toml` and a wrong `MXFP4_SDK` leave out what they
/// would have told.
pub fn full(place: &Place) -> String {
    let own = concat!("mxfp4 ", env!("CARGO_PKG_VERSION"));
    let sdk = Workspace::find(place.root.as_deref(), &place.cwd)
        .ok()
        .and_then(|workspace| of_sdk(&workspace, &place.ambient));
    match sdk {
        Some(sdk) => format!("{own} ({sdk})"),
        None => own.into(),
    }
}

/// `MAX 26.7.0, Mojo 1.2.0`: what is there, and what `mxfp4.toml` asks for where that is something else.
fn of_sdk(workspace: &Workspace, ambient: &Ambient) -> Option<String> {
    let pins = &workspace.config.sdk;
    let packages = [("MAX", "max", &pins.max), ("Mojo", "mojo", &pins.mojo)];
    // A Modular checkout is pinned by its own environment, and not by us.
    let is_pinned = workspace.layout == Layout::Standalone;
    let Some(sdk) = Sdk::find(workspace, ambient).ok().flatten() else {
        let pins = packages.map(|(title, _, pinned)| format!("{title} {pinned}"));
        return is_pinned.then(|| format!("{}; not installed", pins.join(", ")));
    };
    let found = packages.map(|(title, package, pinned)| match sdk.version(package) {
        Some(found) if is_pinned && found != pinned.as_str() => {
            format!("{title} {found} where mxfp4.toml asks for {pinned}")
        }
        Some(found) => format!("{title} {found}"),
        None => format!("{title} of an unknown version"),
    });
    Some(found.join(", "))
}
