//! Control messages: they begin with `#!-`, for instance `#!-agent startup ` (the space at the end belongs to it).
//!
//! | direction        | text                          | meaning                                              |
//! |------------------|-------------------------------|------------------------------------------------------|
//! | agent to manager | `agent startup `              | hello                                                |
//! | agent to manager | anything else                 | [`keepalive`](crate::keepalive)                      |
//! | manager to agent | `agent ack `                  | answer to every control message                      |
//! | manager to agent | `up file <md5> <name>\n`      | a pushed file begins, see [`shared`](crate::shared)  |
//! | manager to agent | bytes without `#!-`           | a piece of it                                        |
//! | manager to agent | `close file `                 | its end                                              |
//! | manager to agent | `execd <command line>`        | active response, or [`RESTART`]                      |
//! | manager to agent | `syscheck restart`            | scan now                                             |
//! | manager to agent | `syscheck digest`, `syscheck resend <buckets>` | only between ours: [`ToAgent::Syscheck`] |

/// How every control message begins.
pub const MARK: &[u8] = b"#!-";
/// Largest control message in bytes; longer ones are cut, at both sides.
pub const MAX_CONTROL: usize = 1023;
/// The command line by which an agent is told to restart.
pub const RESTART: &[u8] = b"restart-ossec0 - null (from_the_server) (no_rule_id)";

const STARTUP: &[u8] = b"agent startup ";
const ACK: &[u8] = b"agent ack ";
const UP_FILE: &[u8] = b"up file ";
const CLOSE_FILE: &[u8] = b"close file ";
const EXECD: &[u8] = b"execd ";
const SYSCHECK: &[u8] = b"syscheck restart";
const TO_SYSCHECK: &[u8] = b"syscheck ";

/// The text behind `#!-`, or `None` for events and pieces of files.
pub fn text(message: &[u8]) -> Option<&[u8]> {
    message.strip_prefix(MARK)
}

/// What an agent sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromAgent<'a> {
    /// Hello; to be acknowledged, tells nothing else.
    Startup,
    /// Everything else that begins with `#!-`: text for [`Keepalive::parse`](crate::keepalive::Keepalive::parse).
    Keepalive(&'a [u8]),
    /// An event, see [`forward`](crate::forward).
    Event(&'a [u8]),
}

impl<'a> FromAgent<'a> {
    /// Sorts one message; every message is one of the three.
    pub fn parse(message: &'a [u8]) -> Self {
        match text(message) {
            None => Self::Event(message),
            Some(STARTUP) => Self::Startup,
            Some(text) => Self::Keepalive(text),
        }
    }

    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Startup => put(out, &[MARK, STARTUP]),
            Self::Keepalive(text) => put(out, &[MARK, text]),
            Self::Event(message) => out.extend_from_slice(message),
        }
    }
}

