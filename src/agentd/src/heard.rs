//! The numbers of messages that were received, for each manager: each has a numbering of its own.
//!
//! `queue/rids/<id>` is the first server's, as OSSEC has it; `queue/rids/<id>.<server>` that of another. A number is on disk
//! before its message is obeyed, so that a kill opens no window for replays.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use wire::counter::{Counter, Stale, Window};

/// The numbering of one manager.
#[derive(Debug)]
pub(crate) struct Heard {
    path: PathBuf,
    file: File,
    window: Window,
}

impl Heard {
    /// Goes on behind what the file says.
    pub(crate) fn open(root: &Path, id: &str, other_server: Option<&str>) -> io::Result<Self> {
        let mut name = id.to_owned();
        if let Some(server) = other_server {
            let plain = |c: char| if c.is_ascii_alphanumeric() || c == ':' { c } else { '.' };
            name = format!("{id}.{}", server.chars().take(100).map(plain).collect::<String>());
        }
        let path = root.join(agents::counters::RIDS).join(name);
        let file = open(&path)?;
        let window = Window::after(stored(&file)?);
        Ok(Self { path, file, window })
    }

    /// Takes a message's number, on disk too. `verify` off: whatever it is.
    pub(crate) fn accept(&mut self, counter: Counter, verify: bool) -> Result<(), Refusal> {
        let before = self.window;
        if verify {
            self.window.accept(counter).map_err(Refusal::Stale)?;
        } else {
            self.window.remember(counter);
        }
        // Padded: a shorter text must cover a longer one.
        let text = format!("{:<20}", counter.to_string());
        self.file.write_all_at(text.as_bytes(), 0).map_err(|error| {
            self.window = before;
            Refusal::Unwritten(error)
        })
    }

    /// The highest number that was taken.
    pub(crate) fn last(&self) -> Counter {
        self.window.last()
    }

    /// Begins anew when the administrator has deleted the file: the known way to reset the counters.
    pub(crate) fn look(&mut self) -> io::Result<()> {
        if !self.path.exists() {
            self.file = open(&self.path)?;
            self.window = Window::default();
        }
        Ok(())
    }
}

/// Why a number is not taken.
#[derive(Debug)]
pub(crate) enum Refusal {
    Stale(Stale),
    /// It can't be remembered.
    Unwritten(io::Error),
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o640).open(path)
}

fn stored(file: &File) -> io::Result<Counter> {
    let mut bytes = [0; 32];
    let len = file.read_at(&mut bytes, 0)?;
    Ok(Counter::parse(bytes.get(..len).unwrap_or_default()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn counter(global: u32, local: u16) -> Counter {
        Counter { global, local }
    }

    #[test]
    fn a_number_is_taken_once_also_after_a_restart_and_each_server_counts_for_itself() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("queue/rids")).unwrap();
        let open = |server| Heard::open(dir.path(), "001", server).unwrap();
        let mut heard = open(None);
        heard.accept(counter(12, 9000), true).unwrap();
        heard.accept(counter(13, 1), true).unwrap();
        drop(heard);
        let stale = open(None).accept(counter(13, 1), true);
        assert!(matches!(stale, Err(Refusal::Stale(Stale::Repeated))));
        open(Some("10.0.0.2/../x")).accept(counter(0, 1), true).unwrap();
        assert!(dir.path().join("queue/rids/001.10.0.0.2....x").exists());
        assert_eq!(fs::read(dir.path().join("queue/rids/001")).unwrap(), b"13:1:               ");
    }

    #[test]
    fn a_deleted_file_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("queue/rids")).unwrap();
        let mut heard = Heard::open(dir.path(), "001", None).unwrap();
        heard.accept(counter(5, 5), true).unwrap();
        fs::remove_file(dir.path().join("queue/rids/001")).unwrap();
        heard.look().unwrap();
        heard.accept(counter(0, 1), true).unwrap();
    }
}
