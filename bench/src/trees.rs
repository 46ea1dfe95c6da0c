//! What is scanned: many small files, what a distribution installs, a few large files.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

const SMALL: u64 = 100_000;
const BIG: u64 = 8;

/// A folder with files.
pub struct Tree {
    pub name: &'static str,
    pub folder: PathBuf,
    pub files: u64,
    pub bytes: u64,
}

/// 100,000 files of 4 KiB in 100 folders.
pub fn small(folder: &Path) -> Tree {
    for n in 0..SMALL {
        let parent = folder.join(format!("d{:02}", n % 100));
        if n < 100 {
            fs::create_dir_all(&parent).expect("a folder for files");
        }
        let mut content = format!("{n:09}").repeat(456);
        content.truncate(4096);
        fs::write(parent.join(format!("f{n:06}")), content).expect("room for 400 MB");
    }
    Tree { name: "small", folder: folder.to_owned(), files: SMALL, bytes: SMALL * 4096 }
}

/// `/usr` as it is here.
pub fn usr() -> Tree {
    let mut tree = Tree { name: "/usr", folder: PathBuf::from("/usr"), files: 0, bytes: 0 };
    let mut folders = vec![tree.folder.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                tree.files += 1;
                tree.bytes += if metadata.is_file() { metadata.len() } else { 0 };
            }
        }
    }
    tree
}

/// So many GiB in 8 files; `None` where there is no room for it.
pub fn big(folder: &Path, gib: u64) -> Option<Tree> {
    fs::create_dir_all(folder).ok()?;
    let bytes = gib << 30;
    let mut block = vec![0; 1 << 20];
    let mut state = 1_u64;
    for n in 0..BIG {
        let mut file = File::create(folder.join(format!("f{n}"))).ok()?;
        for _ in 0..bytes / BIG / block.len() as u64 {
            for chunk in block.chunks_exact_mut(8) {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                chunk.copy_from_slice(&state.to_le_bytes());
            }
            if file.write_all(&block).is_err() {
                let _ = fs::remove_dir_all(folder);
                return None;
            }
        }
    }
    Some(Tree { name: "big", folder: folder.to_owned(), files: BIG, bytes })
}
