//! One walk through the file system: oddities in the system's folders, rootkits' names anywhere, and what is SUID.
//!
//! Whatever looks odd is looked at again after a moment, since files come and go while one looks.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, FileType, Stat, fstat, statat};
use rustix::io::Errno;

use crate::check::files;
use crate::check::suid::{self, Special};
use crate::grammar::rootkits::RootkitFile;
use crate::pace::{Pace, Stopped};
use crate::scene::{Scene, read_through, shown};
use crate::walk::{self, FileSystem, Folder, Item, walk};

/// The system's folders.
const FOLDERS: [&[u8]; 18] = [
    b"bin",
    b"sbin",
    b"usr/bin",
    b"usr/sbin",
    b"dev",
    b"lib",
    b"etc",
    b"root",
    b"var/log",
    b"var/mail",
    b"var/lib",
    b"var/www",
    b"usr/lib",
    b"usr/include",
    b"tmp",
    b"boot",
    b"usr/local",
    b"var/tmp",
];
/// Those of them whose files are read, to compare their lengths.
const READ: [&[u8]; 6] = [b"bin", b"sbin", b"usr/bin", b"usr/sbin", b"etc", b"boot"];
/// Where everybody may write, by the purpose of the place.
const OPEN_PLACES: [&[u8]; 2] = [b"dev/shm", b"dev/mqueue"];
/// Where the systems inside of containers lie, with SUID files and oddities of their own.
const CONTAINERS: [&[u8]; 8] = [
    b"var/lib/docker",
    b"var/lib/containerd",
    b"var/lib/containers",
    b"var/lib/lxc",
    b"var/lib/lxd",
    b"var/lib/machines",
    b"run/containerd",
    b"snap",
];
/// Longer files are not read through.
const MAX_READ: u64 = 1 << 30;
/// Looks at something odd before it is told.
const LOOKS: u32 = 3;
/// Between two of these looks.
const SETTLE: Duration = Duration::from_millis(100);

/// What the walk is for.
pub(crate) struct Wanted<'a> {
    /// Oddities in the system's folders.
    pub(crate) oddities: bool,
    /// Everything that is SUID or SGID.
    pub(crate) special: bool,
    /// Names of rootkits' files.
    pub(crate) names: &'a [RootkitFile],
}

/// Walks.
pub(crate) fn run(scene: &mut Scene<'_>, wanted: &Wanted<'_>) -> Result<(), Stopped> {
    let plan = Plan::new(scene, wanted);
    let mut found = Found::default();
    let settings = scene.settings;
    let enters = |path: &Path, system: FileSystem| {
        let is_remote = system == FileSystem::Remote;
        let reads_remote = !settings.skip_nfs && wanted.oddities && plan.is_system(path);
        let is_inside = plan.containers.iter().any(|place| place == path);
        (!is_remote || reads_remote)
            && !is_inside
            && !settings.ignore.iter().any(|ignored| ignored == path)
    };
    for top in plan.tops.clone() {
        walk(&top, &mut scene.pace, &enters, &mut |folder, pace| {
            if wanted.special && folder.system != FileSystem::Remote {
                found.special.extend(suid::special(folder));
            }
            if wanted.oddities && plan.is_system(&folder.path) {
                look(folder, &plan, settings, &mut found);
                found.compare_lengths(pace)?;
            }
            pace.step(1)
        })?;
        found.confirm(scene)?;
    }
    for (at, path) in std::mem::take(&mut found.rootkits) {
        if let Some(file) = wanted.names.get(at) {
            files::accuse(scene, file, &path)?;
        }
    }
    if wanted.special { suid::compare(scene, found.special) } else { Ok(()) }
}

/// Which folders are walked, and which of them are the system's.
struct Plan {
    tops: Vec<PathBuf>,
    system: Vec<PathBuf>,
    read: Vec<PathBuf>,
    open_places: Vec<PathBuf>,
    containers: Vec<PathBuf>,
    names: HashMap<Vec<u8>, usize>,
}

