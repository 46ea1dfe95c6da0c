//! The alert: which rule fired on which event, in borrowed bytes.

use crate::moment::Moment;

/// One alert, ready to be rendered.
#[derive(Debug, Clone)]
pub struct Alert<'a> {
    /// Its number, unique in the output files.
    pub id: AlertId,
    /// Whether the record carries the mail flag.
    pub mail: bool,
    /// The rule that fired.
    pub rule: Rule<'a>,
    /// What it fired on.
    pub event: Event<'a>,
    /// Earlier lines that explain the alert, newest first, printed after the event's own.
    pub samples: Vec<&'a [u8]>,
}

/// Printed `<epoch>.<number>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlertId {
    /// Receive time of the event, seconds since the epoch.
    pub epoch: i64,
    /// Counts alerts.
    pub number: u64,
}

/// Facts of the rule that fired.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rule<'a> {
    /// Rule number.
    pub id: u32,
    /// 0 to 15.
    pub level: u8,
    /// The rule's description.
    pub comment: &'a [u8],
    /// Groups as one string, as written: `syslog,sshd,`.
    pub groups: &'a [u8],
    /// The `<cve>` texts, concatenated.
    pub cve: Option<&'a [u8]>,
    /// The `<info>` texts, concatenated.
    pub info: Option<&'a [u8]>,
    /// Techniques of MITRE ATT&CK that the rule names.
    pub mitre: &'a [Vec<u8>],
    /// The `frequency` attribute; 0 when it has none.
    pub frequency: u32,
    /// How often the rule was selected since start, this time included.
    pub fired: u64,
}

/// What is known of one event after decoding.
#[derive(Debug, Clone, Default)]
pub struct Event<'a> {
    /// Receive time.
    pub moment: Moment,
    /// Where it was seen: a path, a command, or `(agent) address->path`.
    pub location: &'a [u8],
    /// Host name from the header, else this server's, else the whole location of an agent's event.
    pub hostname: &'a [u8],
    /// The host name *is* the location, which is then printed once.
    pub hostname_is_location: bool,
    /// Program name from the header.
    pub program_name: Option<&'a [u8]>,
    /// The line with its header.
    pub full_log: &'a [u8],
    /// The line without its header.
    pub log: &'a [u8],
    /// Which decoder took it.
    pub decoder: Decoder<'a>,
    /// Decoded source address.
    pub srcip: Option<&'a [u8]>,
    /// Decoded source port.
    pub srcport: Option<&'a [u8]>,
    /// Decoded source user.
    pub srcuser: Option<&'a [u8]>,
    /// Decoded destination address.
    pub dstip: Option<&'a [u8]>,
    /// Decoded destination port.
    pub dstport: Option<&'a [u8]>,
    /// Decoded destination user, the `user` of rules.
    pub dstuser: Option<&'a [u8]>,
    /// Decoded protocol.
    pub protocol: Option<&'a [u8]>,
    /// Decoded action.
    pub action: Option<&'a [u8]>,
    /// Decoded id.
    pub id: Option<&'a [u8]>,
    /// Decoded status.
    pub status: Option<&'a [u8]>,
    /// Decoded URL.
    pub url: Option<&'a [u8]>,
    /// Decoded `extra_data`.
    pub data: Option<&'a [u8]>,
    /// Decoded system name.
    pub systemname: Option<&'a [u8]>,
    /// The file that the event is about, with what is known of it.
    pub file: Option<FileFacts<'a>>,
    /// Fields that the line itself names: of JSON, of structured data.
    pub fields: Vec<(&'a [u8], &'a [u8])>,
    /// Fields of the decoder's own naming, in order.
    pub dynamic: Vec<(&'a [u8], &'a [u8])>,
}

/// The decoder, as outputs show it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Decoder<'a> {
    /// Absent when no decoder took the event.
    pub name: Option<&'a [u8]>,
    /// Name of its parent, for a child decoder.
    pub parent: Option<&'a [u8]>,
    /// The first-seen mask (bits of the original's numbering).
    pub fts: u32,
    /// The accumulator flag.
    pub accumulate: bool,
}

/// A file with its attributes before and after.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileFacts<'a> {
    /// Path as reported.
    pub path: &'a [u8],
    /// What was known before.
    pub before: FileState<'a>,
    /// What is known now.
    pub after: FileState<'a>,
}

/// Attributes of a file at one time, each if known.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileState<'a> {
    /// Hexadecimal digest.
    pub md5: Option<&'a [u8]>,
    /// Hexadecimal digest.
    pub sha1: Option<&'a [u8]>,
    /// Hexadecimal digest.
    pub sha256: Option<&'a [u8]>,
    /// Numeric user id as text.
    pub owner: Option<&'a [u8]>,
    /// Numeric group id as text.
    pub group: Option<&'a [u8]>,
    /// Mode bits with the file type.
    pub mode: Option<u32>,
    /// Attributes beyond the original's, by name: `inode`, `acl`.
    pub more: &'a [(&'static str, Vec<u8>)],
}

/// Who saw an event, read from its location.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Name and address of the agent; absent for an event of this host.
    pub agent: Option<(&'a [u8], &'a [u8])>,
    /// The file or command without the agent in front.
    pub logfile: &'a [u8],
}

impl<'a> Origin<'a> {
    /// Takes `(web01) 10.0.0.5->/var/log/secure` apart; anything of another shape is local.
    pub fn of(location: &'a [u8]) -> Self {
        Self::agent(location).unwrap_or(Self { agent: None, logfile: location })
    }

    fn agent(location: &'a [u8]) -> Option<Self> {
        let inner = location.strip_prefix(b"(")?;
        let close = inner.iter().position(|&byte| byte == b')')?;
        let (name, rest) = inner.split_at_checked(close)?;
        let rest = rest.get(1..)?;
        let rest = rest.strip_prefix(b" ").unwrap_or(rest);
        let arrow = rest.windows(2).position(|pair| pair == b"->")?;
        Some(Self { agent: Some((name, rest.get(..arrow)?)), logfile: rest.get(arrow + 2..)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_location_has_a_name_an_address_and_a_file() {
        let origin = Origin::of(b"(web01) fe80::1->/var/log/secure");
        assert_eq!(origin.agent, Some((&b"web01"[..], &b"fe80::1"[..])));
        assert_eq!(origin.logfile, b"/var/log/secure");
    }

    #[test]
    fn a_truncated_agent_location_is_local() {
        let whole = b"(web01) 10.0.0.5->x";
        for end in 0..whole.len() - 2 {
            assert_eq!(Origin::of(&whole[..end]).agent, None, "cut at {end}");
        }
    }
}
