//! `/dev`: a folder of devices, in which a file is a hiding place; and programs in the memory below it.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::FileType;

use crate::pace::Stopped;
use crate::scene::{Scene, shown};
use crate::walk::walk;

/// Names that udev, initramfs, mdadm and the like leave there.
const NAMES: [&[u8]; 18] = [
    b"MAKEDEV",
    b"README.MAKEDEV",
    b"MAKEDEV.README",
    b"MAKEDEV.local",
    b".udevdb",
    b".udev.tdb",
    b".udev",
    b".initramfs-tools",
    b".initramfs",
    b".mdadm",
    b".mount",
    b".static",
    b".lxc",
    b".lxd-mounts",
    b".blkid.tab",
    b"oprofile",
    b"fd",
    b"cgroup",
];
/// Places for ordinary files, and file systems of their own.
const PLACES: [&[u8]; 8] = [
    b"/dev/shm",
    b"/dev/mqueue",
    b"/dev/hugepages",
    b"/dev/hugepages1G",
    b"/dev/pts",
    b"/dev/gpmctl",
    b"/dev/bus/usb/.usbfs",
    b"/dev/lxd",
];
const SHARED_MEMORY: &[u8] = b"/dev/shm";

/// Looks at `/dev`.
pub(crate) fn run(scene: &mut Scene<'_>) -> Result<(), Stopped> {
    let places: Vec<_> = PLACES.iter().map(|place| scene.at(place)).collect();
    let is_usual = |path: &Path| {
        let name = path.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
        NAMES.contains(&name) || places.iter().any(|place| place == path)
    };
    let mut found = Vec::new();
    let top = scene.at(b"/dev");
    walk(&top, &mut scene.pace, &|path, _| !is_usual(path), &mut |folder, _| {
        let files = folder.items.iter().filter(|item| item.kind() == FileType::RegularFile);
        found.extend(files.map(|item| folder.path_of(item)).filter(|path| !is_usual(path)));
        Ok(())
    })?;
    for path in found {
        scene.found(&[b"File '", &shown(&path), b"' present on /dev. Possible hidden file."])?;
    }
    shared_memory(scene)
}

/// A program in shared memory is gone after a restart, and with it what it did: no package does that.
fn shared_memory(scene: &mut Scene<'_>) -> Result<(), Stopped> {
    let mut found = Vec::new();
    let top = scene.at(SHARED_MEMORY);
    walk(&top, &mut scene.pace, &|_, _| true, &mut |folder, _| {
        let programs = folder.items.iter().filter(|item| {
            let mode = item.stat.as_ref().map_or(0, |stat| stat.st_mode);
            item.kind() == FileType::RegularFile && mode & 0o111 != 0
        });
        found.extend(programs.map(|item| folder.path_of(item)));
        Ok(())
    })?;
    for path in found {
        let digests = scene.digests(&path)?;
        scene.found(&[
            b"Program '",
            &shown(&path),
            b"' in shared memory. Possible malware.",
            &digests,
        ])?;
    }
    Ok(())
}
