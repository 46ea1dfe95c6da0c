//! What tests share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use settings::Rootcheck;

use crate::pace::{Pace, Stopped};
use crate::scene::{Said, Scene};

/// A folder of the recorded data of hosts; `None`, with a message, where it is not there.
pub(crate) fn golden_folder(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let golden = std::env::var_os("GOLDEN_DIR")
        .map_or_else(|| root.join("../shared/golden"), |folder| root.join(folder));
    let folder = golden.join("host").join(name);
    if !folder.is_dir() {
        println!("skipped: no golden data in {}", folder.display());
        return None;
    }
    Some(folder)
}

/// What a check tells, on the real `/` but for what its views say, without rests.
pub(crate) fn told(check: impl FnOnce(&mut Scene<'_>) -> Result<(), Stopped>) -> Vec<String> {
    told_of(&Rootcheck::default(), Path::new("/nowhere"), check)
}

/// The same by these settings, with this install root.
pub(crate) fn told_of(
    settings: &Rootcheck,
    root: &Path,
    check: impl FnOnce(&mut Scene<'_>) -> Result<(), Stopped>,
) -> Vec<String> {
    let mut found = Vec::new();
    let mut scene = Scene {
        settings,
        base: settings.base_directory.clone(),
        root: root.to_owned(),
        pace: Pace::new(Arc::default(), Duration::ZERO),
        said: &mut Said::default(),
        ships: &|_, _, _| false,
        tell: &mut |text| {
            found.push(String::from_utf8(text).unwrap());
            Ok(())
        },
    };
    assert_eq!(check(&mut scene), Ok(()));
    found
}