/// What a manager sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToAgent<'a> {
    /// "I heard you."
    Ack,
    /// A file begins. Both fields are as they came: check them with [`shared::Assembler`](crate::shared::Assembler).
    FileBegin {
        /// Announced MD5 sum.
        sum: &'a [u8],
        /// Announced name.
        name: &'a [u8],
    },
    /// Bytes of the open file.
    FilePiece(&'a [u8]),
    /// The file is complete.
    FileEnd,
    /// For execd, as is: `<ar name> <user|-> <ip|-> ...`.
    Execd(&'a [u8]),
    /// Run syscheck and rootcheck now.
    SyscheckRestart,
    /// For syscheckd, as is: `digest` or `resend 17,203`. Only our manager asks so, and only agents of ours.
    Syscheck(&'a [u8]),
    /// `#!-` and something else: for a log line, and the end of an open transfer.
    Unknown(&'a [u8]),
}

impl<'a> ToAgent<'a> {
    /// Sorts one message; every message is one of these.
    pub fn parse(message: &'a [u8]) -> Self {
        let Some(text) = text(message) else { return Self::FilePiece(message) };
        match text {
            ACK => Self::Ack,
            CLOSE_FILE => Self::FileEnd,
            SYSCHECK => Self::SyscheckRestart,
            _ => {
                if let Some(line) = text.strip_prefix(EXECD) {
                    return Self::Execd(line);
                }
                if let Some(request) = syscheck_request(text) {
                    return Self::Syscheck(request);
                }
                text.strip_prefix(UP_FILE).and_then(file_begin).unwrap_or(Self::Unknown(text))
            }
        }
    }

    /// Appends the message; control messages are cut to [`MAX_CONTROL`] bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ack => put(out, &[MARK, ACK]),
            Self::FileBegin { sum, name } => put(out, &[MARK, UP_FILE, sum, b" ", name, b"\n"]),
            Self::FilePiece(bytes) => out.extend_from_slice(bytes),
            Self::FileEnd => put(out, &[MARK, CLOSE_FILE]),
            Self::Execd(line) => put(out, &[MARK, EXECD, line]),
            Self::SyscheckRestart => put(out, &[MARK, SYSCHECK]),
            Self::Syscheck(request) => put(out, &[MARK, TO_SYSCHECK, request]),
            Self::Unknown(text) => put(out, &[MARK, text]),
        }
    }

    /// The message by itself.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }
}

/// What of a control message's text is for syscheckd as it is.
pub fn syscheck_request(text: &[u8]) -> Option<&[u8]> {
    let request = text.strip_prefix(TO_SYSCHECK)?;
    (request == b"digest" || request.starts_with(b"resend ")).then_some(request)
}

/// `<md5> <name>\n`
fn file_begin(text: &[u8]) -> Option<ToAgent<'_>> {
    let space = memchr::memchr(b' ', text)?;
    let (sum, name) = (&text[..space], &text[space + 1..]);
    let name = &name[..memchr::memchr(b'\n', name)?];
    Some(ToAgent::FileBegin { sum, name })
}

fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let start = out.len();
    for part in parts {
        out.extend_from_slice(part);
    }
    out.truncate(start + MAX_CONTROL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_space_at_the_end_counts() {
        assert_eq!(FromAgent::parse(b"#!-agent startup "), FromAgent::Startup);
        assert_eq!(FromAgent::parse(b"#!-agent startup"), FromAgent::Keepalive(b"agent startup"));
        assert_eq!(ToAgent::parse(b"#!-agent ack"), ToAgent::Unknown(b"agent ack"));
        assert_eq!(ToAgent::parse(b"agent ack "), ToAgent::FilePiece(b"agent ack "));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let messages = [
            ToAgent::Ack,
            ToAgent::FileBegin { sum: b"x", name: b"merged.mg" },
            ToAgent::FilePiece(b"!3 a\nabc"),
            ToAgent::FileEnd,
            ToAgent::Execd(RESTART),
            ToAgent::SyscheckRestart,
            ToAgent::Unknown(b"dance"),
        ];
        for message in messages {
            assert_eq!(ToAgent::parse(&message.to_bytes()), message);
        }
        for message in [FromAgent::Startup, FromAgent::Keepalive(b"L"), FromAgent::Event(b"1:a:b")]
        {
            let mut bytes = Vec::new();
            message.write(&mut bytes);
            assert_eq!(FromAgent::parse(&bytes), message);
        }
    }

    #[test]
    fn a_half_announced_file_is_unknown() {
        let whole = b"#!-up file 72493ad23c91bf3f2548c4d2d670c2b3 merged.mg\n";
        assert!(matches!(ToAgent::parse(whole), ToAgent::FileBegin { name: b"merged.mg", .. }));
        for cut in MARK.len()..whole.len() {
            assert_eq!(ToAgent::parse(&whole[..cut]), ToAgent::Unknown(&whole[MARK.len()..cut]));
        }
    }

    #[test]
    fn a_long_command_line_is_cut() {
        assert_eq!(ToAgent::Execd(&[b'x'; 5000]).to_bytes().len(), MAX_CONTROL);
    }
}
