//! The registered agents, from `etc/client.keys`: only what names their file in `queue/agent-info`.
//!
//! The table is read again when it has changed; removed agents and lines that are none are passed over (remoted says why).

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use agents::KeyFile;

/// The file, read again when it has changed.
#[derive(Debug)]
pub struct Registered {
    path: PathBuf,
    seen: Option<(u64, u64, i64, i64)>,
}

/// More than any table of keys has.
const MOST: u64 = 256 << 20;

impl Registered {
    /// Of this install root; not read yet.
    pub fn new(root: &Path) -> Self {
        Self { path: root.join("etc/client.keys"), seen: None }
    }

    /// The names of all agents' files, if the table has changed since the last call.
    ///
    /// # Errors
    /// It cannot be read. That there is none means that there are no agents.
    pub fn changed(&mut self) -> io::Result<Option<Vec<String>>> {
        let facts = match fs::metadata(&self.path) {
            Ok(m) => (m.ino(), m.len(), m.mtime(), m.mtime_nsec()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (0, 0, 0, 0),
            Err(error) => return Err(error),
        };
        if self.seen == Some(facts) {
            return Ok(None);
        }
        let mut table = Vec::new();
        match fs::File::open(&self.path) {
            Ok(file) => {
                file.take(MOST).read_to_end(&mut table)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.seen = Some(facts);
        Ok(Some(names(&table)))
    }
}

/// The names of the agents' files, in the order of the table.
pub fn names(table: &[u8]) -> Vec<String> {
    let table = KeyFile::parse(table);
    let names = table.agents().map(agents::Agent::file_name);
    // A table that somebody has tampered with leads nowhere else.
    names.filter(|name| !name.contains(['/', '\0'])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_named_as_their_files() {
        let table = b"# comment\n001 web1 10.0.0.7 aa\n 002 x any aa\n003 #*#old any aa\n004 db any aa\n\
            005 net 10.9.2.0/24 aa\nbroken\n006 six fe80::1/64 aa\n007 ../../x any aa\n008 .. / aa\n";
        assert_eq!(names(table), ["web1-10.0.0.7", "db-any", "net-10.9.2.0", "six-fe80::1"]);
    }

    #[test]
    fn every_cut_of_the_table_is_read() {
        let table = b"001 web1 10.0.0.7 aa\n002 \xff\xfe any aa\n003 db any bb\n";
        for cut in 0..=table.len() {
            assert!(names(&table[..cut]).len() <= 2);
        }
    }

    #[test]
    fn the_table_is_read_again_only_when_it_changed() {
        let root = tempfile::tempdir().unwrap();
        let mut registered = Registered::new(root.path());
        assert_eq!(registered.changed().unwrap(), Some(vec![]));
        assert_eq!(registered.changed().unwrap(), None);
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/client.keys"), "001 a any k\n").unwrap();
        assert_eq!(registered.changed().unwrap(), Some(vec!["a-any".to_owned()]));
        assert_eq!(registered.changed().unwrap(), None);
    }
}
