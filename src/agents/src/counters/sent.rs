//! The numbers of messages that this host sends.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use wire::counter::Counter;

use super::RIDS;
use crate::replace::{Depth, replace};

/// Numbers that are reserved at once; so many may be skipped after a kill.
pub const BLOCK: u64 = 1024;

/// Gives out numbers, each once, also over kills and power cuts.
#[derive(Debug)]
pub struct SendCounter {
    path: PathBuf,
    last: Counter,
    reserved: Counter,
    /// The file as we wrote it; another one was put there by the administrator.
    inode: u64,
}

impl SendCounter {
    /// Continues behind what `queue/rids/sender_counter` says; a missing or unreadable text starts at 0:1.
    ///
    /// # Errors
    /// When the file can't be read or written.
    pub fn open(root: &Path) -> io::Result<Self> {
        let path = root.join(RIDS).join("sender_counter");
        let last = stored(&path)?;
        let mut counter = Self { path, last, reserved: last, inode: 0 };
        counter.reserve()?;
        Ok(counter)
    }

    /// The next number. Writes once in [`BLOCK`] calls.
    ///
    /// # Errors
    /// When a block can't be reserved (nothing may be sent then), or all numbers are used up.
    pub fn take(&mut self) -> io::Result<Counter> {
        if self.last >= self.reserved {
            self.reserve()?;
        }
        let next =
            self.last.next().ok_or_else(|| io::Error::other("all message numbers are used up"))?;
        self.last = next;
        Ok(next)
    }

    /// The last number given out.
    pub fn last(&self) -> Counter {
        self.last
    }

    /// Goes on behind `counter` if that is higher: the way back of a restored or cloned agent.
    ///
    /// # Errors
    /// When the new block can't be reserved.
    pub fn jump(&mut self, counter: Counter) -> io::Result<()> {
        if counter > self.last {
            self.last = counter;
            if self.last >= self.reserved {
                self.reserve()?;
            }
        }
        Ok(())
    }

    /// Takes over a file that the administrator put in the place of ours. Call now and then, or on reload.
    ///
    /// # Errors
    /// When the file can't be read or written.
    pub fn look(&mut self) -> io::Result<()> {
        if inode(&self.path) != self.inode {
            self.last = stored(&self.path)?;
            self.reserve()?;
        }
        Ok(())
    }

    /// Gives unused numbers back at an orderly end.
    ///
    /// # Errors
    /// When the file can't be written; nothing is lost then.
    pub fn close(self) -> io::Result<()> {
        replace(&self.path, self.last.to_string().as_bytes(), 0o640, Depth::Disk)
    }

    fn reserve(&mut self) -> io::Result<()> {
        let reserved = self.last.plus(BLOCK);
        replace(&self.path, reserved.to_string().as_bytes(), 0o640, Depth::Disk)?;
        self.reserved = reserved;
        self.inode = inode(&self.path);
        Ok(())
    }
}

fn stored(path: &Path) -> io::Result<Counter> {
    match fs::read(path) {
        Ok(bytes) => Ok(Counter::parse(&bytes).unwrap_or_default()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Counter::default()),
        Err(error) => Err(error),
    }
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |data| data.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(RIDS)).unwrap();
        root
    }

    fn at(global: u32, local: u16) -> Counter {
        Counter { global, local }
    }

    #[test]
    fn no_number_is_given_twice_over_a_kill() {
        let root = root();
        let mut counter = SendCounter::open(root.path()).unwrap();
        assert_eq!(counter.take().unwrap(), at(0, 1));
        for _ in 0..3000 {
            counter.take().unwrap();
        }
        let last = counter.last();
        // Forgotten without `close`, as a kill does.
        drop(counter);
        let first = SendCounter::open(root.path()).unwrap().take().unwrap();
        assert!(first > last && first <= last.plus(BLOCK + 1), "{last} then {first}");
    }

    #[test]
    fn an_orderly_end_skips_nothing() {
        let root = root();
        let mut counter = SendCounter::open(root.path()).unwrap();
        counter.take().unwrap();
        counter.close().unwrap();
        assert_eq!(fs::read(root.path().join("queue/rids/sender_counter")).unwrap(), b"0:1:");
        assert_eq!(SendCounter::open(root.path()).unwrap().take().unwrap(), at(0, 2));
    }

    #[test]
    fn a_file_put_there_by_hand_is_taken_over() {
        let root = root();
        let path = root.path().join("queue/rids/sender_counter");
        let mut counter = SendCounter::open(root.path()).unwrap();
        fs::write(root.path().join("new"), "50:7:9:").unwrap();
        fs::rename(root.path().join("new"), &path).unwrap();
        counter.look().unwrap();
        assert_eq!(counter.take().unwrap(), at(50, 8));
        counter.jump(at(60, 1)).unwrap();
        assert_eq!(counter.take().unwrap(), at(60, 2));
    }
}
