//! What an agent tells about itself every ten minutes, and how the manager notes it.
//!
//! ```text
//! #!-Linux web01 6.1.0 #1 SMP x86_64 - OSSEC HIDS v4.2.0 / 5aa088a8429c501ba15ae1b167d7236b\n
//! 72493ad23c91bf3f2548c4d2d670c2b3 merged.mg\n
//! \n
//! um23zX]'VdpTAJQtn...
//! ```
//! First line: the system, ` - `, the version, and after ` / ` the sum of agent.conf when there is one. Then a sum for each shared
//! file (`x`: not there); nowadays only merged.mg. The random tail makes each message another one.

use std::fmt;

use crate::control::{MARK, MAX_CONTROL};
use crate::digest::Md5Hex;
use crate::key::Method;
use crate::ours::{Heard, Mark};

/// The one shared file that holds all others.
pub const MERGED: &[u8] = b"merged.mg";
/// Longest system text of [`Report`].
pub const MAX_SYSTEM: usize = 510;
/// The characters of a random tail.
pub const TAIL_ALPHABET: &[u8] =
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!@#$%^&*()_+-=;'[],./?";
/// Longest random tail.
pub const MAX_TAIL: usize = 698;

/// A keepalive as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive<'a> {
    /// The first line.
    pub uname: &'a [u8],
    /// All behind it.
    pub files: &'a [u8],
}

/// The sum of one shared file as the agent has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedSum<'a> {
    /// Usually 32 hex digits, or `x`: the agent doesn't have it.
    pub sum: &'a [u8],
    /// Name without folder.
    pub name: &'a [u8],
}

impl<'a> Keepalive<'a> {
    /// Reads the text behind `#!-`.
    ///
    /// # Errors
    /// [`KeepaliveError::NoLine`] without a newline: not a keepalive.
    pub fn parse(text: &'a [u8]) -> Result<Self, KeepaliveError> {
        let end = memchr::memchr(b'\n', text).ok_or(KeepaliveError::NoLine)?;
        Ok(Self { uname: &text[..end], files: &text[end + 1..] })
    }

    /// The sums, in order. An error ends them; behind merged.mg there are none (that is where the random tail is).
    pub fn sums(&self) -> impl Iterator<Item = Result<SharedSum<'a>, KeepaliveError>> + use<'a> {
        let mut rest = self.files;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let item = take_sum(&mut rest);
            if !matches!(item, Ok(SharedSum { name, .. }) if name != MERGED) {
                rest = b"";
            }
            Some(item)
        })
    }

    /// The agent's sum of merged.mg; `None` when it doesn't mention it.
    pub fn merged(&self) -> Option<&'a [u8]> {
        self.sums().filter_map(Result::ok).find(|file| file.name == MERGED).map(|file| file.sum)
    }
}

impl Keepalive<'_> {
    /// What an agent of ours says about itself behind the sum of merged.mg and an empty line.
    pub fn mark(&self) -> Option<Mark> {
        self.tail().and_then(Mark::parse)
    }

    /// The highest number that an agent of ours has heard from this manager.
    pub fn heard(&self) -> Option<Heard> {
        self.tail().and_then(Heard::parse)
    }

    fn tail(&self) -> Option<&[u8]> {
        let end = memchr::memmem::find(self.files, b" merged.mg\n\n")?;
        self.files.get(end + b" merged.mg\n\n".len()..)
    }
}

fn take_sum<'a>(rest: &mut &'a [u8]) -> Result<SharedSum<'a>, KeepaliveError> {
    let end = memchr::memchr(b'\n', rest).ok_or(KeepaliveError::UnendedSum)?;
    let (line, behind) = (&rest[..end], &rest[end + 1..]);
    *rest = behind;
    let space = memchr::memchr(b' ', line).ok_or(KeepaliveError::NoName)?;
    Ok(SharedSum { sum: &line[..space], name: &line[space + 1..] })
}

/// A keepalive to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// `sysname nodename release version machine - NAME VERSION`, see [`system`].
    pub system: &'a [u8],
    /// Sum of `etc/shared/agent.conf`, if there is one.
    pub agent_conf: Option<Md5Hex>,
    /// Sum of `etc/shared/merged.mg`, if there is one.
    pub merged: Option<Md5Hex>,
    /// Up to [`MAX_TAIL`] random characters of [`TAIL_ALPHABET`].
    pub tail: &'a [u8],
}

impl Report<'_> {
    /// Appends the message, cut to 1023 bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(MARK);
        out.extend_from_slice(&self.system[..self.system.len().min(MAX_SYSTEM)]);
        if let Some(sum) = &self.agent_conf {
            out.extend_from_slice(b" / ");
            out.extend_from_slice(sum.as_bytes());
        }
        out.push(b'\n');
        out.extend_from_slice(self.merged.as_ref().map_or(b"x", |sum| sum.as_bytes()));
        out.push(b' ');
        out.extend_from_slice(MERGED);
        out.extend_from_slice(b"\n\n");
        out.extend_from_slice(&self.tail[..self.tail.len().min(MAX_TAIL)]);
        out.truncate(start + MAX_CONTROL);
    }
}

/// The system text from the fields of uname(2) (newlines in them become spaces) and `NAME VERSION`.
pub fn system(uname: Option<[&str; 5]>, product: &str) -> String {
    match uname {
        Some(fields) => format!("{} - {product}", fields.join(" ")).replace('\n', " "),
        None => format!("No system info available -  {product}"),
    }
}

/// The first line as the manager's tools show it: system, and version with all behind it.
pub fn system_and_version(uname: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memmem::find(uname, b" - ") {
        Some(at) => (&uname[..at], Some(&uname[at + 3..])),
        None => (uname, None),
    }
}

