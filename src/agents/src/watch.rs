//! Changes of client.keys while a daemon runs: who came, who went, whose line is another.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::identity::AgentId;
use crate::keyfile::{Agent, KeyFile};
use crate::table::Table;

/// A file that was written this short a time ago may be written again without another time stamp.
const UNSETTLED: Duration = Duration::from_secs(2);

/// Looks after one client.keys. Not asking the clock or the disk by itself: call [`poll`](Self::poll) about once a second.
#[derive(Debug)]
pub struct KeyWatch {
    path: PathBuf,
    limit: usize,
    seen: Option<Stamp>,
    file: KeyFile,
    table: Arc<Table>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    device: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    is_settled: bool,
}

impl KeyWatch {
    /// Nothing is read yet: the first [`poll`](Self::poll) finds all agents added.
    pub fn new(path: &Path, limit: usize) -> Self {
        Self {
            path: path.into(),
            limit,
            seen: None,
            file: KeyFile::default(),
            table: Arc::default(),
        }
    }

    /// The agents as last read; shared, for receiving threads.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The file as last read, with its problems.
    pub fn file(&self) -> &KeyFile {
        &self.file
    }

    /// Whether the file has more agents than the limit: 4110.
    pub fn is_over_limit(&self) -> bool {
        self.file.agents().nth(self.limit).is_some()
    }

    /// Reads the file if it may have changed. `None`: all agents are as they were. A missing file has no agents.
    ///
    /// # Errors
    /// When the file can't be read; what was read before stays in force.
    pub fn poll(&mut self) -> io::Result<Option<Diff>> {
        let mut bytes = Vec::new();
        let stamp = match File::open(&self.path) {
            Ok(mut open) => {
                // The stamp is taken before reading: a change in between is then seen by the next poll.
                let stamp = Stamp::of(&open)?;
                if self.seen == Some(stamp) && stamp.is_settled {
                    return Ok(None);
                }
                open.read_to_end(&mut bytes)?;
                Some(stamp)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        self.seen = stamp;
        let file = KeyFile::parse(&bytes);
        let table = Table::new(&file, self.limit);
        let diff = Diff::between(&self.table, &table);
        self.file = file;
        if diff.is_empty() {
            return Ok(None);
        }
        self.table = Arc::new(table);
        Ok(Some(diff))
    }
}

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        let data = file.metadata()?;
        let age = SystemTime::now().duration_since(data.modified()?);
        Ok(Self {
            inode: data.ino(),
            device: data.dev(),
            len: data.len(),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
            is_settled: age.is_ok_and(|age| age > UNSETTLED),
        })
    }
}

/// What another reading of client.keys brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff {
    /// Ids that weren't there.
    pub added: Vec<AgentId>,
    /// Agents that may no longer speak, as they were.
    pub removed: Vec<Arc<Agent>>,
    /// Ids whose name, address or key is another now.
    pub changed: Vec<AgentId>,
}

impl Diff {
    /// From one table to another, ids compared by their digits.
    pub fn between(before: &Table, after: &Table) -> Self {
        let mut diff = Self::default();
        let known: HashMap<&AgentId, &Arc<Agent>> =
            before.agents().iter().map(|agent| (&agent.id, agent)).collect();
        for agent in after.agents() {
            match known.get(&agent.id) {
                None => diff.added.push(agent.id.clone()),
                Some(old) if *old != agent => diff.changed.push(agent.id.clone()),
                Some(_) => (),
            }
        }
        let gone = |agent: &&Arc<Agent>| after.by_id(agent.id.as_str().as_bytes()).is_none();
        diff.removed = before.agents().iter().filter(gone).cloned().collect();
        diff
    }

    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(list: &[AgentId]) -> Vec<&str> {
        list.iter().map(AgentId::as_str).collect()
    }

    #[test]
    fn who_came_went_and_changed_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.keys");
        let mut watch = KeyWatch::new(&path, 10);
        assert_eq!(watch.poll().unwrap(), None);

        std::fs::write(&path, "001 a1 any k\n002 a2 any k\n003 a3 any k\n").unwrap();
        assert_eq!(ids(&watch.poll().unwrap().unwrap().added), ["001", "002", "003"]);
        assert_eq!(watch.poll().unwrap(), None);

        std::fs::write(&path, "001 a1 any k\n002 #*#\n003 a3 any j\n004 a4 any k\n").unwrap();
        let diff = watch.poll().unwrap().unwrap();
        assert_eq!(ids(&diff.added), ["004"]);
        assert_eq!(ids(&diff.changed), ["003"]);
        assert_eq!(diff.removed.len(), 1);
        assert!(watch.table().by_id(b"002").is_none());

        std::fs::remove_file(&path).unwrap();
        assert_eq!(watch.poll().unwrap().unwrap().removed.len(), 3);
    }

    #[test]
    fn a_change_of_equal_length_in_the_same_instant_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.keys");
        std::fs::write(&path, "001 a1 any k\n").unwrap();
        let written = std::fs::metadata(&path).unwrap().modified().unwrap();
        let mut watch = KeyWatch::new(&path, 10);
        watch.poll().unwrap();
        std::fs::write(&path, "001 a1 any j\n").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
        assert_eq!(ids(&watch.poll().unwrap().unwrap().changed), ["001"]);
    }

    #[test]
    fn the_limit_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.keys");
        std::fs::write(&path, "001 a1 any k\n002 a2 any k\n").unwrap();
        let mut watch = KeyWatch::new(&path, 1);
        watch.poll().unwrap();
        assert!(watch.is_over_limit() && watch.table().len() == 1);
    }
}
