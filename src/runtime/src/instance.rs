//! One instance of a daemon, and how others know that it runs.
//!
//! `var/run/<name>.lock` is locked (flock) as long as the daemon lives and holds its process id; the kernel
//! lets go of the lock at any kind of death, so a number that is used again after a reboot never fools anyone.
//! `var/run/<name>-<pid>.pid`, as OSSEC has it, is for the scripts that look for it; it is locked too.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;

use crate::failure::{Failure, errno};

/// The process id of the running daemon `name`; `None` if it does not run, or if that cannot be seen.
pub fn running(root: &Path, name: &str) -> Option<u32> {
    look(root, name).ok().flatten()
}

/// As [`running`], but says why it could not be seen.
///
/// # Errors
/// The lock file is there but cannot be read, for instance for lack of rights.
pub fn look(root: &Path, name: &str) -> io::Result<Option<u32>> {
    let path = root.join(RUN).join(format!("{name}.lock"));
    for _ in 0..TRIES {
        let mut lock = match File::open(&path) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match lock.try_lock_shared() {
            Ok(()) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {}
        }
        // Between its lock and its number a daemon needs a moment.
        match number_in(&mut lock) {
            Some(pid) if sys::process::exists(pid) => return Ok(Some(pid)),
            _ => thread::sleep(MOMENT),
        }
    }
    Ok(None)
}

fn number_in(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(32).read_to_string(&mut text).ok()?;
    text.trim_end().parse().ok()
}

/// What makes this process the one instance; let go with [`Held::release`], or by dying.
#[derive(Debug)]
pub(crate) struct Held {
    lock: File,
    _pid: File,
    pid_name: String,
}

impl Held {
    /// Takes the lock, removes the pid files of dead predecessors and writes ours. `gid`: the group that may
    /// read them, when this process is root.
    pub(crate) fn take(root: &Path, name: &str, gid: Option<u32>) -> Result<Self, Failure> {
        let run = root.join(RUN);
        let lock_path = run.join(format!("{name}.lock"));
        let mut lock = open(OpenOptions::new().read(true).write(true).create(true), &lock_path)
            .map_err(|error| no_pid_file(&lock_path, &error))?;
        lock_out(&lock, root, name)?;
        let unusable = |error| no_pid_file(&lock_path, &error);
        let pid = std::process::id();
        lock.set_len(0).map_err(unusable)?;
        lock.rewind().map_err(unusable)?;
        writeln!(lock, "{pid}").map_err(unusable)?;
        forget_predecessors(&run, name);
        let pid_name = format!("{name}-{pid}.pid");
        let pid_path = run.join(&pid_name);
        let mut pid_file = open(OpenOptions::new().write(true).create_new(true), &pid_path)
            .map_err(|error| no_pid_file(&pid_path, &error))?;
        writeln!(pid_file, "{pid}").map_err(|error| no_pid_file(&pid_path, &error))?;
        // Nobody else can hold it: the file is new.
        let _ = pid_file.try_lock();
        for file in [&lock, &pid_file] {
            // Refused unless root; then the files have our group anyway.
            let _ = gid.map(|gid| fchown(file, None, Some(gid)));
        }
        Ok(Self { lock, _pid: pid_file, pid_name })
    }

    /// An orderly end: the pid file goes, the lock file stays empty (removing it would race with a starter).
    pub(crate) fn release(&mut self, root: &Path) {
        let _ = fs::remove_file(root.join(RUN).join(&self.pid_name));
        let _ = self.lock.set_len(0);
    }
}

/// Takes the lock, or says who has it. Tries for a moment: someone may just be looking, with a shared lock, and a
/// child of a predecessor that was killed between fork and exec still has its descriptors for an instant.
fn lock_out(lock: &File, root: &Path, name: &str) -> Result<(), Failure> {
    let path = root.join(RUN).join(format!("{name}.lock"));
    for _ in 0..TRIES {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(no_pid_file(&path, &error)),
            Err(TryLockError::WouldBlock) => thread::sleep(MOMENT),
        }
    }
    let text = match running(root, name) {
        Some(pid) => format!(
            "{name} already runs as process {pid}; stop it first, or use 'ossec-control restart'"
        ),
        None => {
            let path = path.display();
            format!("'{path}' is locked by another process; find it with: fuser {path}")
        }
    };
    Err(Failure::new(None, text))
}

/// Opens a file of `var/run`, in which the group of the suite may write: never through a link.
fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = options.mode(0o640).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("it is not a regular file"))
    }
}

