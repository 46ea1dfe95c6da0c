//! Through a tree of folders, each opened once and looked at as a whole. Symlinks are never followed.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Stat, fstat, fstatfs, statat};
use rustix::io::Errno;

use crate::pace::{Pace, Stopped};
use crate::scene::open_folder;

/// Entries of one folder that are looked at; the folder's later entries are left out.
const MAX_ENTRIES: usize = 1_000_000;

/// One folder and all that is in it.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    pub(crate) fd: OwnedFd,
    pub(crate) stat: Stat,
    pub(crate) system: FileSystem,
    /// In the order of their names.
    pub(crate) items: Vec<Item>,
}

/// One entry of a folder.
#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) name: Vec<u8>,
    /// `Err` with what stat said.
    pub(crate) stat: Result<Stat, Errno>,
}

/// What kind of file system a folder lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileSystem {
    /// A folder's link count tells its folders: ext, xfs, tmpfs.
    Counting,
    /// Any other on a disk.
    Other,
    /// Over the network, or through a program.
    Remote,
    /// Made up by the kernel: nothing there is a file.
    Pseudo,
}

impl Item {
    pub(crate) fn kind(&self) -> FileType {
        self.stat.as_ref().map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode))
    }
}

impl Folder {
    /// Opens and lists a folder; `None` when it is not there any more, or not to be opened.
    pub(crate) fn open(path: &Path, pace: &mut Pace) -> Result<Option<Self>, Stopped> {
        pace.step(4)?;
        let Ok(fd) = open_folder(path) else { return Ok(None) };
        let (Ok(stat), Ok(system)) = (fstat(&fd), fstatfs(&fd)) else { return Ok(None) };
        let Some(names) = names(&fd) else { return Ok(None) };
        let mut items = Vec::with_capacity(names.len());
        for name in names {
            pace.step(1)?;
            let stat = statat(&fd, OsStr::from_bytes(&name), AtFlags::SYMLINK_NOFOLLOW);
            items.push(Item { name, stat });
        }
        let system = FileSystem::of(i128::from(system.f_type));
        Ok(Some(Self { path: path.to_owned(), fd, stat, system, items }))
    }

    pub(crate) fn path_of(&self, item: &Item) -> PathBuf {
        self.path.join(OsStr::from_bytes(&item.name))
    }
}

impl FileSystem {
    /// By the magic number of statfs(2).
    fn of(magic: i128) -> Self {
        match magic & 0xffff_ffff {
            0xef53 | 0x5846_5342 | 0x0102_1994 => Self::Counting,
            // NFS, SMB, CIFS, SMB2, Ceph, AFS, Coda, FUSE
            0x6969 | 0x517b | 0xff53_4d42 | 0xfe53_4d42 | 0x00c3_6400 | 0x5346_414f
            | 0x7375_7245 | 0x6573_5546 => Self::Remote,
            // proc, sysfs, cgroup, cgroup2, debugfs, tracefs, securityfs, bpf, pstore, devpts, selinux, configfs,
            // hugetlbfs, mqueue, autofs, efivarfs, rpc_pipefs, nsfs, fusectl, binfmt_misc, smack
            0x9fa0 | 0x6265_6572 | 0x0027_e0eb | 0x6367_7270 | 0x6462_6720 | 0x7472_6163
            | 0x7363_6673 | 0xcafe_4a11 | 0x6165_676c | 0x1cd1 | 0xf97c_ff8c | 0x6265_6570
            | 0x9584_58f6 | 0x1980_0202 | 0x0187 | 0xde5e_81e4 | 0x6759_6969 | 0x6e73_6673
            | 0x6573_5543 | 0x4249_4e4d | 0x4341_5d53 => Self::Pseudo,
            _ => Self::Other,
        }
    }
}

/// All names of a folder but `.` and `..`, sorted.
pub(crate) fn names(fd: impl AsFd) -> Option<Vec<Vec<u8>>> {
    let entries = Dir::read_from(fd).ok()?;
    let names = entries.map_while(Result::ok).map(|entry| entry.file_name().to_bytes().to_vec());
    let mut names: Vec<_> =
        names.filter(|name| !matches!(name.as_slice(), b"." | b"..")).take(MAX_ENTRIES).collect();
    names.sort_unstable();
    Some(names)
}

/// Visits `top` and all folders below it that `enters` lets pass; a file system that is none is never entered.
pub(crate) fn walk(
    top: &Path,
    pace: &mut Pace,
    enters: &dyn Fn(&Path, FileSystem) -> bool,
    visit: &mut dyn FnMut(&Folder, &mut Pace) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let mut open = vec![top.to_owned()];
    let mut systems = HashMap::new();
    while let Some(path) = open.pop() {
        // Asked before the folder is listed: listing a remote or automounted one may take forever.
        let Ok(data) = fs::symlink_metadata(&path) else { continue };
        let device = std::os::unix::fs::MetadataExt::dev(&data);
        let system = match systems.get(&device) {
            Some(system) => *system,
            None => {
                let Ok(found) = rustix::fs::statfs(&path) else { continue };
                let system = FileSystem::of(i128::from(found.f_type));
                systems.insert(device, system);
                system
            }
        };
        if system == FileSystem::Pseudo || !enters(&path, system) {
            continue;
        }
        let Some(folder) = Folder::open(&path, pace)? else { continue };
        visit(&folder, pace)?;
        let folders = folder.items.iter().rev().filter(|item| item.kind() == FileType::Directory);
        open.extend(folders.map(|item| folder.path_of(item)));
    }
    Ok(())
}
