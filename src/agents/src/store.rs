//! client.keys on disk: read without a lock, changed under one.
//!
//! Writers hold an exclusive lock on `var/run/client.keys.lock` from reading to renaming, so two programs at once lose
//! nothing and give no id twice. Readers need no lock: the file is replaced whole.

use std::fmt;
use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::keyfile::KeyFile;
use crate::replace::{Depth, replace};

/// Below the install root.
pub const KEYS: &str = "etc/client.keys";
const LOCK: &str = "var/run/client.keys.lock";
/// Mode of the file when one of ours writes it: the daemons of the group read it.
pub const MODE: u32 = 0o640;

/// The key file of an install root.
#[derive(Debug, Clone)]
pub struct KeyStore {
    keys: PathBuf,
    lock: PathBuf,
}

impl KeyStore {
    /// That of this root; nothing is opened.
    pub fn at(root: &Path) -> Self {
        Self { keys: root.join(KEYS), lock: root.join(LOCK) }
    }

    /// Path of client.keys.
    pub fn path(&self) -> &Path {
        &self.keys
    }

    /// Reads the file; a missing one is empty.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be opened or read.
    pub fn read(&self) -> Result<KeyFile, StoreError> {
        match std::fs::read(&self.keys) {
            Ok(bytes) => Ok(KeyFile::parse(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(KeyFile::default()),
            Err(source) => Err(StoreError { action: "read", path: self.keys.clone(), source }),
        }
    }

    /// Reads the file, lets `change` work on it, and writes it if that succeeds; nobody else can change it meanwhile.
    ///
    /// # Errors
    /// What `change` refuses, or [`StoreError`]: the file is as it was then.
    pub fn change<T, E: From<StoreError>>(
        &self,
        change: impl FnOnce(&mut KeyFile) -> Result<T, E>,
    ) -> Result<T, E> {
        let _lock = self.lock()?;
        let mut file = self.read()?;
        let done = change(&mut file)?;
        replace(&self.keys, &file.to_bytes(), MODE, Depth::Disk).map_err(|source| StoreError {
            action: "replace",
            path: self.keys.clone(),
            source,
        })?;
        Ok(done)
    }

    /// The lock is that on the open file; it ends when the file is closed, also by a kill.
    fn lock(&self) -> Result<File, StoreError> {
        let failed =
            |source: io::Error| StoreError { action: "lock", path: self.lock.clone(), source };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o660)
            .open(&self.lock)
            .map_err(failed)?;
        share(&file, &self.lock);
        loop {
            match rustix::fs::flock(&file, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(file),
                Err(rustix::io::Errno::INTR) => (),
                Err(errno) => return Err(failed(errno.into())),
            }
        }
    }
}

/// Lets the folder's group take the lock too: whoever of them comes first makes the file. Best effort: only its owner can.
fn share(file: &File, path: &Path) {
    let folder = path.parent().and_then(|folder| folder.metadata().ok());
    if let (Ok(data), Some(folder)) = (file.metadata(), folder)
        && (data.gid() != folder.gid() || data.mode() & 0o777 != 0o660)
    {
        let _ = std::os::unix::fs::fchown(file, None, Some(folder.gid()));
        let _ = file.set_permissions(Permissions::from_mode(0o660));
    }
}

/// client.keys can't be read or written.
#[derive(Debug)]
pub struct StoreError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl StoreError {
    /// What the system said.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errno = self.source.raw_os_error().unwrap_or(0);
        let path = self.path.display();
        match self.action {
            "read" => write!(
                f,
                "(1103) Could not open file '{path}' due to [({errno})-({})].",
                self.source
            ),
            action => write!(f, "cannot {action} '{path}': {}", self.source),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Address, Agent, AgentName, Key};

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("etc")).unwrap();
        std::fs::create_dir_all(root.path().join("var/run")).unwrap();
        root
    }

    fn add(store: &KeyStore, name: &str) -> Result<AgentIdText, StoreError> {
        store.change(|file| {
            let id = file.next_id().unwrap();
            let agent = Agent {
                id: id.clone(),
                name: AgentName::new(name).unwrap(),
                address: Address::any(),
                key: Key::random().unwrap(),
            };
            file.add(agent).unwrap();
            Ok(id.to_string())
        })
    }

    type AgentIdText = String;

    #[test]
    fn writers_at_once_lose_nothing_and_share_no_id() {
        let root = root();
        let store = KeyStore::at(root.path());
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let store = &store;
                scope.spawn(move || {
                    for n in 0..25 {
                        add(store, &format!("agent-{writer}-{n}")).unwrap();
                    }
                });
            }
        });
        let ids: std::collections::HashSet<String> =
            store.read().unwrap().agents().map(|agent| agent.id.to_string()).collect();
        assert_eq!(ids.len(), 100);
        let mode = std::fs::metadata(store.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
    }

    #[test]
    fn a_refused_change_leaves_the_file_alone() {
        let root = root();
        let store = KeyStore::at(root.path());
        add(&store, "web01").unwrap();
        let before = std::fs::read(store.path()).unwrap();
        let refused = store.change(|file| {
            file.remove(&file.next_id().unwrap());
            Err::<(), _>(StoreError {
                action: "x",
                path: PathBuf::new(),
                source: io::ErrorKind::Other.into(),
            })
        });
        assert!(refused.is_err());
        assert_eq!(std::fs::read(store.path()).unwrap(), before);
    }

    #[test]
    fn an_error_names_the_file_and_what_to_do_with_it() {
        let store = KeyStore::at(Path::new("/nonexistent"));
        let error = store.change(|_| Ok::<(), StoreError>(())).unwrap_err();
        assert!(
            error.to_string().starts_with("cannot lock '/nonexistent/var/run/client.keys.lock'"),
            "{error}"
        );
    }
}