/// We hold the lock, so every other pid file of this name is left over from a crash.
fn forget_predecessors(run: &Path, name: &str) {
    let Ok(entries) = fs::read_dir(run) else { return };
    for entry in entries.flatten() {
        let file_name = entry.file_name();
        let stale = file_name
            .to_str()
            .and_then(|file| file.strip_prefix(name)?.strip_prefix('-')?.strip_suffix(".pid"))
            .is_some_and(|pid| !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()));
        if stale {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn no_pid_file(path: &Path, error: &io::Error) -> Failure {
    let folder: PathBuf = path.parent().map(Path::to_path_buf).unwrap_or_default();
    Failure::new(
        Some(1212),
        format!(
            "Unable to create PID file. '{}' due to [{}]: the folder must exist and be writable: ls -ld {}",
            path.display(),
            errno(error),
            folder.display()
        ),
    )
}

/// Below the install root.
pub(crate) const RUN: &str = "var/run";

/// How often, and how far apart, a lock is looked at that may be held for an instant only.
const TRIES: u32 = 40;
const MOMENT: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(RUN)).unwrap();
        root
    }

    fn files(root: &Path) -> Vec<String> {
        let entries = fs::read_dir(root.join(RUN)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_second_instance_is_refused_and_the_first_is_seen() {
        let root = root();
        let pid = std::process::id();
        assert_eq!(look(root.path(), "ossec-x").unwrap(), None);
        let mut held = Held::take(root.path(), "ossec-x", None).unwrap();
        assert_eq!(look(root.path(), "ossec-x").unwrap(), Some(pid));
        let refused = Held::take(root.path(), "ossec-x", None).unwrap_err().to_string();
        assert!(refused.contains(&format!("already runs as process {pid}")), "{refused}");
        assert!(Held::take(root.path(), "ossec-xy", None).is_ok());
        held.release(root.path());
        drop(held);
        assert_eq!(look(root.path(), "ossec-x").unwrap(), None);
        assert!(Held::take(root.path(), "ossec-x", None).is_ok());
    }

    #[test]
    fn a_number_that_is_used_again_fools_nobody() {
        let root = root();
        let run = root.path().join(RUN);
        // Left over from before a reboot: the number now belongs to this very process.
        let pid = std::process::id();
        fs::write(run.join("ossec-x.lock"), format!("{pid}\n")).unwrap();
        fs::write(run.join(format!("ossec-x-{pid}.pid")), format!("{pid}\n")).unwrap();
        fs::write(run.join("ossec-x-1.pid"), "1\n").unwrap();
        fs::write(run.join("ossec-x-y-1.pid"), "1\n").unwrap();
        assert_eq!(look(root.path(), "ossec-x").unwrap(), None);
        let _held = Held::take(root.path(), "ossec-x", None).unwrap();
        assert_eq!(
            files(root.path()),
            [format!("ossec-x-{pid}.pid"), "ossec-x-y-1.pid".into(), "ossec-x.lock".into()]
        );
    }

    #[test]
    fn files_that_are_links_are_refused() {
        let root = root();
        let secret = root.path().join("secret");
        fs::write(&secret, "kept").unwrap();
        std::os::unix::fs::symlink(&secret, root.path().join(RUN).join("ossec-x.lock")).unwrap();
        let refused = Held::take(root.path(), "ossec-x", None).unwrap_err();
        assert!(refused.to_string().starts_with("(1212) Unable to create PID file."), "{refused}");
        assert_eq!(fs::read(&secret).unwrap(), b"kept");
    }

    #[test]
    fn a_missing_folder_is_said_with_the_way_to_look() {
        let root = tempfile::tempdir().unwrap();
        let refused = Held::take(root.path(), "ossec-x", None).unwrap_err().to_string();
        assert!(refused.contains("[(2)-(No such file or directory)]"), "{refused}");
        assert_eq!(look(root.path(), "ossec-x").unwrap(), None);
    }

    #[test]
    fn a_lock_file_full_of_rubbish_is_no_process() {
        let root = root();
        let path = root.path().join(RUN).join("ossec-x.lock");
        for rubbish in [&b""[..], b"\n", b"-1\n", b"99999999999999\n", b"\xff\xfe", b"0\n"] {
            fs::write(&path, rubbish).unwrap();
            let lock = File::open(&path).unwrap();
            lock.try_lock().unwrap();
            assert_eq!(look(root.path(), "ossec-x").unwrap(), None, "{rubbish:?}");
        }
    }
}
