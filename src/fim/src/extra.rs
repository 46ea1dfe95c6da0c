//! Attributes that OSSEC does not know: the eighth field of a sum, `key=value` words joined by `;`, in this order.
//!
//! Example: `ino=1835021;links=1;flags=i;acl=user::rw-,user:ann:r--;caps=0100...;blake3=9f2c...`. Asked for by attributes of `<directories>`
//! (`check_inode`, `check_acl`, ...), so that a manager that does not know them never sees one. A key without a value says that there is
//! nothing (no ACL); a key that is absent, that it was not looked at. Bytes that could end a word are percent-escaped.

use std::fmt;

use crate::percent;

/// What is looked at, in the order in which it is written.
pub const ALL: [Extra; 11] = [
    Extra::Inode,
    Extra::Links,
    Extra::Device,
    Extra::Modified,
    Extra::Changed,
    Extra::Flags,
    Extra::Acl,
    Extra::Xattr,
    Extra::Capabilities,
    Extra::Selinux,
    Extra::Blake3,
];

/// A value is cut to this many bytes as written; longer lists are told by a digest.
const MAX_VALUE: usize = 160;

/// One attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    /// Inode number.
    Inode,
    /// Number of hard links.
    Links,
    /// The device that the file lies on, `major:minor` written `8.1`.
    Device,
    /// Time of the last modification, nanoseconds since the epoch.
    Modified,
    /// Time of the last change of its metadata, nanoseconds since the epoch.
    Changed,
    /// File flags as letters: `i` immutable, `a` append-only.
    Flags,
    /// POSIX access list, `user::rw-,user:1000:r--,...`.
    Acl,
    /// Names and digests of extended attributes of users and of trusted programs.
    Xattr,
    /// File capabilities, hexadecimal as the kernel keeps them.
    Capabilities,
    /// SELinux label.
    Selinux,
    /// BLAKE3 digest, hexadecimal.
    Blake3,
}

impl Extra {
    /// As in a sum.
    pub fn key(self) -> &'static str {
        match self {
            Self::Inode => "ino",
            Self::Links => "links",
            Self::Device => "dev",
            Self::Modified => "mtime",
            Self::Changed => "ctime",
            Self::Flags => "flags",
            Self::Acl => "acl",
            Self::Xattr => "xattr",
            Self::Capabilities => "caps",
            Self::Selinux => "selinux",
            Self::Blake3 => "blake3",
        }
    }

    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inode => "inode",
            Self::Device => "device",
            Self::Capabilities => "capabilities",
            other => other.key(),
        }
    }

    /// As in an alert, at the beginning of a sentence.
    pub fn title(self) -> &'static str {
        match self {
            Self::Inode => "Inode",
            Self::Links => "Number of links",
            Self::Device => "Device",
            Self::Modified => "Modification time",
            Self::Changed => "Change time",
            Self::Flags => "File flags",
            Self::Acl => "Access list",
            Self::Xattr => "Extended attributes",
            Self::Capabilities => "Capabilities",
            Self::Selinux => "SELinux label",
            Self::Blake3 => "BLAKE3",
        }
    }
}

impl fmt::Display for Extra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Writes the eighth field; to be given its attributes in the order of [`ALL`].
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Adds one; an empty value says that there is none.
    pub fn put(&mut self, extra: Extra, value: &[u8]) {
        if !self.0.is_empty() {
            self.0.push(b';');
        }
        self.0.extend_from_slice(extra.key().as_bytes());
        self.0.push(b'=');
        let start = self.0.len();
        for &byte in value {
            match byte {
                // These separate words and fields.
                b':' => self.0.extend_from_slice(b"%3a"),
                b';' => self.0.extend_from_slice(b"%3b"),
                _ => percent::escape(&[byte], usize::MAX, &mut self.0),
            }
        }
        if self.0.len() - start > MAX_VALUE {
            self.0.truncate(start);
            let digest = blake3::hash(value).to_hex();
            self.0.extend_from_slice(b"digest-");
            self.0.extend_from_slice(digest.get(..32).unwrap_or(&digest).as_bytes());
        }
    }

    /// The field.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// The value of one attribute as written; `None` when it was not looked at.
pub fn value(field: &[u8], extra: Extra) -> Option<&[u8]> {
    let words = field.split(|&byte| byte == b';');
    let mut values = words.filter_map(|word| word.strip_prefix(extra.key().as_bytes()));
    values.find_map(|rest| rest.strip_prefix(b"="))
}

/// A value as people read it.
pub fn shown(value: &[u8]) -> Vec<u8> {
    if value.is_empty() {
        return b"none".to_vec();
    }
    crate::path::printable(&percent::unescape(value)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_again() {
        let mut writer = Writer::default();
        writer.put(Extra::Links, b"1");
        writer.put(Extra::Acl, b"user::rw-,user:ann:r--");
        writer.put(Extra::Selinux, b"");
        let field = writer.finish();
        assert!(!field.contains(&b':') && !field.contains(&b' '));
        assert_eq!(value(&field, Extra::Links), Some(&b"1"[..]));
        assert_eq!(shown(value(&field, Extra::Acl).unwrap()), b"user::rw-,user:ann:r--");
        assert_eq!(value(&field, Extra::Selinux).map(shown), Some(b"none".to_vec()));
        assert_eq!(value(&field, Extra::Flags), None);
    }

    #[test]
    fn a_long_value_is_told_by_its_digest() {
        let mut writer = Writer::default();
        writer.put(Extra::Acl, &[b'x'; 5000]);
        assert!(writer.finish().len() < MAX_VALUE);
    }

    #[test]
    fn all_of_them_fit_into_a_sum() {
        let mut writer = Writer::default();
        for extra in ALL {
            writer.put(extra, &[b'x'; 159]);
        }
        assert!(writer.finish().len() + 200 < crate::sum::MAX_SUM);
    }

    #[test]
    fn keys_do_not_overlap() {
        assert_eq!(value(b"linksx=2;links=1", Extra::Links), Some(&b"1"[..]));
    }
}
