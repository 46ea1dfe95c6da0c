//! The kernel's audit records, read only, beside auditd: a multicast group of the audit netlink (Linux 3.16, `CAP_AUDIT_READ`).
//!
//! Nothing is asked of the kernel and no rule is made: whoever has rules that watch files (`auditctl -w`) gets the names from them.
//! One event is several records with one serial number, the last of them without content:
//!
//! ```text
//! 1300 audit(1795220266.123:88): ... success=yes ... ppid=1 pid=77 auid=1000 uid=0 ... exe="/usr/bin/vim" ...
//! 1307 audit(1795220266.123:88): cwd="/root"
//! 1302 audit(1795220266.123:88): item=1 name="x" inode=... nametype=NORMAL
//! 1327 audit(1795220266.123:88): proctitle=76696D002F
//! 1320 audit(1795220266.123:88):
//! ```
//! Values that could break the line are written as hexadecimal digits without quotes. Record kinds: linux/audit.h.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use fim::note::Who;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, netlink};

const SYSCALL: u16 = 1300;
const PATH: u16 = 1302;
const CWD: u16 = 1307;
const END: u16 = 1320;
const TITLE: u16 = 1327;

/// The group that records are sent to, as a bit.
const READLOG: u32 = 1;
/// Length, kind, flags, sequence number, port (netlink(7)).
const HEADER: usize = 16;
/// The kernel's longest record, and some.
const MAX_MESSAGE: usize = 16_384;
/// Paths of one event.
const MAX_PATHS: usize = 16;
/// Records read before others get their turn.
const PER_TURN: usize = 1024;
/// loginuid of a process that nobody logged in for.
const UNSET: u32 = u32::MAX;

/// The socket, and the event whose records are coming.
pub struct Audit {
    socket: OwnedFd,
    gathering: Gathering,
    buffer: Vec<u8>,
}

/// One event: somebody touched these paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Absolute.
    pub paths: Vec<Vec<u8>>,
    /// Without names of users.
    pub who: Who,
}

impl Audit {
    /// Joins the group; to be called while privileged.
    ///
    /// # Errors
    /// Not permitted, or a kernel without audit.
    pub fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let kind = Some(netlink::AUDIT);
        let socket =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, kind)?;
        rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, READLOG))?;
        Ok(Self { socket, gathering: Gathering::default(), buffer: vec![0; MAX_MESSAGE] })
    }

    /// The events that are complete.
    pub fn read(&mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        for _ in 0..PER_TURN {
            // What the kernel had no room for is lost to us: it only ever adds a name.
            let read = rustix::net::recv(&self.socket, &mut *self.buffer, RecvFlags::DONTWAIT);
            let Ok((len, _)) = read else { break };
            let Some((kind, text)) = message(self.buffer.get(..len).unwrap_or_default()) else {
                continue;
            };
            seen.extend(self.gathering.take(kind, text));
        }
        seen
    }
}

impl AsFd for Audit {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Kind and text of a netlink message. The kernel's own length counts the header in or, for audit, does not: the datagram's end rules.
fn message(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let text = bytes.get(HEADER..)?;
    Some((kind, text.strip_suffix(b"\0").unwrap_or(text)))
}

/// Records of one event.
#[derive(Debug, Default)]
pub struct Gathering {
    serial: Vec<u8>,
    folder: Vec<u8>,
    seen: Seen,
    succeeded: bool,
}

impl Gathering {
    /// Takes one record; gives the event when it is complete, told us of paths and did not fail.
    pub fn take(&mut self, kind: u16, record: &[u8]) -> Option<Seen> {
        let (serial, fields) = serial(record)?;
        let mut complete = None;
        if serial != self.serial {
            complete = self.finish();
            self.serial = serial.to_vec();
        }
        match kind {
            SYSCALL => self.call(fields),
            CWD => self.folder = value(fields, b"cwd").unwrap_or_default(),
            PATH => self.path(fields),
            TITLE => self.seen.who.cmd = value(fields, b"proctitle").map(words),
            END => complete = complete.or_else(|| self.finish()),
            _ => {}
        }
        complete
    }

    fn call(&mut self, fields: &[u8]) {
        let number = |name: &[u8]| {
            let value = value(fields, name)?;
            std::str::from_utf8(&value).ok()?.parse::<u32>().ok()
        };
        self.succeeded = value(fields, b"success").as_deref() == Some(b"yes");
        let who = &mut self.seen.who;
        who.pid = number(b"pid");
        who.ppid = number(b"ppid");
        who.uid = number(b"euid").or_else(|| number(b"uid"));
        who.auid = number(b"auid").filter(|&uid| uid != UNSET);
        who.exe = value(fields, b"exe");
    }

    fn path(&mut self, fields: &[u8]) {
        // The folder of a file that is made or deleted has a record of its own.
        if value(fields, b"nametype").as_deref() == Some(b"PARENT") {
            return;
        }
        let Some(name) = value(fields, b"name").filter(|name| !name.is_empty()) else { return };
        if self.seen.paths.len() < MAX_PATHS {
            self.seen.paths.push(name);
        }
    }

