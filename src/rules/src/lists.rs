//! Lists that rules look fields up in: `key:value` lines, one a line.
//!
//! From `###` to the end of a line is comment. A key ends at the first `:`; of equal keys the first counts.

use std::collections::HashMap;
use std::sync::Arc;

use crate::event::{Decoded, Field};
use crate::text::Text;

/// One list, ready for look-ups.
#[derive(Debug, Default)]
pub(crate) struct KeyList {
    entries: HashMap<Vec<u8>, Vec<u8>>,
}

impl KeyList {
    /// Reads the text form; lines without `:` are skipped.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let mut list = Self::default();
        for line in text.split(|&byte| byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let comment = line.windows(3).position(|window| window == b"###");
            let line = comment.map_or(line, |at| line.get(..at).unwrap_or(line).trim_ascii_end());
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            let (key, value) = line.split_at(colon);
            let value = value.get(1..).unwrap_or_default();
            list.entries.entry(key.to_vec()).or_insert_with(|| value.to_vec());
        }
        list
    }

    fn value(&self, key: &[u8]) -> Option<&[u8]> {
        self.entries.get(key).map(Vec::as_slice)
    }

    /// By the whole address, else by a part of it that ends in a dot, the longest first.
    fn address_value(&self, address: &[u8]) -> Option<&[u8]> {
        self.value(address).or_else(|| {
            let dots = (0..address.len()).rev().filter(|&at| address.get(at) == Some(&b'.'));
            dots.into_iter().find_map(|at| self.value(address.get(..=at)?))
        })
    }
}

/// One `<list>` of a rule.
#[derive(Debug, Clone)]
pub(crate) struct ListLookup {
    /// As the rule calls the list.
    pub(crate) path: String,
    pub(crate) field: ListField,
    pub(crate) kind: LookupKind,
    /// Absent when no list of that name is configured: then the condition never holds.
    pub(crate) list: Option<Arc<KeyList>>,
}

/// What is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListField {
    Field(Field),
    /// The source user, else the destination user.
    User,
    Hostname,
    ProgramName,
}

impl ListField {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "srcip" => Self::Field(Field::SrcIp),
            "srcport" => Self::Field(Field::SrcPort),
            "dstip" => Self::Field(Field::DstIp),
            "dstport" => Self::Field(Field::DstPort),
            "url" => Self::Field(Field::Url),
            "id" => Self::Field(Field::Id),
            "status" => Self::Field(Field::Status),
            "action" => Self::Field(Field::Action),
            "user" => Self::User,
            "hostname" => Self::Hostname,
            "program_name" => Self::ProgramName,
            _ => return None,
        })
    }

    pub(crate) fn of(self, event: &Decoded) -> Option<&[u8]> {
        match self {
            Self::Field(field) => event.field(field),
            Self::User => event.field(Field::SrcUser).or_else(|| event.field(Field::DstUser)),
            Self::Hostname => Some(event.hostname()),
            Self::ProgramName => event.program_name(),
        }
    }
}

/// How it is looked up.
#[derive(Debug, Clone)]
pub(crate) enum LookupKind {
    Key,
    NotKey,
    KeyValue(Text),
    Address,
    NotAddress,
    /// Holds when the address is missing, or its value does not match: as in the original, where rules rely on it.
    AddressValue(Text),
}

impl ListLookup {
    /// Whether the condition holds; an event without the field has none of it.
    pub(crate) fn holds(&self, event: &Decoded) -> bool {
        let (Some(list), Some(value)) = (&self.list, self.field.of(event)) else { return false };
        match &self.kind {
            LookupKind::Key => list.value(value).is_some(),
            LookupKind::NotKey => list.value(value).is_none(),
            LookupKind::KeyValue(text) => {
                list.value(value).is_some_and(|found| text.is_match(found))
            }
            LookupKind::Address => list.address_value(value).is_some(),
            LookupKind::NotAddress => list.address_value(value).is_none(),
            LookupKind::AddressValue(text) => {
                !list.address_value(value).is_some_and(|found| text.is_match(found))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_lines_without_a_colon_are_skipped() {
        let list = KeyList::parse(b"bob:admin\r\nbob:second\neve: ### note\nnothing\n### x:y\n:\n");
        assert_eq!(list.value(b"bob"), Some(&b"admin"[..]));
        assert_eq!(list.value(b"eve"), Some(&b""[..]));
        assert_eq!(list.entries.len(), 3);
    }

    #[test]
    fn an_address_is_found_by_its_front() {
        let list = KeyList::parse(b"10.1.:net\n10.9.9.9:host\n");
        assert_eq!(list.address_value(b"10.1.2.3"), Some(&b"net"[..]));
        assert_eq!(list.address_value(b"10.9.9.9"), Some(&b"host"[..]));
        assert_eq!(list.address_value(b"10.9.9.8"), None);
    }
}