impl Plan {
    fn new(scene: &Scene<'_>, wanted: &Wanted<'_>) -> Self {
        let base = fs::canonicalize(scene.at(b"")).unwrap_or_else(|_| scene.at(b""));
        // A folder may be a link to another one of the list.
        let real = |folders: &[&[u8]]| {
            let mut real: Vec<PathBuf> = folders
                .iter()
                .filter_map(|folder| fs::canonicalize(scene.at(folder)).ok())
                .collect();
            real.sort();
            real.dedup();
            real
        };
        let all = scene.settings.scanall;
        let system = if all { vec![base.clone()] } else { real(&FOLDERS) };
        let read = if scene.settings.readall { vec![base.clone()] } else { real(&READ) };
        let tops = if wanted.special || all { vec![base] } else { system.clone() };
        let names =
            wanted.names.iter().zip(0..).map(|(file, at)| (file.path.clone(), at)).collect();
        Self {
            tops,
            system,
            read,
            open_places: real(&OPEN_PLACES),
            containers: real(&CONTAINERS),
            names,
        }
    }

    fn is_system(&self, path: &Path) -> bool {
        self.system.iter().any(|top| path.starts_with(top))
    }

    fn is_read(&self, path: &Path) -> bool {
        self.read.iter().any(|top| path.starts_with(top))
    }
}

/// What looks odd at the first look.
#[derive(Default)]
struct Found {
    special: Vec<Special>,
    rootkits: Vec<(usize, PathBuf)>,
    /// Shown by readdir, not by stat.
    unseen: Vec<PathBuf>,
    /// To be read through and compared with this length.
    unread: Vec<(PathBuf, u64)>,
    other_length: Vec<PathBuf>,
    writable: Vec<PathBuf>,
    open_folders: Vec<PathBuf>,
    /// Folders whose link count is another than the number of folders in them.
    miscounted: Vec<PathBuf>,
}

fn look(folder: &Folder, plan: &Plan, settings: &settings::Rootcheck, found: &mut Found) {
    let reads = plan.is_read(&folder.path) && folder.system != FileSystem::Remote;
    for item in &folder.items {
        let path = folder.path_of(item);
        if settings.ignore.contains(&path) {
            continue;
        }
        if let Some(&at) = plan.names.get(&item.name) {
            found.rootkits.push((at, path.clone()));
        }
        let stat = match &item.stat {
            Ok(stat) => stat,
            Err(Errno::NOENT) => {
                found.unseen.push(path);
                continue;
            }
            Err(_) => continue,
        };
        let is_open = stat.st_uid == 0 && stat.st_mode & 0o002 != 0;
        match item.kind() {
            FileType::RegularFile => {
                if is_open {
                    found.writable.push(path.clone());
                }
                let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
                if reads && size <= MAX_READ {
                    found.unread.push((path, size));
                }
            }
            FileType::Directory
                if is_open && stat.st_mode & 0o1000 == 0 && !plan.open_places.contains(&path) =>
            {
                found.open_folders.push(path);
            }
            _ => {}
        }
    }
    if folder.system == FileSystem::Counting && is_miscounted(&folder.stat, &folder.items) {
        found.miscounted.push(folder.path.clone());
    }
}

/// A link count of 1 means that the file system has given up counting.
fn is_miscounted(stat: &Stat, items: &[Item]) -> bool {
    let links = u64::from(stat.st_nlink as u32);
    links > 1 && links != folders(items) + 2
}

fn folders(items: &[Item]) -> u64 {
    items.iter().filter(|item| item.kind() == FileType::Directory).count() as u64
}

impl Found {
    /// Reads the files of a folder through; those that are as long as they say are done with.
    fn compare_lengths(&mut self, pace: &mut Pace) -> Result<(), Stopped> {
        for (path, size) in std::mem::take(&mut self.unread) {
            let read = read_through(pace, &path, MAX_READ, &mut |_| {})?;
            if read.is_some_and(|read| read != size) {
                self.other_length.push(path);
            }
        }
        Ok(())
    }

