//! Tests: both sources, on a real file system.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::*;
use crate::plan::join;

/// Both sources, as far as they are permitted here.
fn sources() -> Vec<Realtime> {
    let mut sources = vec![Realtime::new(None).unwrap()];
    match Fanotify::open() {
        Ok(group) => sources.push(Realtime::new(Some(&Arc::new(group))).unwrap()),
        Err(error) => println!("skipped: fanotify is not permitted here: {error}"),
    }
    sources
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

fn path(folder: &[u8], name: &str) -> Touched {
    Touched::Path { path: join(folder, name.as_bytes()), busy: false }
}

#[test]
fn events_name_the_path() {
    for mut realtime in sources() {
        let folder = tempfile::tempdir().unwrap();
        let root = bytes(folder.path());
        realtime.table().watch(root);

        fs::create_dir(folder.path().join("sub")).unwrap();
        assert_eq!(realtime.read(|_, _| {}), [path(root, "sub")]);
        fs::rename(folder.path().join("sub"), folder.path().join("other")).unwrap();

        let expected = [Touched::FolderGone(join(root, b"sub")), path(root, "other")];
        assert_eq!(realtime.read(|_, _| {}), expected);
    }
}

#[test]
fn a_folder_that_came_and_went_is_looked_at_either_way() {
    for mut realtime in sources() {
        let folder = tempfile::tempdir().unwrap();
        let root = bytes(folder.path());
        realtime.table().watch(root);

        let sub = folder.path().join("sub");
        fs::create_dir(&sub).unwrap();
        fs::remove_dir(&sub).unwrap();
        fs::create_dir(&sub).unwrap();

        let touched = realtime.read(|_, _| {});
        assert!(touched.contains(&Touched::FolderGone(join(root, b"sub"))), "{touched:?}");
        assert_eq!(touched.last(), Some(&path(root, "sub")));
    }
}

#[test]
fn writing_is_told_apart_from_closing() {
    use std::io::Write;
    for mut realtime in sources() {
        let folder = tempfile::tempdir().unwrap();
        let root = bytes(folder.path());
        let mut file = fs::File::create(folder.path().join("a")).unwrap();
        realtime.table().watch(root);

        file.write_all(b"x").unwrap();
        let busy = Touched::Path { path: join(root, b"a"), busy: true };
        assert_eq!(realtime.read(|_, _| {}), [busy]);

        drop(file);
        assert_eq!(realtime.read(|_, _| {}), [path(root, "a")]);
    }
}

#[test]
fn the_process_is_told_where_the_source_knows_it() {
    for (mut realtime, knows) in sources().into_iter().zip([false, true]) {
        let folder = tempfile::tempdir().unwrap();
        realtime.table().watch(bytes(folder.path()));
        fs::write(folder.path().join("a"), "x").unwrap();

        let mut told = Vec::new();
        realtime.read(|path, pid| told.push((path.to_vec(), pid)));

        let expected = (join(bytes(folder.path()), b"a"), std::process::id());
        assert_eq!(told.contains(&expected), knows);
    }
}

#[test]
fn a_folder_that_moved_away_is_no_longer_watched() {
    for mut realtime in sources() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
        fs::create_dir_all(inside.join("sub/deep")).unwrap();
        fs::create_dir(&outside).unwrap();
        for path in ["in", "in/sub", "in/sub/deep"] {
            realtime.table().watch(bytes(&folder.path().join(path)));
        }

        fs::rename(inside.join("sub"), outside.join("sub")).unwrap();
        assert_eq!(realtime.read(|_, _| {}).len(), 1);
        fs::write(outside.join("sub/deep/file"), "x").unwrap();

        assert_eq!(realtime.read(|_, _| {}), []);
        assert_eq!(realtime.table().counts(), (1, 0));
    }
}

#[test]
fn a_deleted_watched_folder_is_told() {
    for mut realtime in sources() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        realtime.table().watch(bytes(&root));

        fs::remove_dir(&root).unwrap();

        assert_eq!(realtime.read(|_, _| {}), [Touched::FolderGone(bytes(&root).to_vec())]);
        assert_eq!(realtime.table().counts(), (0, 0));
    }
}

#[test]
fn file_systems_without_handles_are_watched_all_the_same() {
    // proc(5) has none, on kernels of any age.
    for realtime in sources() {
        realtime.table().watch(b"/proc/self");
        assert_eq!(realtime.table().counts(), (1, 0));
    }
}

#[test]
fn a_mount_is_watched_as_a_whole() {
    // Only in a mount namespace of one's own may a test mount; elsewhere `/proc/self/mounts` names what there is.
    let Some(mut realtime) = sources().into_iter().nth(1) else { return };
    let mount = Path::new("/dev/shm");
    let Ok(folder) = tempfile::tempdir_in(mount) else { return println!("skipped: no /dev/shm") };
    realtime.table().watch(bytes(mount));
    let below = folder.path().join("a");
    fs::create_dir(&below).unwrap();
    let name = OsStr::from_bytes(b"new");
    // Known by name only: the mark is the file system's.
    realtime.table().watch(bytes(&below));
    let _ = realtime.read(|_, _| {});

    fs::write(below.join(name), "x").unwrap();

    assert!(realtime.read(|_, _| {}).contains(&path(bytes(&below), "new")));
}