    fn finish(&mut self) -> Option<Seen> {
        let Self { folder, mut seen, succeeded, .. } = std::mem::take(self);
        for path in &mut seen.paths {
            if !path.starts_with(b"/") {
                let name = path.strip_prefix(b"./").unwrap_or(path);
                *path = crate::plan::join(&folder, name);
            }
        }
        seen.paths.retain(|path| path.starts_with(b"/"));
        (succeeded && !seen.paths.is_empty()).then_some(seen)
    }
}

/// `audit(1795220266.123:88): fields`.
fn serial(record: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = record.strip_prefix(b"audit(")?;
    let end = rest.iter().position(|&byte| byte == b')')?;
    let fields = rest.get(end + 1..)?;
    Some((rest.get(..end)?, fields.strip_prefix(b":").unwrap_or(fields)))
}

/// A field's value: between quotes, or hexadecimal, or a plain word.
fn value(fields: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut rest = fields;
    loop {
        let at = rest
            .windows(name.len() + 1)
            .position(|window| window.strip_prefix(name) == Some(b"="))?;
        let begins = at == 0 || rest.get(at - 1) == Some(&b' ');
        let behind = rest.get(at + name.len() + 1..)?;
        if !begins {
            rest = behind;
            continue;
        }
        if let Some(quoted) = behind.strip_prefix(b"\"") {
            return Some(quoted.split(|&byte| byte == b'"').next()?.to_vec());
        }
        let word = behind.split(|&byte| byte == b' ').next()?;
        let is_text = [&b"name"[..], b"cwd", b"exe", b"proctitle"].contains(&name);
        return match unhex(word) {
            Some(bytes) if is_text => Some(bytes),
            _ => (word != b"(null)").then(|| word.to_vec()),
        };
    }
}

fn unhex(word: &[u8]) -> Option<Vec<u8>> {
    if word.is_empty() || !word.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = word.chunks_exact(2).map(|pair| match pair {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    });
    pairs.collect()
}

fn words(title: Vec<u8>) -> Vec<u8> {
    title.into_iter().map(|byte| if byte == 0 { b' ' } else { byte }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &[(u16, &[u8])] = &[
        (
            SYSCALL,
            b"audit(1795220266.123:88): arch=c000003e syscall=257 success=yes exit=3 items=2 ppid=1 pid=77 auid=1000 uid=0 euid=0 tty=pts0 comm=\"vim\" exe=\"/usr/bin/vim\" key=\"etc\"",
        ),
        (CWD, b"audit(1795220266.123:88): cwd=\"/root\""),
        (PATH, b"audit(1795220266.123:88): item=0 name=\"/root\" inode=1 nametype=PARENT"),
        (PATH, b"audit(1795220266.123:88): item=1 name=\"notes\" inode=2 nametype=NORMAL"),
        (PATH, b"audit(1795220266.123:88): item=2 name=2F612062 inode=3 nametype=CREATE"),
        (TITLE, b"audit(1795220266.123:88): proctitle=76696D002F"),
    ];

    #[test]
    fn the_records_of_one_event_are_put_together() {
        let mut gathering = Gathering::default();
        for (kind, record) in EVENT {
            assert_eq!(gathering.take(*kind, record), None);
        }
        let seen = gathering.take(END, b"audit(1795220266.123:88): ").unwrap();
        assert_eq!(seen.paths, [b"/root/notes".to_vec(), b"/a b".to_vec()]);
        let who = seen.who;
        assert_eq!(
            (who.pid, who.ppid, who.uid, who.auid),
            (Some(77), Some(1), Some(0), Some(1000))
        );
        assert_eq!(who.exe.as_deref(), Some(&b"/usr/bin/vim"[..]));
        assert_eq!(who.cmd.as_deref(), Some(&b"vim /"[..]));
    }

    #[test]
    fn another_serial_number_ends_the_event() {
        let mut gathering = Gathering::default();
        for (kind, record) in EVENT {
            gathering.take(*kind, record);
        }
        let seen = gathering.take(SYSCALL, b"audit(1795220266.124:89): success=no pid=78");
        assert_eq!(seen.unwrap().paths.len(), 2);
        gathering.take(PATH, b"audit(1795220266.124:89): name=\"/x\" nametype=NORMAL");
        assert_eq!(gathering.take(END, b"audit(1795220266.124:89):"), None, "it failed");
    }

    #[test]
    fn every_truncation_and_mutation_is_lived_with() {
        let mut random = 0x9abc_def1_1234_5678_u64;
        for (kind, record) in EVENT {
            for len in 0..=record.len() {
                Gathering::default().take(*kind, &record[..len]);
            }
            for _ in 0..500 {
                let mut bytes = record.to_vec();
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let at = random as usize % bytes.len();
                bytes[at] = (random >> 32) as u8;
                let mut gathering = Gathering::default();
                gathering.take(*kind, &bytes);
                gathering.take(END, &bytes);
            }
        }
        for len in 0..40 {
            message(&vec![7; len]);
        }
    }
}
