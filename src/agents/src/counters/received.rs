//! The numbers of messages that were received, for each sender.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use wire::counter::{Counter, Stale, Window};

use super::RIDS;
use crate::identity::AgentId;
use crate::replace::{Depth, replace};

const JOURNAL: &str = ".received";
/// A longer journal is written anew, with one line an agent: far cheaper than the files of ten thousand agents.
const MAX_JOURNAL: u64 = 16 << 20;

/// What was received from each agent.
///
/// For each batch of datagrams: [`accept`](Self::accept) each, then [`commit`](Self::commit), then pass the messages on.
#[derive(Debug)]
pub struct Received {
    folder: PathBuf,
    journal: File,
    journal_len: u64,
    windows: HashMap<AgentId, Entry>,
    /// Lines for the journal of the batch at hand.
    pending: Vec<u8>,
}

#[derive(Debug, Default)]
struct Entry {
    window: Window,
    /// What the file says.
    stored: Counter,
}

impl Received {
    /// Opens `queue/rids`, bringing what a killed daemon had journalled into the files.
    ///
    /// # Errors
    /// When the folder or a file can't be read or written.
    pub fn open(root: &Path) -> io::Result<Self> {
        let folder = root.join(RIDS);
        let path = folder.join(JOURNAL);
        match fs::read(&path) {
            Ok(bytes) => restore(&folder, &bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(error) => return Err(error),
        }
        let journal = OpenOptions::new().append(true).create(true).mode(0o640).open(&path)?;
        journal.set_len(0)?;
        Ok(Self { folder, journal, journal_len: 0, windows: HashMap::new(), pending: Vec::new() })
    }

    /// Begins with an agent: reads its file, or makes an empty one.
    ///
    /// # Errors
    /// When the file can't be read or made.
    pub fn load(&mut self, id: &AgentId) -> io::Result<Counter> {
        if let Some(entry) = self.windows.get(id) {
            return Ok(entry.window.last());
        }
        let path = self.folder.join(id.as_str());
        let stored = match fs::read(&path) {
            Ok(bytes) => Counter::parse(&bytes).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .mode(0o640)
                    .open(&path)?;
                Counter::default()
            }
            Err(error) => return Err(error),
        };
        self.windows.insert(id.clone(), Entry { window: Window::after(stored), stored });
        Ok(stored)
    }

    /// Takes a message's number; the answer is how many are missing before it. An agent that wasn't loaded starts at 0:0.
    ///
    /// # Errors
    /// [`Stale`]: refuse the message.
    pub fn accept(&mut self, id: &AgentId, counter: Counter) -> Result<u64, Stale> {
        let missing = self.window(id).accept(counter)?;
        self.note(id, counter);
        Ok(missing)
    }

    /// Takes a number whatever it is, for `remoted.verify_msg_id=0` and for a reset.
    pub fn remember(&mut self, id: &AgentId, counter: Counter) {
        self.window(id).remember(counter);
        self.note(id, counter);
    }

    /// The last number accepted from an agent.
    pub fn last(&self, id: &AgentId) -> Option<Counter> {
        self.windows.get(id).map(|entry| entry.window.last())
    }

    /// Writes what was accepted since the last call, in one go. Only after it may the messages be passed on.
    ///
    /// # Errors
    /// When the journal can't be written: keep the messages and call again, or drop them and say so.
    pub fn commit(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.journal.write_all(&self.pending) {
            // Half a line would swallow the next one.
            self.journal.set_len(self.journal_len)?;
            return Err(error);
        }
        self.journal_len += self.pending.len() as u64;
        self.pending.clear();
        if self.journal_len > MAX_JOURNAL { self.compact() } else { Ok(()) }
    }

    /// Puts a journal with only the last number of each agent in the place of the long one.
    fn compact(&mut self) -> io::Result<()> {
        let mut lines = Vec::new();
        for (id, entry) in &self.windows {
            if entry.window.last() != entry.stored {
                let _ = writeln!(lines, "{id} {}", entry.window.last());
            }
        }
        let path = self.folder.join(JOURNAL);
        replace(&path, &lines, 0o640, Depth::Kernel)?;
        self.journal = OpenOptions::new().append(true).open(&path)?;
        self.journal_len = lines.len() as u64;
        Ok(())
    }

