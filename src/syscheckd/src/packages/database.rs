//! What the gate asks of a package manager's records, whichever they are.

use std::fs::File;
use std::io;
use std::path::Path;

use super::index::Index;

/// The records of one package manager.
pub trait Database: std::fmt::Debug {
    /// Its name, as in log lines and in the name of its index.
    fn name(&self) -> &'static str;

    /// Whether it is at work now.
    fn is_busy(&self) -> bool;

    /// Where its records stand: another mark after each transaction.
    fn mark(&self) -> Mark;

    /// Calls `each` with every installed package, of which there may be several with one name.
    ///
    /// # Errors
    /// The records cannot be read, or `each` said so. What came before counts for nothing then.
    fn each(&self, each: &mut dyn FnMut(&Package<'_>) -> io::Result<()>) -> io::Result<()>;

    /// The packages, without architecture and in order, that its log names since; `None` where it keeps none.
    fn logged_since(&self, _mark: Mark) -> Option<Vec<Vec<u8>>> {
        None
    }

    /// Records (and when they were written) that were touched since, though no transaction accounts for it; `was_busy`: it was seen at work.
    fn touched_since(&self, _index: &Index, _was_busy: bool) -> Vec<(Vec<u8>, u64)> {
        Vec::new()
    }
}

/// Where a database stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// Where its log ends, in bytes.
    pub place: u64,
    /// When its records were written last, in nanoseconds since 1970.
    pub changed: u64,
}

/// An installed package.
#[derive(Clone, Copy)]
pub struct Package<'a> {
    /// With its architecture where there may be several: `libc6:amd64`, `bash`.
    pub name: &'a [u8],
    /// Its version.
    pub version: &'a [u8],
    /// When it was installed, in the database's own unit.
    pub installed: u64,
    /// A digest of what is recorded of its files; 0 where the database watches them otherwise.
    pub records: u64,
    /// Calls a function with each of its files, as [`canonical`] has their paths, and what was shipped there; `None`: nothing was.
    pub files: &'a Files<'a>,
}

/// See [`Package::files`].
pub type Files<'a> = dyn Fn(&mut dyn FnMut(&[u8], Option<Shipped>)) -> io::Result<()> + 'a;

/// What a package put in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shipped {
    /// `None` for what has no content of its own, and where none is recorded.
    pub content: Option<Content>,
    /// Type and permissions, where they are recorded.
    pub mode: Option<u32>,
}

/// A digest of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// As dpkg has it, and rpm of old.
    Md5([u8; 16]),
    /// As rpm has it.
    Sha256([u8; 32]),
}

/// A path as both sides write it: what is below `/bin`, `/sbin`, `/lib*` lies below `/usr` on systems of today, whatever a list says.
pub fn canonical(path: &[u8]) -> Vec<u8> {
    let first = path.get(1..).unwrap_or_default().split(|&byte| byte == b'/').next();
    match first {
        Some(b"bin" | b"sbin" | b"lib" | b"lib32" | b"lib64" | b"libx32") => {
            [b"/usr", path].concat()
        }
        _ => path.to_vec(),
    }
}

/// `libc6` of `libc6:amd64`.
pub fn without_architecture(package: &[u8]) -> &[u8] {
    package.split(|&byte| byte == b':').next().unwrap_or(package)
}

/// Whether another process keeps others from the file (fcntl(2), as dpkg and rpm do for a transaction).
pub(super) fn is_locked(path: &Path) -> bool {
    use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};
    let Ok(file) = File::open(path) else { return false };
    let mut wish = Flock::from(FlockType::ReadLock);
    wish.offset_type = FlockOffsetType::Set;
    matches!(fcntl_getlk(&file, &wish), Ok(Some(_)))
}

/// When a file was written last, in nanoseconds since 1970; 0 where it is not.
pub(super) fn written(path: &Path) -> u64 {
    let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.map_or(0, nanoseconds)
}

pub(super) fn nanoseconds(time: std::time::SystemTime) -> u64 {
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A database that says what a test wants.
#[cfg(test)]
pub(super) mod double {
    use super::*;

    /// Name, version, when it was installed, and files.
    pub(crate) type One = (&'static str, &'static str, u64, Vec<(&'static str, Option<Shipped>)>);

    #[derive(Debug, Default, Clone)]
    pub(crate) struct Double {
        pub(crate) packages: std::rc::Rc<std::cell::RefCell<Vec<One>>>,
        pub(crate) mark: std::rc::Rc<std::cell::Cell<u64>>,
        /// How often it was read.
        pub(crate) read: std::rc::Rc<std::cell::Cell<u64>>,
    }

    impl Double {
        /// What the records say from now on.
        pub(crate) fn say(&self, packages: Vec<One>) {
            *self.packages.borrow_mut() = packages;
            self.mark.set(self.mark.get() + 1);
        }
    }

    impl Database for Double {
        fn name(&self) -> &'static str {
            "double"
        }

        fn is_busy(&self) -> bool {
            false
        }

        fn mark(&self) -> Mark {
            Mark { place: 0, changed: self.mark.get() }
        }

        fn each(&self, each: &mut dyn FnMut(&Package<'_>) -> io::Result<()>) -> io::Result<()> {
            self.read.set(self.read.get() + 1);
            for (name, version, installed, list) in &*self.packages.borrow() {
                let files = |each: &mut dyn FnMut(&[u8], Option<Shipped>)| {
                    list.iter().for_each(|(path, shipped)| each(path.as_bytes(), *shipped));
                    Ok(())
                };
                each(&Package {
                    name: name.as_bytes(),
                    version: version.as_bytes(),
                    installed: *installed,
                    records: super::super::index::key(format!("{list:?}").as_bytes()),
                    files: &files,
                })?;
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    #[test]
    fn paths_are_as_on_systems_of_today() {
        assert_eq!(canonical(b"/bin/sh"), b"/usr/bin/sh");
        assert_eq!(canonical(b"/library/x"), b"/library/x");
        assert_eq!(without_architecture(b"libc6:amd64"), b"libc6");
    }

    #[test]
    fn a_lock_that_another_process_holds_is_seen() {
        let lock = tempfile::NamedTempFile::new().unwrap();
        assert!(!is_locked(lock.path()));
        for (kind, expected) in [("LOCK_EX", true), ("LOCK_SH", false)] {
            let script = format!(
                "import fcntl,sys\nf=open(sys.argv[1],'r+')\nfcntl.lockf(f,fcntl.{kind})\nprint('held',flush=True)\nsys.stdin.read()"
            );
            let mut child = Command::new("python3")
                .args(["-c", &script])
                .arg(lock.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut said = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
            assert_eq!(is_locked(lock.path()), expected, "{kind}");
            drop(child.stdin.take());
            child.wait().unwrap();
            assert!(!is_locked(lock.path()));
        }
    }
}
