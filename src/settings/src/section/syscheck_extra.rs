//! What `<syscheck>` has beyond OSSEC: more attributes to look at, and when an unchanged file is read again.

use std::ops::{BitOr, BitOrAssign};
use std::time::Duration;

use xml::Element;

use crate::report::{Report, digits};

/// A set of attributes that OSSEC does not know, of `<directories>`: `check_inode="yes"` and so on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExtraChecks(u16);

impl ExtraChecks {
    /// `check_inode`.
    pub const INODE: Self = Self(1);
    /// `check_links`: how many names the file has.
    pub const LINKS: Self = Self(1 << 1);
    /// `check_device`: on which device it lies.
    pub const DEVICE: Self = Self(1 << 2);
    /// `check_mtime`.
    pub const MODIFIED: Self = Self(1 << 3);
    /// `check_ctime`.
    pub const CHANGED: Self = Self(1 << 4);
    /// `check_flags`: immutable, append-only.
    pub const FLAGS: Self = Self(1 << 5);
    /// `check_acl`: POSIX access list.
    pub const ACL: Self = Self(1 << 6);
    /// `check_xattr`: other extended attributes.
    pub const XATTR: Self = Self(1 << 7);
    /// `check_caps`: file capabilities.
    pub const CAPABILITIES: Self = Self(1 << 8);
    /// `check_selinux`: the label.
    pub const SELINUX: Self = Self(1 << 9);
    /// `check_blake3`: one more digest.
    pub const BLAKE3: Self = Self(1 << 10);

    /// Each of them.
    pub const fn all() -> Self {
        Self((1 << 11) - 1)
    }

    /// Of an attribute's name; `check_extended` are all that stay the same while nobody touches the file, without the inode.
    pub(crate) fn named(attribute: &str) -> Option<Self> {
        Some(match attribute {
            "check_inode" => Self::INODE,
            "check_links" => Self::LINKS,
            "check_device" => Self::DEVICE,
            "check_mtime" => Self::MODIFIED,
            "check_ctime" => Self::CHANGED,
            "check_flags" => Self::FLAGS,
            "check_acl" => Self::ACL,
            "check_xattr" => Self::XATTR,
            "check_caps" => Self::CAPABILITIES,
            "check_selinux" => Self::SELINUX,
            "check_blake3" => Self::BLAKE3,
            "check_extended" => {
                Self::LINKS
                    | Self::DEVICE
                    | Self::FLAGS
                    | Self::ACL
                    | Self::XATTR
                    | Self::CAPABILITIES
                    | Self::SELINUX
                    | Self::BLAKE3
            }
            _ => return None,
        })
    }

    /// Whether it holds all of `other`.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing is asked for.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// One bit an attribute, the same in every version: to see whether it is the set of an earlier look.
    pub fn bits(self) -> u16 {
        self.0
    }

    pub(crate) fn set(&mut self, other: Self, on: bool) {
        if on {
            *self |= other;
        } else {
            self.0 &= !other.0;
        }
    }
}

impl BitOr for ExtraChecks {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for ExtraChecks {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

/// When a file that looks unchanged (size, times, inode) is read again, so that a forged time is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rehash {
    /// `0`: never.
    Never,
    /// `always`: in every scan.
    Always,
    /// Each file once in this time, spread over the scans.
    Every(Duration),
}

impl Default for Rehash {
    fn default() -> Self {
        Self::Every(Duration::from_secs(7 * 86_400))
    }
}

/// How a scan stands in line for the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IoClass {
    /// `normal`: as everybody else.
    Normal,
    /// `low`: behind everybody else.
    #[default]
    Low,
    /// `idle`: only when nobody else wants the disk.
    Idle,
}

/// `normal`, `low` or `idle`.
pub(crate) fn io_class(child: &Element, report: &mut Report) -> Option<IoClass> {
    match child.content.as_slice() {
        b"normal" => Some(IoClass::Normal),
        b"low" => Some(IoClass::Low),
        b"idle" => Some(IoClass::Idle),
        _ => {
            report.invalid(child, "normal, low or idle");
            None
        }
    }
}

/// `0`, `always`, or a time: seconds, or a number with `h`, `d` or `w`.
pub(crate) fn rehash(child: &Element, report: &mut Report) -> Option<Rehash> {
    let parsed = parse(&child.content);
    if parsed.is_none() {
        report.invalid(child, "0, always, or a time of at most ten years such as 12h, 7d or 4w");
    }
    parsed
}

fn parse(text: &[u8]) -> Option<Rehash> {
    let (number, unit) = match text {
        b"0" => return Some(Rehash::Never),
        b"always" => return Some(Rehash::Always),
        [number @ .., b'h'] => (number, 3600),
        [number @ .., b'd'] => (number, 86_400),
        [number @ .., b'w'] => (number, 7 * 86_400),
        number => (number, 1),
    };
    let seconds = digits(number)?.checked_mul(unit)?;
    let sane = (1..=super::syscheck::MAX_FREQUENCY).contains(&seconds);
    sane.then_some(Rehash::Every(Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let every = |seconds| Some(Rehash::Every(Duration::from_secs(seconds)));
        assert_eq!(parse(b"0"), Some(Rehash::Never));
        assert_eq!(parse(b"always"), Some(Rehash::Always));
        assert_eq!((parse(b"60"), parse(b"12h")), (every(60), every(43_200)));
        assert_eq!((parse(b"7d"), parse(b"2w")), (every(604_800), every(1_209_600)));
        for bad in [&b""[..], b"d", b"-1", b"7 d", b"0d", b"99999999999999999999w", b"2000w"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn extended_leaves_out_what_moves_by_itself() {
        let extended = ExtraChecks::named("check_extended").unwrap();
        assert!(extended.has(ExtraChecks::ACL) && extended.has(ExtraChecks::BLAKE3));
        for moving in ["check_inode", "check_mtime", "check_ctime"] {
            assert!(!extended.has(ExtraChecks::named(moving).unwrap()), "{moving}");
        }
        let mut without = extended;
        without.set(ExtraChecks::BLAKE3, false);
        assert!(!without.has(ExtraChecks::BLAKE3) && without.has(ExtraChecks::LINKS));
    }
}