    /// Brings the files of all agents up to date and empties the journal: at an orderly end, and now and then.
    ///
    /// # Errors
    /// When a file can't be written; the journal stays then.
    pub fn flush(&mut self) -> io::Result<()> {
        for (id, entry) in &mut self.windows {
            let last = entry.window.last();
            if last != entry.stored {
                store(&self.folder, id, last)?;
                entry.stored = last;
            }
        }
        self.journal.set_len(0)?;
        self.journal_len = 0;
        self.pending.clear();
        Ok(())
    }

    /// Begins anew with an agent at 0:0, its file emptied.
    ///
    /// # Errors
    /// When its file can't be written.
    pub fn reset(&mut self, id: &AgentId) -> io::Result<()> {
        self.remember(id, Counter::default());
        self.commit()?;
        self.flush()
    }

    /// Lets go of an agent that was removed, its file too.
    ///
    /// # Errors
    /// When its file can't be deleted.
    pub fn forget(&mut self, id: &AgentId) -> io::Result<()> {
        self.windows.remove(id);
        match fs::remove_file(self.folder.join(id.as_str())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes over the files that an administrator deleted or replaced by lower numbers; gives their ids. Costs a look at each
    /// file: call it on reload.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn look(&mut self) -> io::Result<Vec<AgentId>> {
        let mut replaced = Vec::new();
        for (id, entry) in &mut self.windows {
            let found = match fs::read(self.folder.join(id.as_str())) {
                Ok(bytes) => Counter::parse(&bytes).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Counter::default(),
                Err(error) => return Err(error),
            };
            if found != entry.stored {
                entry.stored = found;
                entry.window = Window::after(found);
                replaced.push(id.clone());
            }
        }
        for id in &replaced {
            let last = self.last(id).unwrap_or_default();
            self.note(id, last);
        }
        self.commit()?;
        Ok(replaced)
    }

    fn window(&mut self, id: &AgentId) -> &mut Window {
        // Not `entry`: that would copy the id of each message.
        if !self.windows.contains_key(id) {
            self.windows.insert(id.clone(), Entry::default());
        }
        &mut self.windows.get_mut(id).expect("inserted above if it was missing").window
    }

    fn note(&mut self, id: &AgentId, counter: Counter) {
        // Writing to memory doesn't fail.
        let _ = writeln!(self.pending, "{id} {counter}");
    }
}

fn store(folder: &Path, id: &AgentId, counter: Counter) -> io::Result<()> {
    replace(&folder.join(id.as_str()), counter.to_string().as_bytes(), 0o640, Depth::Kernel)
}

/// Brings a journal into the files. The last line of an agent counts, and only if the agent has a file.
fn restore(folder: &Path, journal: &[u8]) -> io::Result<()> {
    for (id, counter) in read_journal(journal) {
        match fs::symlink_metadata(folder.join(id.as_str())) {
            Ok(_) => store(folder, &id, counter)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The last number of each agent. A line without its newline was torn by a kill, before its message was passed on.
fn read_journal(journal: &[u8]) -> HashMap<AgentId, Counter> {
    let mut last = HashMap::new();
    let lines =
        journal.split_inclusive(|&b| b == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
    for line in lines {
        let Some(space) = memchr::memchr(b' ', line) else { continue };
        let (id, counter) = (AgentId::parse(&line[..space]), Counter::parse(&line[space + 1..]));
        if let (Ok(id), Some(counter)) = (id, counter) {
            last.insert(id, counter);
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(RIDS)).unwrap();
        root
    }

    fn id(text: &str) -> AgentId {
        AgentId::parse(text.as_bytes()).unwrap()
    }

    fn at(global: u32, local: u16) -> Counter {
        Counter { global, local }
    }

    #[test]
    fn what_was_committed_is_refused_after_a_kill() {
        let root = root();
        let mut received = Received::open(root.path()).unwrap();
        received.load(&id("001")).unwrap();
        received.load(&id("002")).unwrap();
        for local in 1..=140 {
            received.accept(&id("001"), at(6, local)).unwrap();
        }
        received.accept(&id("002"), at(0, 1)).unwrap();
        received.commit().unwrap();
        drop(received);

        let mut again = Received::open(root.path()).unwrap();
        assert_eq!(again.load(&id("001")).unwrap(), at(6, 140));
        assert_eq!(again.accept(&id("001"), at(6, 140)), Err(Stale::Repeated));
        assert_eq!(again.accept(&id("001"), at(6, 141)), Ok(0));
        assert_eq!(fs::read(root.path().join("queue/rids/002")).unwrap(), b"0:1:");
    }

    #[test]
    fn a_long_journal_is_written_anew_and_forgets_nothing() {
        let root = root();
        let mut received = Received::open(root.path()).unwrap();
        received.load(&id("001")).unwrap();
        received.load(&id("002")).unwrap();
        received.accept(&id("002"), at(9, 9)).unwrap();
        let mut counter = at(0, 0);
        let mut longest = 0;
        for _ in 0..1_300_000 {
            counter = counter.next().unwrap();
            received.accept(&id("001"), counter).unwrap();
            if counter.local.is_multiple_of(1000) {
                received.commit().unwrap();
                longest = longest.max(received.journal_len);
            }
        }
        received.commit().unwrap();
        assert!(received.journal_len < longest, "written anew");
        drop(received);
        let mut again = Received::open(root.path()).unwrap();
        assert_eq!(again.load(&id("001")).unwrap(), counter);
        assert_eq!(again.load(&id("002")).unwrap(), at(9, 9));
    }

    #[test]
    fn deleting_the_file_resets_also_after_a_kill() {
        let root = root();
        let mut received = Received::open(root.path()).unwrap();
        received.load(&id("001")).unwrap();
        received.accept(&id("001"), at(6, 1)).unwrap();
        received.commit().unwrap();
        drop(received);
        fs::remove_file(root.path().join("queue/rids/001")).unwrap();
        assert_eq!(Received::open(root.path()).unwrap().load(&id("001")).unwrap(), at(0, 0));
    }

    #[test]
    fn an_orderly_end_leaves_ossecs_files_and_an_empty_journal() {
        let root = root();
        let mut received = Received::open(root.path()).unwrap();
        received.load(&id("001")).unwrap();
        assert_eq!(fs::read(root.path().join("queue/rids/001")).unwrap(), b"");
        received.accept(&id("001"), at(6, 128)).unwrap();
        received.commit().unwrap();
        received.flush().unwrap();
        assert_eq!(fs::read(root.path().join("queue/rids/001")).unwrap(), b"6:128:");
        assert_eq!(fs::read(root.path().join("queue/rids/.received")).unwrap(), b"");
    }

    #[test]
    fn files_changed_by_hand_are_taken_over_on_look() {
        let root = root();
        let mut received = Received::open(root.path()).unwrap();
        for agent in ["001", "002"] {
            received.load(&id(agent)).unwrap();
            received.accept(&id(agent), at(6, 128)).unwrap();
        }
        received.commit().unwrap();
        received.flush().unwrap();
        fs::remove_file(root.path().join("queue/rids/001")).unwrap();
        assert_eq!(received.look().unwrap(), [id("001")]);
        assert_eq!(received.accept(&id("001"), at(0, 1)), Ok(0));
        assert!(received.accept(&id("002"), at(0, 1)).is_err());
        received.forget(&id("002")).unwrap();
        assert!(!root.path().join("queue/rids/002").exists());
    }

    #[test]
    fn a_journal_cut_anywhere_never_gives_a_number_that_was_not_in_it() {
        let journal = b"001 6:1:\n002 7:9997:\n001 6:128:\n";
        for cut in 0..=journal.len() {
            let read = read_journal(&journal[..cut]);
            let one = read.get(&id("001"));
            assert!([None, Some(&at(6, 1)), Some(&at(6, 128))].contains(&one), "cut at {cut}");
            assert!([None, Some(&at(7, 9997))].contains(&read.get(&id("002"))), "cut at {cut}");
        }
        assert!(read_journal(b"../../x 1:1:\n001\n 1:1:\n001 x\n").is_empty());
    }
}
