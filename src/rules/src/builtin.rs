//! Events of the built-in decoders: what rules know them by, and what a rootcheck text says of its file.

use crate::event::{Builtin, FileAttributes, FileChange, FileDetails};

/// Numbers of the names for rules and for outputs.
pub(crate) fn names(builtin: Builtin) -> (u16, u16) {
    // Numbers of BUILTIN_NAMES; rules know the kinds of change apart, outputs print one name for all.
    const CHANGED: u16 = 2;
    const HOST_MODIFIED: u16 = 8;
    match builtin {
        Builtin::Rootcheck { .. } => (1, 1),
        Builtin::FileChanged(FileChange::First) => (2, CHANGED),
        Builtin::FileChanged(FileChange::Second) => (3, CHANGED),
        Builtin::FileChanged(FileChange::Third) => (4, CHANGED),
        Builtin::FileNew => (5, CHANGED),
        Builtin::FileDeleted => (6, CHANGED),
        Builtin::HostNew => (7, HOST_MODIFIED),
        Builtin::HostModified => (8, HOST_MODIFIED),
    }
}

/// The file that a rootcheck text is about: `... file '/tmp/x' ... MD5=... SHA1=...`
pub(crate) fn rootcheck_file(text: &[u8]) -> Option<FileDetails> {
    let path = quoted(text, b" file '")?;
    let digest = |label: &[u8], length: usize| -> Option<Vec<u8>> {
        let at = memchr::memmem::find(text, label)? + label.len();
        let digest = text.get(at..at + length)?;
        digest.iter().all(u8::is_ascii_hexdigit).then(|| digest.to_vec())
    };
    let after = FileAttributes {
        md5: digest(b" MD5=", 32),
        sha1: digest(b" SHA1=", 40),
        sha256: digest(b" SHA256=", 64),
        ..FileAttributes::default()
    };
    Some(FileDetails { path: path.to_vec(), after, ..FileDetails::default() })
}

fn quoted<'a>(text: &'a [u8], label: &[u8]) -> Option<&'a [u8]> {
    let at = memchr::memmem::find(text, label)? + label.len();
    let rest = text.get(at..)?;
    rest.get(..memchr::memchr(b'\'', rest)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rootcheck_text_names_its_file_and_digests() {
        let text =
            b"Trojaned version of file '/bin/ls' detected. MD5=d41d8cd98f00b204e9800998ecf8427e x";
        let file = rootcheck_file(text).unwrap();
        assert_eq!(file.path, b"/bin/ls");
        assert_eq!(file.after.md5.unwrap(), b"d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(rootcheck_file(b"File '/tmp/.x' is owned by root"), None);
        for end in 0..text.len() {
            rootcheck_file(&text[..end]);
        }
    }
}
