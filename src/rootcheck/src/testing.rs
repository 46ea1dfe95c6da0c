//! What tests share.

use std::path::{Path, PathBuf};

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
