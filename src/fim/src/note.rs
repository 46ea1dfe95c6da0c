//! Notes: what a sender knows about a change besides the sum, one line each, before the diff.
//!
//! ```text
//! 12:33188:0:0:07a8...:2e6b...:f4e8... /etc/motd
//! @who uid=0 user=root auid=1000 auser=alice pid=4711 exe=/usr/bin/vim ppid=4700 pexe=/bin/bash cmd=vim%20/etc/motd
//! @package name=openssl old=3.0.1 new=3.0.2
//! @grown
//! @options
//! 1c1
//! < one
//! ```
//! A note is `@`, small letters, then ` key=value` words; values are words of [`percent`].
//! No diff begins so. What a reader doesn't know, a word or a whole note, it passes over, so that either side may be newer. Values name
//! processes and users of another host, chosen by whoever ran them: they are bounded, and kept fit for one line ([`path::printable`]).

use crate::{path, percent};

/// Longest note line that is read, in bytes.
pub const MAX_LINE: usize = 8192;
/// Notes that are read of one message.
pub const MAX_NOTES: usize = 8;
/// A value is cut to this many bytes as written.
pub const MAX_VALUE: usize = 1024;

/// All notes of one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// Who did it.
    pub who: Option<Who>,
    /// The package transaction that it belongs to.
    pub package: Option<Package>,
    /// It is a log that has grown, as it may (`growing="yes"`): the baseline is to follow, nobody to be told.
    pub grown: bool,
    /// Only the options have changed: it is watched since now, no longer, or looked at by others and the same as far as both show. The baseline
    /// is to follow, nobody to be told.
    pub options: bool,
}

/// Who changed a file, as far as the agent could see. Texts are printable: control bytes became `\015`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Who {
    /// The process' user.
    pub uid: Option<u32>,
    /// Its name.
    pub user: Option<Vec<u8>>,
    /// The user that logged in, whoever that became since.
    pub auid: Option<u32>,
    /// Its name.
    pub auser: Option<Vec<u8>>,
    /// The process.
    pub pid: Option<u32>,
    /// Its program.
    pub exe: Option<Vec<u8>>,
    /// Its parent.
    pub ppid: Option<u32>,
    /// The parent's program.
    pub pexe: Option<Vec<u8>>,
    /// Command line, words separated by blanks.
    pub cmd: Option<Vec<u8>>,
}

/// The transaction of a package manager that left the file as the package has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Package {
    /// Never empty.
    pub name: Vec<u8>,
    /// Version before; `None` when newly installed.
    pub old: Option<Vec<u8>>,
    /// Version now; `None` when removed.
    pub new: Option<Vec<u8>>,
}

impl Notes {
    /// Takes the notes off the front of a message's data; the rest is the diff, `None` when empty.
    pub fn split(data: &[u8]) -> (Self, Option<&[u8]>) {
        let mut notes = Self::default();
        let mut rest = data;
        let mut count = 0;
        while is_note(rest) {
            let end = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
            let (line, behind) = rest.split_at(end);
            rest = behind.get(1..).unwrap_or_default();
            count += 1;
            if count <= MAX_NOTES && line.len() <= MAX_LINE {
                notes.take(line);
            }
        }
        (notes, Some(rest).filter(|rest| !rest.is_empty()))
    }

    /// Writes a message's data: the notes, then the diff; `None` when there is nothing of either.
    pub fn join(&self, diff: Option<&[u8]>) -> Option<Vec<u8>> {
        let mut data = Vec::new();
        if let Some(who) = &self.who {
            who.write(&mut data);
        }
        if let Some(package) = &self.package {
            package.write(&mut data);
        }
        if self.grown {
            data.extend_from_slice(b"@grown\n");
        }
        if self.options {
            data.extend_from_slice(b"@options\n");
        }
        data.extend_from_slice(diff.unwrap_or_default());
        Some(data).filter(|data| !data.is_empty())
    }

