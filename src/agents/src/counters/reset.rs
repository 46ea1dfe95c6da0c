//! One-time permission for an agent to begin anew with lower numbers: `queue/rids/<id>.reset`, made by
//! `manage-agents --reset-counter`, used up by remoted with the agent's next hello.
//!
//! Only for agents that can't prove on their own that they live (those of OSSEC). While it stands, a recorded hello would be taken
//! just as well: hence it lives for a few minutes and counts once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::RIDS;
use crate::identity::AgentId;
use crate::replace::{Depth, replace};

/// How long it stands.
pub const LIFE: Duration = Duration::from_secs(300);

/// Gives it.
///
/// # Errors
/// When the file can't be written.
pub fn arm(root: &Path, id: &AgentId) -> io::Result<()> {
    replace(&path(root, id), b"", 0o660, Depth::Kernel)
}

/// Whether it stands; from now on it does not any more.
///
/// # Errors
/// When the file is there and can't be looked at or removed: then it must not count.
pub fn take(root: &Path, id: &AgentId, now: SystemTime) -> io::Result<bool> {
    let path = path(root, id);
    let made = match fs::symlink_metadata(&path) {
        Ok(data) => data.modified()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    fs::remove_file(&path)?;
    // One from the future is a clock that was set back: better none.
    Ok(now.duration_since(made).is_ok_and(|age| age <= LIFE))
}

fn path(root: &Path, id: &AgentId) -> PathBuf {
    root.join(RIDS).join(format!("{id}.reset"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_once_and_not_for_long() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(RIDS)).unwrap();
        let id = AgentId::parse(b"001").unwrap();
        let now = || SystemTime::now() + Duration::from_secs(1);
        assert!(!take(root.path(), &id, now()).unwrap());
        arm(root.path(), &id).unwrap();
        assert!(take(root.path(), &id, now()).unwrap());
        assert!(!take(root.path(), &id, now()).unwrap());
        arm(root.path(), &id).unwrap();
        assert!(!take(root.path(), &id, now() + LIFE).unwrap());
        assert!(!take(root.path(), &id, now()).unwrap());
    }
}