    /// Looks again at what looked odd, and tells of what stays so.
    fn confirm(&mut self, scene: &mut Scene<'_>) -> Result<(), Stopped> {
        for path in std::mem::take(&mut self.unseen) {
            if stays_unseen(scene, &path)? {
                scene.found(&[
                    b"Anomaly detected in file '",
                    &shown(&path),
                    b"'. Hidden from stats, but showing up on readdir. Possible kernel level rootkit.",
                ])?;
            }
        }
        for path in std::mem::take(&mut self.other_length) {
            if stays_of_other_length(scene, &path)? {
                let digests = scene.digests(&path)?;
                scene.found(&[
                    b"Anomaly detected in file '",
                    &shown(&path),
                    b"'. File size doesn't match what we found. Possible kernel level rootkit.",
                    &digests,
                ])?;
            }
        }
        for path in std::mem::take(&mut self.writable) {
            let text = b"' is owned by root and has write permissions to anyone.";
            scene.found(&[b"File '", &shown(&path), text])?;
        }
        for path in std::mem::take(&mut self.open_folders) {
            let text = b"' is owned by root, has write permissions to anyone and no sticky bit.";
            scene.found(&[b"Directory '", &shown(&path), text])?;
        }
        for path in std::mem::take(&mut self.miscounted) {
            if let Some((links, folders)) = stays_miscounted(scene, &path)? {
                let counts = format!("({links},{}).", folders + 2);
                scene.found(&[
                    b"Files hidden inside directory '",
                    &shown(&path),
                    b"'. Link count does not match number of files ",
                    counts.as_bytes(),
                ])?;
            }
        }
        Ok(())
    }
}

fn stays_unseen(scene: &mut Scene<'_>, path: &Path) -> Result<bool, Stopped> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(false) };
    for _ in 0..LOOKS {
        scene.pace.wait(SETTLE)?;
        let Ok(folder) = crate::scene::open_folder(parent) else { return Ok(false) };
        let names = walk::names(&folder).unwrap_or_default();
        let is_listed = names.iter().any(|listed| OsStr::from_bytes(listed) == name);
        let stat = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW);
        if !is_listed || stat.err() != Some(Errno::NOENT) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Nobody writes to the file while it is read, and still its length is another than stat says.
fn stays_of_other_length(scene: &mut Scene<'_>, path: &Path) -> Result<bool, Stopped> {
    for _ in 0..LOOKS {
        scene.pace.wait(SETTLE)?;
        let before = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW);
        let read = read_through(&mut scene.pace, path, MAX_READ, &mut |_| {})?;
        let after = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW);
        let (Ok(before), Some(read), Ok(after)) = (before, read, after) else { return Ok(false) };
        let marks = |stat: &Stat| (stat.st_ino, stat.st_size, stat.st_ctime, stat.st_ctime_nsec);
        let is_still = marks(&before) == marks(&after);
        if !is_still || u64::try_from(after.st_size) == Ok(read) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn stays_miscounted(scene: &mut Scene<'_>, path: &Path) -> Result<Option<(u64, u64)>, Stopped> {
    let mut counts = None;
    for _ in 0..LOOKS {
        scene.pace.wait(SETTLE)?;
        let Some(folder) = Folder::open(path, &mut scene.pace)? else { return Ok(None) };
        let Ok(after) = fstat(&folder.fd) else { return Ok(None) };
        let is_still =
            after.st_nlink == folder.stat.st_nlink && after.st_mtime == folder.stat.st_mtime;
        if !is_miscounted(&folder.stat, &folder.items) || !is_still {
            return Ok(None);
        }
        counts = Some((u64::from(after.st_nlink as u32), folders(&folder.items)));
    }
    Ok(counts)
}