    fn take(&mut self, line: &[u8]) {
        let mut words = line.split(|&b| b == b' ');
        match words.next() {
            Some(b"@who") => self.who = Some(Who::read(words)),
            Some(b"@package") => self.package = Package::read(words),
            Some(b"@grown") => self.grown = true,
            Some(b"@options") => self.options = true,
            _ => (),
        }
    }
}

impl Who {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn read<'a>(words: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut who = Self::default();
        for (key, value) in words.filter_map(pair) {
            match key {
                b"uid" => who.uid = number(value),
                b"user" => who.user = text(value),
                b"auid" => who.auid = number(value),
                b"auser" => who.auser = text(value),
                b"pid" => who.pid = number(value),
                b"exe" => who.exe = text(value),
                b"ppid" => who.ppid = number(value),
                b"pexe" => who.pexe = text(value),
                b"cmd" => who.cmd = text(value),
                _ => (),
            }
        }
        who
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"@who");
        put_number(out, "uid", self.uid);
        put_text(out, "user", self.user.as_deref());
        put_number(out, "auid", self.auid);
        put_text(out, "auser", self.auser.as_deref());
        put_number(out, "pid", self.pid);
        put_text(out, "exe", self.exe.as_deref());
        put_number(out, "ppid", self.ppid);
        put_text(out, "pexe", self.pexe.as_deref());
        put_text(out, "cmd", self.cmd.as_deref());
        out.push(b'\n');
    }
}

impl Package {
    /// For people: `openssl 3.0.1 -> 3.0.2`.
    pub fn words(&self) -> Vec<u8> {
        let none: &[u8] = b"(none)";
        let (old, new) = (self.old.as_deref().unwrap_or(none), self.new.as_deref().unwrap_or(none));
        [self.name.as_slice(), b" ", old, b" -> ", new].concat()
    }

    /// `None` without a name.
    fn read<'a>(words: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut package = Self::default();
        for (key, value) in words.filter_map(pair) {
            match key {
                b"name" => package.name = text(value)?,
                b"old" => package.old = text(value),
                b"new" => package.new = text(value),
                _ => (),
            }
        }
        (!package.name.is_empty()).then_some(package)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"@package");
        put_text(out, "name", Some(&self.name));
        put_text(out, "old", self.old.as_deref());
        put_text(out, "new", self.new.as_deref());
        out.push(b'\n');
    }
}

/// `@`, at least one small letter, then a blank or the line's end.
fn is_note(data: &[u8]) -> bool {
    let Some(behind) = data.strip_prefix(b"@") else { return false };
    let word = behind.iter().take_while(|b| b.is_ascii_lowercase()).count();
    word > 0 && matches!(behind.get(word), None | Some(b' ' | b'\n'))
}

fn pair(word: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = word.iter().position(|&b| b == b'=')?;
    Some((word.get(..at)?, word.get(at + 1..)?))
}

fn number(value: &[u8]) -> Option<u32> {
    std::str::from_utf8(value).ok().filter(|text| !text.starts_with('+'))?.parse().ok()
}

/// A value without its escapes, fit for one line; `None` when empty.
fn text(value: &[u8]) -> Option<Vec<u8>> {
    let raw = percent::unescape(value.get(..MAX_VALUE).unwrap_or(value));
    Some(path::printable(&raw).into_owned()).filter(|text| !text.is_empty())
}

fn put_number(out: &mut Vec<u8>, key: &str, value: Option<u32>) {
    if let Some(value) = value {
        out.extend_from_slice(format!(" {key}={value}").as_bytes());
    }
}