/// Content of `queue/agent-info/<name>-<ip>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentInfo<'a> {
    /// First line of the last keepalive.
    pub uname: &'a [u8],
    /// How the agent seals; `None` in files of older managers.
    pub method: Option<Method>,
    /// What an agent of ours said about itself, as a line of its own: `oxsec=1;suspended;1f00ba42;`.
    pub mark: Option<Mark>,
}

impl<'a> AgentInfo<'a> {
    /// Reads a file.
    pub fn parse(file: &'a [u8]) -> Self {
        let mut lines = file.split(|&b| b == b'\n');
        let uname = lines.next().unwrap_or(b"");
        let method = lines
            .find_map(|line| line.strip_prefix(b"crypto_method:"))
            .and_then(|name| std::str::from_utf8(name).ok()?.trim().parse().ok());
        let mark = file.split(|&b| b == b'\n').skip(1).find_map(Mark::parse);
        Self { uname, method, mark }
    }

    /// Appends the file's bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.uname);
        out.push(b'\n');
        if let Some(method) = self.method {
            out.extend_from_slice(b"crypto_method:");
            out.extend_from_slice(method.name().as_bytes());
            out.push(b'\n');
        }
        if let Some(mark) = &self.mark {
            mark.write(out);
            out.push(b'\n');
        }
    }
}

/// Why a keepalive can't be read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepaliveError {
    /// No newline: there is no first line.
    NoLine,
    /// A sum without newline.
    UnendedSum,
    /// A sum without a name.
    NoName,
}

impl fmt::Display for KeepaliveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoLine => "keepalive without its first line (uname)",
            Self::UnendedSum => "shared file's line without newline (strchr \\n)",
            Self::NoName => "shared file's line without name (strchr ' ')",
        })
    }
}

impl std::error::Error for KeepaliveError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ours::State;

    fn report() -> Vec<u8> {
        let mut message = Vec::new();
        let system = system(Some(["Linux", "web01", "6.1", "#1 SMP", "x86_64"]), "X v1");
        let report = Report {
            system: system.as_bytes(),
            agent_conf: Some(Md5Hex::of(b"conf")),
            merged: Some(Md5Hex::of(b"merged")),
            tail: b"a\"b",
        };
        report.write(&mut message);
        message
    }

    #[test]
    fn what_an_agent_reports_the_manager_reads() {
        let message = report();
        let read = Keepalive::parse(&message[MARK.len()..]).unwrap();
        let (system, version) = system_and_version(read.uname);
        assert_eq!(system, b"Linux web01 6.1 #1 SMP x86_64");
        assert_eq!(version.unwrap(), format!("X v1 / {}", Md5Hex::of(b"conf")).as_bytes());
        assert_eq!(read.merged(), Some(&Md5Hex::of(b"merged").as_bytes()[..]));
        assert_eq!(read.sums().count(), 1);
    }

    #[test]
    fn a_mark_of_ours_is_found_in_front_of_the_tail_and_stays_out_of_the_sums() {
        let mark = Mark { state: State::Running, run: 7 };
        let mut tail = Vec::new();
        mark.write(&mut tail);
        tail.extend_from_slice(b"letters");
        let report = Report { system: b"L", agent_conf: None, merged: None, tail: &tail };
        let mut message = Vec::new();
        report.write(&mut message);
        let read = Keepalive::parse(&message[MARK.len()..]).unwrap();
        assert_eq!((read.mark(), read.merged()), (Some(mark), Some(&b"x"[..])));
        assert_eq!(Keepalive::parse(b"L\nx merged.mg\n\nabc").unwrap().mark(), None);
    }

    #[test]
    fn every_truncation_is_read_without_a_wrong_sum() {
        let message = report();
        let whole = Md5Hex::of(b"merged");
        for cut in MARK.len()..message.len() {
            if let Ok(read) = Keepalive::parse(&message[MARK.len()..cut]) {
                assert!(read.merged().is_none_or(|sum| sum == whole.as_bytes()), "cut at {cut}");
            }
        }
    }

    #[test]
    fn sums_file_by_file_are_read_until_one_is_garbled() {
        let read = Keepalive::parse(b"L\nx a\ny b\n\nz c\n").unwrap();
        let sums: Vec<_> = read.sums().collect();
        assert_eq!(sums[0], Ok(SharedSum { sum: b"x", name: b"a" }));
        assert_eq!(sums[2], Err(KeepaliveError::NoName));
        assert_eq!(sums.len(), 3);
        let read = Keepalive::parse(b"L\nx a").unwrap();
        assert_eq!(read.sums().next(), Some(Err(KeepaliveError::UnendedSum)));
    }

    #[test]
    fn the_info_file_is_read_back() {
        let mut info = AgentInfo { uname: b"Linux h", method: Some(Method::Blowfish), mark: None };
        let mut file = Vec::new();
        info.write(&mut file);
        assert_eq!(file, b"Linux h\ncrypto_method:blowfish\n");
        assert_eq!(AgentInfo::parse(&file), info);
        assert_eq!(AgentInfo::parse(b"").method, None);
        info.mark = Some(Mark { state: State::Suspended, run: 0xbeef });
        info.write(&mut file);
        let second = &file[b"Linux h\ncrypto_method:blowfish\n".len()..];
        assert_eq!(second, b"Linux h\ncrypto_method:blowfish\noxsec=1;suspended;0000beef;\n");
        assert_eq!(AgentInfo::parse(second), info);
    }

    #[test]
    fn a_keepalive_without_uname_keeps_its_two_spaces() {
        assert_eq!(system(None, "X v1"), "No system info available -  X v1");
    }
}
