//! What judging leaves on disk: first-seen keys, the ignore list, and the outputs that `check_diff` compares.
//!
//! Everything waits in memory until the alerts that it led to are written ([`Files::flush`]): a kill in between repeats
//! an alert, the other way round would lose one.
//!
//! ```text
//! queue/fts/fts-queue                          one first-seen key a line
//! queue/fts/ig-queue                           one entry of the ignore list a line
//! queue/diff/<host>/<rule>/last-entry          the log, and a NUL
//! ```

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rules::{PreviousOutput, World};

use crate::output::daily::WriteError;

/// Largest content that `check_diff` compares, as in the original.
const MAX_OUTPUT: usize = 8192;

/// The files of an install root.
#[derive(Debug)]
pub(crate) struct Files {
    queue: PathBuf,
    first_seen: Vec<u8>,
    ignored: Vec<u8>,
    outputs: HashMap<PathBuf, Vec<u8>>,
}

impl Files {
    /// Below `<root>/queue`.
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            queue: root.join("queue"),
            first_seen: Vec::new(),
            ignored: Vec::new(),
            outputs: HashMap::new(),
        }
    }

    /// The keys that earlier runs had seen, a line each; none when there is no file.
    pub(crate) fn known_keys(&self) -> Vec<u8> {
        self.load("fts/fts-queue")
    }

    /// The ignore list of earlier runs, a line each; none when there is no file.
    pub(crate) fn known_ignored(&self) -> Vec<u8> {
        self.load("fts/ig-queue")
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// Names the file; what could not be written waits on.
    pub(crate) fn flush(&mut self) -> Result<(), WriteError> {
        append(&self.queue.join("fts/fts-queue"), &mut self.first_seen)?;
        append(&self.queue.join("fts/ig-queue"), &mut self.ignored)?;
        while let Some(path) = self.outputs.keys().next().cloned() {
            let content = self.outputs.get(&path).map(Vec::as_slice).unwrap_or_default();
            replace(&path, content).map_err(|source| WriteError { path: path.clone(), source })?;
            self.outputs.remove(&path);
        }
        Ok(())
    }

    fn load(&self, name: &str) -> Vec<u8> {
        let path = self.queue.join(name);
        match fs::read(&path) {
            Ok(content) => content,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    log::warn!(
                        "'{}' could not be read: {error}; what it held counts as never seen",
                        path.display()
                    );
                }
                Vec::new()
            }
        }
    }
}

impl World for Files {
    fn first_seen(&mut self, key: &[u8]) {
        self.first_seen.extend_from_slice(key);
        self.first_seen.push(b'\n');
    }

    fn ignore(&mut self, entry: &[u8]) {
        self.ignored.extend_from_slice(entry);
        self.ignored.push(b'\n');
    }

    fn swap_output(&mut self, host: &[u8], rule: u32, content: &[u8]) -> PreviousOutput {
        let Some(host) = folder_name(host) else {
            log::warn!("rule {rule}: check_diff: the host name cannot be a folder, not compared");
            return PreviousOutput::None;
        };
        if content.len() >= MAX_OUTPUT {
            log::error!(
                "rule {rule}: check_diff: {} bytes are too many, not compared; the limit is {MAX_OUTPUT}",
                content.len()
            );
            return PreviousOutput::None;
        }
        let path = self.queue.join("diff").join(host).join(rule.to_string()).join("last-entry");
        let known = self.outputs.get(&path).cloned().or_else(|| fs::read(&path).ok());
        let fresh = [content, b"\0"].concat();
        match known {
            Some(old) if old == fresh => PreviousOutput::Same,
            Some(mut old) => {
                if old.last() == Some(&0) {
                    old.pop();
                }
                self.outputs.insert(path, fresh);
                PreviousOutput::Different(old)
            }
            None => {
                self.outputs.insert(path, fresh);
                PreviousOutput::None
            }
        }
    }
}

/// The folder for a host: the agent's name when the host name is an agent's location. `None` when it could climb.
fn folder_name(host: &[u8]) -> Option<PathBuf> {
    let name = match host {
        [b'(', rest @ ..] => &rest[..rest.iter().position(|&b| b == b')')?],
        plain => plain,
    };
    let plain = !name.is_empty()
        && name.len() < 256
        && name != b"."
        && name != b".."
        && !name.contains(&b'/')
        && !name.contains(&0);
    plain.then(|| PathBuf::from(std::ffi::OsStr::from_bytes(name)))
}

/// Appends what waits to a file; what could not be written waits on.
pub(crate) fn append(path: &Path, waiting: &mut Vec<u8>) -> Result<(), WriteError> {
    if waiting.is_empty() {
        return Ok(());
    }
    let opened = OpenOptions::new().append(true).create(true).mode(0o640).open(path);
    let written = opened.and_then(|mut file| {
        while !waiting.is_empty() {
            match file.write(waiting) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => drop(waiting.drain(..n)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    });
    written.map_err(|source| WriteError { path: path.to_owned(), source })
}

/// Puts a new file in the place of the old one, whole, with its folder if need be.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
    }
    let fresh = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&fresh)?;
    file.write_all(content)?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("queue/fts")).unwrap();
        dir
    }

    #[test]
    fn outputs_are_compared_with_the_last_ones_before_and_after_a_flush() {
        let dir = root();
        let mut files = Files::new(dir.path());
        assert_eq!(files.swap_output(b"web1", 533, b"a"), PreviousOutput::None);
        assert_eq!(files.swap_output(b"web1", 533, b"a"), PreviousOutput::Same);
        files.flush().unwrap();
        assert_eq!(fs::read(dir.path().join("queue/diff/web1/533/last-entry")).unwrap(), b"a\0");
        let mut files = Files::new(dir.path());
        assert_eq!(files.swap_output(b"web1", 533, b"b"), PreviousOutput::Different(b"a".to_vec()));
        assert_eq!(files.swap_output(b"(web1) 10.0.0.1->x", 533, b"b"), PreviousOutput::Same);
    }

    #[test]
    fn a_host_name_never_leaves_its_folder() {
        let dir = root();
        let mut files = Files::new(dir.path());
        for host in [&b".."[..], b"", b"a/../../b", b"(", b"(..) x->y"] {
            assert_eq!(files.swap_output(host, 1, b"x"), PreviousOutput::None, "{host:?}");
            files.flush().unwrap();
        }
        assert!(!dir.path().join("queue/diff").exists());
    }

    #[test]
    fn keys_are_appended_only_by_a_flush() {
        let dir = root();
        let mut files = Files::new(dir.path());
        files.first_seen(b"sshd root");
        assert_eq!(files.known_keys(), b"");
        files.flush().unwrap();
        files.first_seen(b"su bob");
        files.flush().unwrap();
        assert_eq!(files.known_keys(), b"sshd root\nsu bob\n");
    }
}
