//! What `rpm` prints when it is asked in [`FORMAT`]: for each package a record `p`, one `f` for each of its files, and `e`.
//!
//! ```text
//! p 'openssl' 'x86_64' '1:3.0.7-27.el9' 1795259855 8
//! f '/etc/pki/tls/it'\''s.cnf' 'a3a5e715f0cc574a73c3f9bebb6bc24f32ffd5b67b387244c2c909da779a1478' 33188 17 0
//! e
//! ```
//! Texts are quoted as for a shell, so that no name, whatever bytes it has, looks like the end of a word or of a record. An answer that
//! breaks off, or is no such answer, is an error as a whole: what is missing in it must not look as if it were not installed.

use std::io::{self, BufRead};

use fim::sum::hex;
use sha2::{Digest, Sha256};

use super::super::database::{Content, Shipped, canonical};

/// What rpm is asked: name, architecture, epoch:version-release, time of installation (seconds since 1970), kind of digests; of each file
/// path, digest, type and mode, flags, state (rpm(8), "QUERY FORMAT").
pub const FORMAT: &str = r"p %{NAME:shescape} %{ARCH:shescape} %{EVR:shescape} %{INSTALLTIME} %{FILEDIGESTALGO}\n[f %{FILENAMES:shescape} %{FILEDIGESTS:shescape} %{FILEMODES} %{FILEFLAGS} %{FILESTATES}\n]\ne\n";

/// A record is read so far.
const MOST_RECORD: usize = 1 << 16;
/// Files of one package; the largest known have some 50,000.
const MOST_FILES: usize = 1 << 20;
/// A file that the package only claims: nothing of it was shipped.
const GHOST: u32 = 1 << 6;
/// Kinds of digests, as in OpenPGP (RFC 4880, 9.4).
const MD5: u64 = 1;
const SHA256: u64 = 8;

/// A package of the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answered {
    /// `openssl:x86_64`.
    pub name: Vec<u8>,
    /// Epoch, version and release: `1:3.0.7-27.el9`.
    pub version: Vec<u8>,
    /// Seconds since 1970.
    pub installed: u64,
    /// A digest of all that is said of its files, but for their state, which other packages change.
    pub records: u64,
    /// Paths, and what was shipped there.
    pub files: Vec<(Vec<u8>, Option<Shipped>)>,
}

/// Calls `each` with every package of an answer.
///
/// # Errors
/// What the reader or `each` gives; [`io::ErrorKind::InvalidData`] for what is no whole answer.
pub fn each(
    mut reader: impl BufRead,
    mut each: impl FnMut(&Answered) -> io::Result<()>,
) -> io::Result<()> {
    let mut open: Option<Open> = None;
    while let Some(words) = record(&mut reader)? {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        match (words.as_slice(), &mut open) {
            // The end of the list of files, and an empty one.
            ([b""] | [b"(none)"], _) => {}
            ([b"p", name, architecture, version, installed, algorithm], None) => {
                open = Some(Open {
                    package: Answered {
                        name: [name, &b":"[..], architecture].concat(),
                        version: version.to_vec(),
                        installed: number(installed).ok_or_else(no_answer)?,
                        ..Answered::default()
                    },
                    // Not recorded by the first ones: they had but one.
                    algorithm: number(algorithm).unwrap_or(MD5),
                    digest: Sha256::new(),
                });
            }
            ([b"f", file @ ..], Some(open)) => open.take(file)?,
            ([b"e"], Some(_)) => {
                if let Some(open) = open.take() {
                    each(&open.finish())?;
                }
            }
            _ => return Err(no_answer()),
        }
    }
    match open {
        None => Ok(()),
        Some(_) => Err(no_answer()),
    }
}

/// A package whose end has not come.
struct Open {
    package: Answered,
    algorithm: u64,
    digest: Sha256,
}

impl Open {
    fn take(&mut self, file: &[&[u8]]) -> io::Result<()> {
        let &[path, digest, mode, flags, state] = file else { return Err(no_answer()) };
        if self.package.files.len() >= MOST_FILES {
            return Err(no_answer());
        }
        for word in [path, digest, mode, flags] {
            self.digest.update((word.len() as u64).to_le_bytes());
            self.digest.update(word);
        }
        let flags = number(flags).and_then(|flags| u32::try_from(flags).ok());
        let is_here = state == b"0" && flags.is_some_and(|flags| flags & GHOST == 0);
        let mode = number(mode).and_then(|mode| u32::try_from(mode).ok());
        let content = match self.algorithm {
            MD5 => hex(digest).map(Content::Md5),
            SHA256 => hex(digest).map(Content::Sha256),
            // Of no use to us: such a file is vouched for by nobody.
            _ => None,
        };
        // Without its mode nothing is known of a file.
        let shipped = mode.map(|mode| Shipped { content, mode: Some(mode) });
        self.package.files.push((canonical(path), shipped.filter(|_| is_here)));
        Ok(())
    }

    fn finish(self) -> Answered {
        let digest: [u8; 32] = self.digest.finalize().into();
        let (first, _) = digest.split_first_chunk::<8>().expect("a digest has 32 bytes");
        Answered { records: u64::from_be_bytes(*first), ..self.package }
    }
}

