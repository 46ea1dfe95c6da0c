//! What an alert says about a file: the text, exactly as OSSEC words it, and the values for its JSON.
//!
//! Example: `Integrity checksum changed for: '/etc/motd'\nSize changed from '4' to '12'\n`. The texts of changed and of new
//! files end with a newline, those of deleted and of re-added ones do not (observed from the original 4.3.0).

use crate::change::{Attribute, Change};
use crate::extra;
use crate::sum::Record;

/// A path is cut to this many bytes in a text.
pub const MAX_PATH_IN_TEXT: usize = 756;

/// Values for the JSON alert's `SyscheckFile`, one set for before and one for after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values {
    /// Hex, or `xxx` of a new file.
    pub md5: Option<Vec<u8>>,
    /// Hex, or `xxx` of a new file.
    pub sha1: Option<Vec<u8>>,
    /// Hex, or `xxx` of a new file.
    pub sha256: Option<Vec<u8>>,
    /// Owner's number.
    pub owner: Option<Vec<u8>>,
    /// Group's number.
    pub group: Option<Vec<u8>>,
    /// Whole `st_mode`.
    pub mode: Option<u32>,
    /// What only this suite looks at or tells, by its name ([`crate::extra`]).
    pub more: Vec<(&'static str, Vec<u8>)>,
}

