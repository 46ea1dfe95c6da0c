//! What an agent's programs know of their own agent: `queue/ossec/.agent_info`, four lines.
//!
//! ```text
//! web01       name
//! -           always a dash
//! 001         id
//! webserver   profiles of agent.conf, or a dash
//! ```

use std::fs;
use std::io;
use std::path::Path;

use crate::identity::{AgentId, AgentName};
use crate::replace::{Depth, replace};

/// Below the install root.
pub const FILE: &str = "queue/ossec/.agent_info";

/// An agent of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalInfo {
    /// Its name.
    pub name: AgentName,
    /// Its id.
    pub id: AgentId,
    /// `<config-profile>`, several separated by commas; `None`: none.
    pub profile: Option<String>,
}

impl LocalInfo {
    /// Reads the file's bytes; `None` when it isn't such a file.
    pub fn parse(file: &[u8]) -> Option<Self> {
        let mut lines = file.split_inclusive(|&b| b == b'\n').map(|line| line.strip_suffix(b"\n"));
        let name = AgentName::parse(lines.next()??).ok()?;
        lines.next()??;
        let id = AgentId::parse(lines.next()??).ok()?;
        let profile = std::str::from_utf8(lines.next()??).ok()?;
        Some(Self { name, id, profile: (profile != "-").then(|| profile.to_owned()) })
    }

    /// Reads the file; `None` when it is missing or isn't such a file: this host is no agent, or its daemon never ran.
    pub fn read(root: &Path) -> Option<Self> {
        Self::parse(&fs::read(root.join(FILE)).ok()?)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it can't be replaced.
    pub fn write(&self, root: &Path) -> io::Result<()> {
        let profile = self.profile.as_deref().unwrap_or("-").replace('\n', " ");
        let file = format!("{}\n-\n{}\n{profile}\n", self.name, self.id);
        replace(&root.join(FILE), file.as_bytes(), 0o640, Depth::Kernel)
    }
}

/// As agents call themselves.
const PRODUCT: &str = concat!("Oxsec HIDS v", env!("CARGO_PKG_VERSION"));

/// This host as it is told to the manager, and as `os=` of agent.conf chooses by: `Linux web01 6.1.0 #1 SMP x86_64 - Oxsec HIDS v0.1.0`.
pub fn system() -> String {
    let uname = rustix::system::uname();
    let fields =
        [uname.sysname(), uname.nodename(), uname.release(), uname.version(), uname.machine()];
    let fields = fields.map(|field| field.to_string_lossy());
    wire::keepalive::system(Some(fields.each_ref().map(|field| &**field)), PRODUCT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_back_and_a_torn_one_is_not() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("queue/ossec")).unwrap();
        let info = LocalInfo {
            name: AgentName::parse(b"web01").unwrap(),
            id: AgentId::parse(b"001").unwrap(),
            profile: Some("web,db".into()),
        };
        info.write(root.path()).unwrap();
        let file = fs::read(root.path().join(FILE)).unwrap();
        assert_eq!(file, b"web01\n-\n001\nweb,db\n");
        assert_eq!(LocalInfo::read(root.path()), Some(info));
        for cut in 0..file.len() {
            assert_eq!(LocalInfo::parse(&file[..cut]), None, "cut at {cut}");
        }
        assert_eq!(LocalInfo::parse(b"a1\n-\n1\n-\n").unwrap().profile, None);
    }
}
