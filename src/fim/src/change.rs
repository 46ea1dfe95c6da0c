//! Comparison: which attributes differ between two records of one path.
//!
//! A hash counts only when both sides hold one: a file that could not be read once (`xxx`), or a check that was
//! switched on later, is no change. So two sums that differ as text may well have no change at all.

use crate::extra::{self, Extra};
use crate::sum::{Record, is_real};

/// One attribute of a file, in the order of the alert's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// Size in bytes.
    Size,
    /// Permissions: the whole `st_mode`.
    Mode,
    /// Owner's number.
    Owner,
    /// Group's number.
    Group,
    /// MD5, hex.
    Md5,
    /// SHA-1, hex.
    Sha1,
    /// SHA-256, hex.
    Sha256,
    /// What only this suite looks at.
    Extra(Extra),
}

impl Attribute {
    /// What it is called in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Mode => "perm",
            Self::Owner => "owner",
            Self::Group => "gowner",
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Extra(one) => one.name(),
        }
    }
}

/// One difference, the values as they lie in the sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    /// What differs.
    pub attribute: Attribute,
    /// The known value.
    pub before: &'a [u8],
    /// The value now.
    pub after: &'a [u8],
}

/// Lists what differs, in the order of the alert's lines; empty when nothing that counts does.
pub fn changes<'a>(before: &Record<'a>, after: &Record<'a>) -> Vec<Change<'a>> {
    let plain = [
        (Attribute::Size, before.size, after.size),
        (Attribute::Mode, before.mode, after.mode),
        (Attribute::Owner, before.uid, after.uid),
        (Attribute::Group, before.gid, after.gid),
    ];
    let hashes = [
        (Attribute::Md5, before.md5, after.md5),
        (Attribute::Sha1, before.sha1, after.sha1),
        (Attribute::Sha256, before.sha256.unwrap_or_default(), after.sha256.unwrap_or_default()),
    ];
    let comparable = hashes.into_iter().filter(|(_, a, b)| is_real(a) && is_real(b));
    let (old, new) = (before.extra.unwrap_or_default(), after.extra.unwrap_or_default());
    // What only one side looked at is no change either.
    let extras = extra::ALL.into_iter().filter_map(|one| {
        Some((Attribute::Extra(one), extra::value(old, one)?, extra::value(new, one)?))
    });
    plain
        .into_iter()
        .chain(comparable)
        .chain(extras)
        .filter(|(_, before, after)| before != after)
        .map(|(attribute, before, after)| Change { attribute, before, after })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sum::Sum;

    fn differing(before: &[u8], after: &[u8]) -> Vec<Attribute> {
        let (Ok(Sum::Present(before)), Ok(Sum::Present(after))) =
            (Sum::parse(before), Sum::parse(after))
        else {
            panic!("both must be records")
        };
        changes(&before, &after).iter().map(|change| change.attribute).collect()
    }

    #[test]
    fn every_attribute_is_compared_in_order() {
        use Attribute::*;
        assert_eq!(
            differing(b"1:2:3:4:a:b:c", b"2:3:4:5:d:e:f"),
            [Size, Mode, Owner, Group, Md5, Sha1, Sha256]
        );
        assert_eq!(differing(b"1:2:3:4:a:b:c", b"1:2:3:4:a:b:c"), []);
    }

    #[test]
    fn extra_attributes_are_compared_where_both_sides_have_them() {
        let differ = |before: &str, after: &str| {
            let sum = |extra: &str| format!("1:2:3:4:a:b:c:{extra}").into_bytes();
            differing(&sum(before), &sum(after))
        };
        let links = Attribute::Extra(Extra::Links);
        assert_eq!(differ("links=1;acl=", "links=2;acl=;flags=i"), [links]);
        assert_eq!(differing(b"1:2:3:4:a:b:c", b"1:2:3:4:a:b:c:links=2"), []);
    }

    #[test]
    fn a_placeholder_on_either_side_is_no_change() {
        assert_eq!(differing(b"1:2:3:4:xxx:b:c", b"1:2:3:4:a:xxx:c"), []);
    }

    #[test]
    fn a_hash_that_only_one_side_knows_is_no_change() {
        assert_eq!(differing(b"1:2:3:4:a:b", b"1:2:3:4:a:b:c"), []);
    }
}