/// Says that a file changed; the caller made sure that `changes` is not empty.
pub fn changed(path: &[u8], changes: &[Change<'_>], diff: Option<&[u8]>) -> Vec<u8> {
    let mut text = [b"Integrity checksum changed for: '", cut(path), b"'\n"].concat();
    for change in changes {
        describe(&mut text, change);
    }
    if let Some(diff) = diff {
        text.extend_from_slice(b"What changed:\n");
        text.extend_from_slice(diff);
    }
    text
}

/// Says that a file appeared.
pub fn new_file(path: &[u8], record: &Record<'_>) -> Vec<u8> {
    let mut text = [b"New file '", cut(path), b"' added to the file system.\n"].concat();
    for (name, hash) in [("sha1", record.sha1), ("md5", record.md5)] {
        let hash = if hash.is_empty() { b"Unknown" } else { hash };
        text.extend([b"New ", name.as_bytes(), b"sum is : '", hash, b"'\n"].concat());
    }
    if let Some(hash) = record.sha256 {
        text.extend([b"New sha256sum is : '", hash, b"'\n"].concat());
    }
    text
}

/// Says that a file is gone.
pub fn deleted(path: &[u8]) -> Vec<u8> {
    [b"File '", cut(path), b"' was deleted. Unable to retrieve checksum."].concat()
}

/// Says that a deleted file is back.
pub fn re_added(path: &[u8]) -> Vec<u8> {
    [b"File '", cut(path), b"' was re-added."].concat()
}

/// The nine permission letters of a decimal `st_mode`; setuid and setgid show `s`, sticky `t`, in the place of `x`.
/// Text that is no number has no permissions.
pub fn permissions(mode: &[u8]) -> [u8; 9] {
    let mode = number(mode).unwrap_or(0);
    let mut letters = *b"---------";
    for (place, letter) in letters.iter_mut().enumerate() {
        if mode & (0o400 >> place) != 0 {
            *letter = *b"rwx".get(place % 3).unwrap_or(&b'-');
        }
        let special = match place {
            2 => (0o4000, b's'),
            5 => (0o2000, b's'),
            8 => (0o1000, b't'),
            _ => continue,
        };
        if mode & special.0 != 0 {
            *letter = special.1;
        }
    }
    letters
}

/// The values of a change, before and after.
pub fn values_of_change(changes: &[Change<'_>]) -> (Values, Values) {
    let (mut before, mut after) = (Values::default(), Values::default());
    for change in changes {
        before.set(change.attribute, change.before);
        after.set(change.attribute, change.after);
    }
    (before, after)
}

/// The values of a new file: its hashes, as they are.
pub fn values_of_new_file(record: &Record<'_>) -> Values {
    let mut after = Values::default();
    after.set(Attribute::Md5, record.md5);
    after.set(Attribute::Sha1, record.sha1);
    if let Some(hash) = record.sha256 {
        after.set(Attribute::Sha256, hash);
    }
    after
}

impl Values {
    fn set(&mut self, attribute: Attribute, value: &[u8]) {
        let text = Some(value.to_vec()).filter(|value| !value.is_empty());
        match attribute {
            // OSSEC leaves it out: it comes behind what OSSEC has.
            Attribute::Size => self.more.extend(text.map(|text| (attribute.name(), text))),
            Attribute::Mode => self.mode = number(value),
            Attribute::Owner => self.owner = text,
            Attribute::Group => self.group = text,
            Attribute::Md5 => self.md5 = text,
            Attribute::Sha1 => self.sha1 = text,
            Attribute::Sha256 => self.sha256 = text,
            Attribute::Extra(one) => self.more.push((one.name(), extra::shown(value))),
        }
    }
}

fn describe(text: &mut Vec<u8>, change: &Change<'_>) {
    let shown = |value: &[u8]| match change.attribute {
        Attribute::Extra(_) => extra::shown(value),
        _ => value.to_vec(),
    };
    let (before, after) = (&*shown(change.before), &*shown(change.after));
    let line: &[&[u8]] = match change.attribute {
        Attribute::Size => &[b"Size changed from '", before, b"' to '", after],
        Attribute::Mode => {
            &[b"Permissions changed from '", &permissions(before), b"' to '", &permissions(after)]
        }
        Attribute::Owner => &[b"Ownership was '", before, b"', now it is '", after],
        Attribute::Group => &[b"Group ownership was '", before, b"', now it is '", after],
        Attribute::Md5 => &[b"Old md5sum was: '", before, b"'\nNew md5sum is : '", after],
        Attribute::Sha1 => &[b"Old sha1sum was: '", before, b"'\nNew sha1sum is : '", after],
        Attribute::Sha256 => &[b"Old sha256sum was: '", before, b"'\nNew sha256sum is : '", after],
        Attribute::Extra(one) => {
            &[one.title().as_bytes(), b" changed from '", before, b"' to '", after]
        }
    };
    text.extend(line.concat());
    text.extend_from_slice(b"'\n");
}

fn number(decimal: &[u8]) -> Option<u32> {
    std::str::from_utf8(decimal).ok()?.parse().ok()
}

fn cut(path: &[u8]) -> &[u8] {
    path.get(..MAX_PATH_IN_TEXT).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::changes;
    use crate::sum::Sum;

    fn record(sum: &[u8]) -> Record<'_> {
        match Sum::parse(sum) {
            Ok(Sum::Present(record)) => record,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_changed_attribute_has_its_line() {
        let (before, after) = (record(b"18:33261:0:0:a:b:c"), record(b"26:36297:42:43:d:e:f"));

        let text = changed(b"/x", &changes(&before, &after), Some(b"2c2\n"));

        let expected = "Integrity checksum changed for: '/x'\n\
            Size changed from '18' to '26'\n\
            Permissions changed from 'rwxr-xr-x' to 'rws--s--x'\n\
            Ownership was '0', now it is '42'\n\
            Group ownership was '0', now it is '43'\n\
            Old md5sum was: 'a'\nNew md5sum is : 'd'\n\
            Old sha1sum was: 'b'\nNew sha1sum is : 'e'\n\
            Old sha256sum was: 'c'\nNew sha256sum is : 'f'\n\
            What changed:\n2c2\n";
        assert_eq!(String::from_utf8_lossy(&text), expected);
    }

    #[test]
    fn extra_attributes_are_named() {
        let (before, after) = (
            record(b"1:2:3:4:a:b:c:links=1;acl="),
            record(b"1:2:3:4:a:b:c:links=2;acl=user%3a%3ar"),
        );
        let text = changed(b"/x", &changes(&before, &after), None);
        let expected = "Integrity checksum changed for: '/x'\n\
            Number of links changed from '1' to '2'\n\
            Access list changed from 'none' to 'user::r'\n";
        assert_eq!(String::from_utf8_lossy(&text), expected);
        let (_, values) = values_of_change(&changes(&before, &after));
        assert_eq!(values.more, [("links", b"2".to_vec()), ("acl", b"user::r".to_vec())]);
    }

    #[test]
    fn a_new_file_shows_its_hashes_and_says_what_is_unknown() {
        let text = new_file(b"/x", &record(b"1:2:3:4:xxx:"));
        let expected = "New file '/x' added to the file system.\n\
            New sha1sum is : 'Unknown'\nNew md5sum is : 'xxx'\n";
        assert_eq!(String::from_utf8_lossy(&text), expected);
    }

    #[test]
    fn deleted_and_re_added_texts_end_without_a_newline() {
        assert_eq!(deleted(b"/x"), b"File '/x' was deleted. Unable to retrieve checksum.");
        assert_eq!(re_added(b"/x"), b"File '/x' was re-added.");
    }

    #[test]
    fn permissions_are_nine_letters() {
        assert_eq!(&permissions(b"33188"), b"rw-r--r--");
        assert_eq!(&permissions(b"3584"), b"--s--s--t");
        assert_eq!(&permissions(b"16895"), b"rwxrwxrwx");
        assert_eq!(&permissions(b"junk"), b"---------");
    }

    #[test]
    fn a_long_path_is_cut() {
        assert_eq!(re_added(&[b'p'; 5000]).len(), "File '' was re-added.".len() + 756);
    }

    #[test]
    fn json_values_are_the_changed_ones_without_the_size() {
        let (before, after) = (record(b"1:33152:0:0:a:b:c"), record(b"2:33188:7:0:a:b:d"));

        let (before, after) = values_of_change(&changes(&before, &after));

        assert_eq!((before.mode, after.mode), (Some(33152), Some(33188)));
        assert_eq!((before.owner, after.owner), (Some(b"0".to_vec()), Some(b"7".to_vec())));
        assert_eq!((before.sha256, after.sha256), (Some(b"c".to_vec()), Some(b"d".to_vec())));
        assert_eq!((before.md5, after.group), (None, None));
    }
}