fn put_text(out: &mut Vec<u8>, key: &str, value: Option<&[u8]>) {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return };
    out.extend_from_slice(format!(" {key}=").as_bytes());
    percent::escape(value, MAX_VALUE, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> Who {
        Who {
            uid: Some(0),
            user: Some(b"root".to_vec()),
            auid: Some(1000),
            auser: Some(b"alice".to_vec()),
            pid: Some(4711),
            exe: Some(b"/usr/bin/vim".to_vec()),
            ppid: Some(4700),
            pexe: Some(b"/bin/bash".to_vec()),
            cmd: Some(b"vim 100% \xc3\xa4".to_vec()),
        }
    }

    #[test]
    fn notes_survive_the_round_trip() {
        let package = Package {
            name: b"openssl".to_vec(),
            old: Some(b"3.0.1".to_vec()),
            new: Some(b"3.0.2".to_vec()),
        };
        let notes =
            Notes { who: Some(alice()), package: Some(package), grown: true, options: true };
        let data = notes.join(Some(b"1c1\n< @who\n")).unwrap();
        let expected = "@who uid=0 user=root auid=1000 auser=alice pid=4711 exe=/usr/bin/vim ppid=4700 pexe=/bin/bash cmd=vim%20100%25%20%c3%a4\n\
            @package name=openssl old=3.0.1 new=3.0.2\n@grown\n@options\n1c1\n< @who\n";
        assert_eq!(String::from_utf8_lossy(&data), expected);
        assert_eq!(Notes::split(&data), (notes, Some(&b"1c1\n< @who\n"[..])));
    }

    #[test]
    fn data_without_notes_is_the_diff() {
        for data in [&b"1c1\n@who\n"[..], b"@@ -1 +1 @@\n", b"@", b"@1 x", b"@Who x", b"@who:x"] {
            assert_eq!(Notes::split(data), (Notes::default(), Some(data)));
        }
        assert_eq!(Notes::split(b""), (Notes::default(), None));
        assert_eq!(Notes::default().join(None), None);
    }

    #[test]
    fn what_is_unknown_or_garbled_is_passed_over() {
        let (notes, diff) = Notes::split(
            b"@later x=1\n@who uid=-1 user= auid=+1 pid=99999999999 exe=%2fbin%2 mood=fine =\n@package old=1\nrest",
        );
        assert_eq!(notes.who, Some(Who { exe: Some(b"/bin%2".to_vec()), ..Who::default() }));
        assert_eq!((notes.package, diff), (None, Some(&b"rest"[..])));
    }

    #[test]
    fn a_value_cannot_break_a_line_or_steer_a_terminal() {
        let (notes, _) = Notes::split(b"@who exe=/x%0aAlert%1b[2J%00\n");
        assert_eq!(notes.who.unwrap().exe.unwrap(), b"/x\\012Alert\\033[2J\\000");
    }

    #[test]
    fn a_long_value_is_cut_and_never_inside_an_escape() {
        let who = Who { cmd: Some(vec![b' '; 5000]), ..Who::default() };
        let data = Notes { who: Some(who), ..Notes::default() }.join(None).unwrap();
        assert_eq!(data.len(), "@who cmd=\n".len() + 1023);
        assert_eq!(Notes::split(&data).0.who.unwrap().cmd.unwrap(), vec![b' '; 341]);
    }

    #[test]
    fn many_and_long_notes_are_bounded() {
        let many = [b"@x\n".repeat(MAX_NOTES), b"@who uid=1\n".to_vec(), b"diff".to_vec()].concat();
        assert_eq!(Notes::split(&many), (Notes::default(), Some(&b"diff"[..])));
        let long = [b"@who cmd=".to_vec(), vec![b'x'; MAX_LINE]].concat();
        assert_eq!(Notes::split(&long), (Notes::default(), None));
    }

    #[test]
    fn every_truncation_and_mutation_is_read_without_panic() {
        let whole = Notes { who: Some(alice()), ..Notes::default() }.join(Some(b"1c1\n")).unwrap();
        let mut random = 0x5eed_0123_4567_89ab_u64;
        for round in 0..20_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let mut data = whole.clone();
            let at = random as usize % data.len();
            data[at] = *b"@ =%\n\0\xffa".get((random >> 32) as usize % 8).unwrap();
            data.truncate(if round < whole.len() { round } else { data.len() });
            let (notes, diff) = Notes::split(&data);
            // What was read is read again as the same, whatever it was.
            let again = notes.join(diff.filter(|diff| !is_note(diff))).unwrap_or_default();
            assert_eq!(Notes::split(&again).0, notes, "{}", data.escape_ascii());
        }
    }
}
