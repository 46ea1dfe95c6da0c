//! Signs of life: one file an agent in `queue/agent-info`, rewritten on each keepalive.
//!
//! Its modification time is that of the last keepalive, and the agent's status follows from it.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use wire::keepalive::AgentInfo;
use wire::ours::State;

use crate::keyfile::Agent;
use crate::replace::{Depth, replace};

/// Below the install root.
pub const FOLDER: &str = "queue/agent-info";
/// The keepalive period that the tools assume, whatever agents are set to.
pub const NOTIFY: Duration = Duration::from_secs(600);

/// Whether an agent speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// A keepalive came within three periods and half a minute.
    Active,
    /// The last one is older.
    Disconnected,
    /// There was none since the agent was added.
    NeverConnected,
    /// It said that it does nothing until it is told to go on; agents of ours only.
    Suspended,
}

impl Status {
    /// From the time of the last keepalive.
    pub fn at(last: Option<SystemTime>, now: SystemTime, notify: Duration) -> Self {
        let Some(last) = last else { return Self::NeverConnected };
        let limit = notify * 3 + Duration::from_secs(30);
        // A time in the future is a clock that was set back: it spoke just now.
        let is_silent = now.duration_since(last).is_ok_and(|silence| silence >= limit);
        if is_silent { Self::Disconnected } else { Self::Active }
    }

    /// As the tools print it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Disconnected => "Disconnected",
            Self::NeverConnected => "Never connected",
            Self::Suspended => "Suspended",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where an agent's file is.
pub fn path(root: &Path, agent: &Agent) -> PathBuf {
    root.join(FOLDER).join(agent.file_name())
}

/// Notes a keepalive.
///
/// # Errors
/// When the file can't be replaced.
pub fn write(root: &Path, agent: &Agent, info: &AgentInfo<'_>) -> io::Result<()> {
    let mut file = Vec::new();
    info.write(&mut file);
    replace(&path(root, agent), &file, 0o640, Depth::Kernel)
}

/// Notes a keepalive that says the same as the one before. `false`: there is no file, [`write`] it.
///
/// # Errors
/// When the time can't be set.
pub fn touch(root: &Path, agent: &Agent, now: SystemTime) -> io::Result<bool> {
    match fs::OpenOptions::new().write(true).open(path(root, agent)) {
        Ok(file) => file.set_modified(now).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The time of the last keepalive; `None` when there was none or its file can't be looked at.
pub fn last_seen(root: &Path, agent: &Agent) -> Option<SystemTime> {
    fs::metadata(path(root, agent)).and_then(|data| data.modified()).ok()
}

/// The agent's status by the tools' period, [`NOTIFY`]. An agent of ours that said it was stopped or suspended is just that.
pub fn status(root: &Path, agent: &Agent, now: SystemTime) -> Status {
    let by_time = Status::at(last_seen(root, agent), now, NOTIFY);
    match state(&path(root, agent)) {
        Some(State::Suspended) => Status::Suspended,
        Some(State::Exiting) => Status::Disconnected,
        Some(State::Running) | None => by_time,
    }
}

/// What an agent of ours said last that it does; `None` for others, and when there is no such file.
pub fn state(file: &Path) -> Option<State> {
    fs::read(file).ok().and_then(|file| AgentInfo::parse(&file).mark).map(|mark| mark.state)
}

/// The content of an agent's file, for [`AgentInfo::parse`]; empty when it has none.
///
/// # Errors
/// When the file is there and can't be read.
pub fn read(root: &Path, agent: &Agent) -> io::Result<Vec<u8>> {
    match fs::read(path(root, agent)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

/// Deletes a removed agent's file.
///
/// # Errors
/// When it is there and can't be deleted.
pub fn remove(root: &Path, agent: &Agent) -> io::Result<()> {
    match fs::remove_file(path(root, agent)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::key::Method;
    use wire::ours::Mark;

    #[test]
    fn status_follows_from_the_last_keepalive() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let ago = |seconds| Some(now - Duration::from_secs(seconds));
        assert_eq!(Status::at(None, now, NOTIFY), Status::NeverConnected);
        assert_eq!(Status::at(ago(1829), now, NOTIFY), Status::Active);
        assert_eq!(Status::at(ago(1830), now, NOTIFY), Status::Disconnected);
        assert_eq!(Status::at(Some(now + NOTIFY), now, NOTIFY), Status::Active);
    }

    #[test]
    fn a_keepalive_is_noted_and_read_back() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(FOLDER)).unwrap();
        let agent = Agent::parse(b"001 web01 10.9.2.0/24 k").unwrap();
        let now = SystemTime::now();
        assert!(!touch(root.path(), &agent, now).unwrap());
        assert_eq!(status(root.path(), &agent, now), Status::NeverConnected);
        write(
            root.path(),
            &agent,
            &AgentInfo { uname: b"Linux web01", method: Some(Method::Aes), mark: None },
        )
        .unwrap();
        let file = root.path().join("queue/agent-info/web01-10.9.2.0");
        assert_eq!(fs::read(&file).unwrap(), b"Linux web01\ncrypto_method:aes\n");
        assert!(touch(root.path(), &agent, now - Duration::from_secs(4000)).unwrap());
        assert_eq!(status(root.path(), &agent, now), Status::Disconnected);
        assert_eq!(AgentInfo::parse(&read(root.path(), &agent).unwrap()).uname, b"Linux web01");
        for (state, status) in [
            (State::Suspended, Status::Suspended),
            (State::Exiting, Status::Disconnected),
            (State::Running, Status::Active),
        ] {
            let mark = Some(Mark { state, run: 1 });
            write(root.path(), &agent, &AgentInfo { uname: b"L", method: None, mark }).unwrap();
            assert_eq!(super::status(root.path(), &agent, SystemTime::now()), status);
        }
        remove(root.path(), &agent).unwrap();
        remove(root.path(), &agent).unwrap();
    }

    #[test]
    fn a_file_cut_anywhere_is_read() {
        let whole = b"Linux web01 6.1 - OSSEC HIDS v4.2.0\ncrypto_method:blowfish\n";
        for cut in 0..whole.len() {
            let read = AgentInfo::parse(&whole[..cut]);
            assert!(whole.starts_with(read.uname), "cut at {cut}");
            assert!(matches!(read.method, None | Some(Method::Blowfish)), "cut at {cut}");
        }
    }
}