/// The words of a record, `None` at the end.
fn record(reader: &mut impl BufRead) -> io::Result<Option<Vec<Vec<u8>>>> {
    let mut words = vec![Vec::new()];
    let (mut place, mut len) = (Place::Bare, 0);
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return if len == 0 { Ok(None) } else { Err(no_answer()) };
        }
        let mut taken = 0;
        for &byte in buffer {
            taken += 1;
            place = match (place, byte) {
                (Place::Bare, b'\n') => {
                    reader.consume(taken);
                    return Ok(Some(words));
                }
                (Place::Bare, b' ') => {
                    words.push(Vec::new());
                    Place::Bare
                }
                (Place::Bare, b'\'') => Place::Quoted,
                (Place::Bare, b'\\') => Place::Escaped,
                (Place::Quoted, b'\'') => Place::Bare,
                (place, byte) => {
                    words.last_mut().ok_or_else(no_answer)?.push(byte);
                    if matches!(place, Place::Quoted) { Place::Quoted } else { Place::Bare }
                }
            };
        }
        reader.consume(taken);
        len += taken;
        if len > MOST_RECORD {
            return Err(no_answer());
        }
    }
}

/// Where in a record a byte stands.
#[derive(Clone, Copy)]
enum Place {
    Bare,
    Quoted,
    /// Behind a backslash.
    Escaped,
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn no_answer() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "this is no whole answer of rpm")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "a3a5e715f0cc574a73c3f9bebb6bc24f32ffd5b67b387244c2c909da779a1478";

    fn answer() -> String {
        format!(
            "p 'tool' 'noarch' '3:1.0-1' 1795259855 8\nf '/bin/tool' '{SUM}' 33261 0 0\n\
             f '/usr/share/it'\\''s' '{SUM}' 33188 17 0\nf '/usr/share/link' '' 41471 0 0\n\
             f '/var/log/tool' '{SUM}' 33188 64 0\nf '/usr/lib/other' '{SUM}' 33188 0 4\n\ne\n\
             p 'gpg-pubkey' '(none)' '1-2' 5 (none)\n\ne\n"
        )
    }

    fn read(answer: &[u8]) -> io::Result<Vec<Answered>> {
        let mut packages = Vec::new();
        each(answer, |package| {
            packages.push(package.clone());
            Ok(())
        })?;
        Ok(packages)
    }

    #[test]
    fn packages_have_files_with_what_was_shipped() {
        let packages = read(answer().as_bytes()).unwrap();
        let names: Vec<_> = packages.iter().map(|package| &package.name[..]).collect();
        assert_eq!(names, [&b"tool:noarch"[..], b"gpg-pubkey:(none)"]);
        assert_eq!(
            (&packages[0].version[..], packages[0].installed),
            (&b"3:1.0-1"[..], 1_795_259_855)
        );
        let content = hex(SUM.as_bytes()).map(Content::Sha256);
        let file = |mode| Some(Shipped { content, mode: Some(mode) });
        let link = Some(Shipped { content: None, mode: Some(0o120_777) });
        let expected = [
            (&b"/usr/bin/tool"[..], file(0o100_755)),
            (b"/usr/share/it's", file(0o100_644)),
            (b"/usr/share/link", link),
            (b"/var/log/tool", None),
            (b"/usr/lib/other", None),
        ];
        let files: Vec<_> =
            packages[0].files.iter().map(|(path, shipped)| (&path[..], *shipped)).collect();
        assert_eq!(files, expected);
    }

    #[test]
    fn a_name_is_no_record_whatever_it_contains() {
        let name = format!("/y\n\ne\np 'x' 'y' '1' 5 8\nf '' '{SUM}' 33188 0 0\n\ne\n \\ ''");
        let quoted = name.replace('\'', r"'\''");
        let odd = format!("p 'a' 'b' '1' 5 8\nf '{quoted}' '{SUM}' 33188 0 0\n\ne\n");
        let packages = read(odd.as_bytes()).unwrap();
        assert_eq!((packages.len(), packages[0].files.len()), (1, 1));
        assert_eq!(packages[0].files[0].0, name.as_bytes());
    }

    #[test]
    fn what_is_recorded_of_files_has_a_digest() {
        let records = |text: String| read(text.as_bytes()).unwrap()[0].records;
        let first = records(answer());
        assert_eq!(records(answer().replace("33188 0 4", "33188 0 0")), first, "its state");
        assert_ne!(records(answer().replacen("a3a5", "a3a6", 1)), first);
        assert_ne!(records(answer().replace("33261", "35309")), first);
    }

    #[test]
    fn md5_is_known_and_other_digests_vouch_for_nothing() {
        let md5 = &SUM[..32];
        let content = |algorithm: &str| {
            let text = format!("p 'a' 'b' '1' 5 {algorithm}\nf '/x' '{md5}' 33261 0 0\n\ne\n");
            read(text.as_bytes()).unwrap()[0].files[0].1.unwrap().content
        };
        let expected = hex(md5.as_bytes()).map(Content::Md5);
        assert_eq!((content("1"), content("(none)"), content("2")), (expected, expected, None));
    }

    #[test]
    fn an_answer_that_breaks_off_is_none() {
        let whole = answer();
        let first = whole.find("\ne\n").unwrap() + 3;
        for len in 1..whole.len() {
            assert_eq!(read(&whole.as_bytes()[..len]).is_ok(), len == first, "{len}");
        }
    }

    #[test]
    fn a_record_without_end_is_refused() {
        let endless = [b"p '".to_vec(), vec![b'x'; 3 * MOST_RECORD]].concat();
        assert!(read(&endless).is_err());
        assert!(read(b"rpm: no such thing\n").is_err());
    }

    #[test]
    fn mutated_answers_are_lived_with() {
        let mut random = 0x1234_5678_9abc_def1_u64;
        for _ in 0..3000 {
            let mut bytes = answer().into_bytes();
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = random as usize % bytes.len();
            bytes[at] = (random >> 32) as u8;
            let _ = read(&bytes);
        }
    }
}
