//! An event before and after decoding.
//!
//! A decoded event owns one byte buffer (location, line, then values that are not part of the line); each field is a
//! [`Span`] of it. Handed back to [`Engine::decode_into`](crate::Engine::decode_into), all its memory is used again.

use std::ops::Range;

use alerts::Moment;
use pattern::Captures;

use crate::decoder::{DecoderIndex, NameId};
use crate::plugin::Plugin;
use crate::rule::{Category, RuleIndex};

/// One event as it arrives.
#[derive(Debug, Clone, Copy)]
pub struct RawEvent<'a> {
    /// Receive time.
    pub moment: Moment,
    /// Where it was seen.
    pub location: &'a [u8],
    /// The line; control bytes are taken out.
    pub payload: &'a [u8],
}

/// The fields that have a name of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `srcuser`
    SrcUser,
    /// `dstuser`, `user`
    DstUser,
    /// `srcip`
    SrcIp,
    /// `dstip`
    DstIp,
    /// `srcport`
    SrcPort,
    /// `dstport`
    DstPort,
    /// `protocol`
    Protocol,
    /// `action`
    Action,
    /// `id`
    Id,
    /// `url`
    Url,
    /// `data`, `extra_data`
    Data,
    /// `status`
    Status,
    /// `system_name`
    SystemName,
    /// `filename`
    FileName,
}

impl Field {
    pub(crate) const COUNT: usize = 14;
    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::SrcUser,
        Self::DstUser,
        Self::SrcIp,
        Self::DstIp,
        Self::SrcPort,
        Self::DstPort,
        Self::Protocol,
        Self::Action,
        Self::Id,
        Self::Url,
        Self::Data,
        Self::Status,
        Self::SystemName,
        Self::FileName,
    ];

    /// The label that the test tool prints.
    pub fn label(self) -> &'static str {
        match self {
            Self::SrcUser => "srcuser",
            Self::DstUser => "dstuser",
            Self::SrcIp => "srcip",
            Self::DstIp => "dstip",
            Self::SrcPort => "srcport",
            Self::DstPort => "dstport",
            Self::Protocol => "proto",
            Self::Action => "action",
            Self::Id => "id",
            Self::Url => "url",
            Self::Data => "extra_data",
            Self::Status => "status",
            Self::SystemName => "system_name",
            Self::FileName => "filename",
        }
    }

    /// The field that a decoder's `<order>` means by `word`; `None` for a name of the decoder's own.
    pub(crate) fn from_order(word: &str) -> Option<Self> {
        Some(match word {
            "srcuser" => Self::SrcUser,
            "dstuser" | "user" => Self::DstUser,
            "srcip" => Self::SrcIp,
            "dstip" => Self::DstIp,
            "srcport" => Self::SrcPort,
            "dstport" => Self::DstPort,
            "protocol" => Self::Protocol,
            "action" => Self::Action,
            "id" => Self::Id,
            "url" => Self::Url,
            "data" | "extra_data" => Self::Data,
            "status" => Self::Status,
            "system_name" => Self::SystemName,
            other if other.contains("filename") => Self::FileName,
            _ => return None,
        })
    }
}

/// A range of the event's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// A field without a value.
    pub(crate) const NONE: Self = Self { start: u32::MAX, end: u32::MAX };

    /// Lines are far below 4 GiB; a longer one would lose its fields, not its safety.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        match (u32::try_from(start), u32::try_from(end)) {
            (Ok(start), Ok(end)) => Self { start, end },
            _ => Self::NONE,
        }
    }

    /// A range that counts from `base`.
    pub(crate) fn within(base: usize, range: Range<usize>) -> Self {
        Self::new(base + range.start, base + range.end)
    }

    pub(crate) fn is_some(self) -> bool {
        self != Self::NONE
    }

    pub(crate) fn start(self) -> usize {
        self.start as usize
    }

    pub(crate) fn of(self, bytes: &[u8]) -> Option<&[u8]> {
        bytes.get(self.start as usize..self.end as usize)
    }
}

/// One event, decoded: what phase 1 leaves for phase 2.
#[derive(Debug, Clone)]
pub struct Decoded {
    pub(crate) moment: Moment,
    pub(crate) bytes: Vec<u8>,
    pub(crate) location: Span,
    pub(crate) full_log: Span,
    pub(crate) log: Span,
    pub(crate) hostname: Span,
    pub(crate) hostname_is_location: bool,
    pub(crate) program_name: Span,
    pub(crate) fields: [Span; Field::COUNT],
    /// Values of the decoder's own names, by position in its `<order>`.
    pub(crate) dynamic: Vec<Span>,
    /// Values that brought their names along (JSON, structured data): name, value.
    pub(crate) named: Vec<(Span, Span)>,
    /// Values of the fields that rules compare between events, in the engine's order.
    pub(crate) tracked: Vec<Span>,
    /// By which correlation counts: the receive time, or the line's own if the options say so.
    pub(crate) time: i64,
    /// Every assignment in order, for the test tool.
    pub(crate) assigned: Vec<Assigned>,
    pub(crate) decoder: Option<DecoderIndex>,
    /// The name by which rules know the decoder.
    pub(crate) decoder_name: NameId,
    /// The name that outputs print; differs for built-in decoders only.
    pub(crate) printed_name: NameId,
    pub(crate) category: Category,
    /// The decoder is code, which is still to run.
    pub(crate) plugin: Option<Plugin>,
    pub(crate) file: Option<Box<FileDetails>>,
    /// First-seen is answered beforehand: this event is new.
    pub(crate) is_new: bool,
    pub(crate) is_builtin: bool,
    pub(crate) is_firewall: bool,
    pub(crate) is_incomplete_firewall: bool,
    /// The rule that another server has already found.
    pub(crate) given_rule: Option<Option<RuleIndex>>,
    /// A field that patterns look at does not lie in the line.
    pub(crate) has_foreign_values: bool,
    pub(crate) captures: Captures,
    pub(crate) pruned: Vec<Pruned>,
    pub(crate) open: Vec<u64>,
}

/// A value that a decoder assigned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Assigned {
    pub(crate) decoder: DecoderIndex,
    /// Position in that decoder's `<order>`.
    pub(crate) position: u32,
    pub(crate) value: Span,
}

/// A node of the pruned tree; its descendants follow it directly, up to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pruned {
    pub(crate) node: u32,
    pub(crate) end: u32,
}

/// Where an event of the built-in decoders comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builtin {
    /// A file changed for the first, second, third time: rules 550, 551, 552.
    FileChanged(FileChange),
    /// A file is new, or there again.
    FileNew,
    /// A file is gone.
    FileDeleted,
    /// A rootcheck text; new if it was not known before.
    Rootcheck {
        /// Seen for the first time: `if_fts` holds.
        is_new: bool,
    },
    /// A host was seen for the first time.
    HostNew,
    /// A host's open ports changed.
    HostModified,
}

/// How often a file has changed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileChange {
    /// For the first time.
    First,
    /// For the second time.
    Second,
    /// For the third time.
    Third,
}

/// What a built-in decoder knows of the file; each value as text if it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileDetails {
    /// Path.
    pub path: Vec<u8>,
    /// Attributes before.
    pub before: FileAttributes,
    /// Attributes now.
    pub after: FileAttributes,
    /// What else is known of the change, for rules (`<field name="who.user">`) and outputs.
    pub fields: Vec<(&'static str, Vec<u8>)>,
}

/// Attributes of a file at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileAttributes {
    /// Hexadecimal digest.
    pub md5: Option<Vec<u8>>,
    /// Hexadecimal digest.
    pub sha1: Option<Vec<u8>>,
    /// Hexadecimal digest.
    pub sha256: Option<Vec<u8>>,
    /// Numeric user id.
    pub owner: Option<Vec<u8>>,
    /// Numeric group id.
    pub group: Option<Vec<u8>>,
    /// Mode bits with the file type.
    pub mode: Option<u32>,
    /// Attributes beyond the original's, by name.
    pub more: Vec<(&'static str, Vec<u8>)>,
}

impl Default for Decoded {
    fn default() -> Self {
        Self {
            moment: Moment::default(),
            bytes: Vec::new(),
            location: Span::NONE,
            full_log: Span::NONE,
            log: Span::NONE,
            hostname: Span::NONE,
            hostname_is_location: false,
            program_name: Span::NONE,
            fields: [Span::NONE; Field::COUNT],
            dynamic: Vec::new(),
            named: Vec::new(),
            tracked: Vec::new(),
            time: 0,
            assigned: Vec::new(),
            decoder: None,
            decoder_name: NameId::NULL,
            printed_name: NameId::NULL,
            category: Category::Syslog,
            plugin: None,
            file: None,
            is_new: false,
            is_builtin: false,
            is_firewall: false,
            is_incomplete_firewall: false,
            given_rule: None,
            has_foreign_values: false,
            captures: Captures::new(),
            pruned: Vec::new(),
            open: Vec::new(),
        }
    }
}

impl Decoded {
    /// Empties the event; its buffers keep their memory.
    pub(crate) fn clear(&mut self) {
        let fresh = Self {
            bytes: std::mem::take(&mut self.bytes),
            dynamic: std::mem::take(&mut self.dynamic),
            named: std::mem::take(&mut self.named),
            tracked: std::mem::take(&mut self.tracked),
            assigned: std::mem::take(&mut self.assigned),
            pruned: std::mem::take(&mut self.pruned),
            open: std::mem::take(&mut self.open),
            captures: std::mem::take(&mut self.captures),
            ..Self::default()
        };
        *self = fresh;
        self.bytes.clear();
        self.dynamic.clear();
        self.named.clear();
        self.tracked.clear();
        self.assigned.clear();
        self.pruned.clear();
    }

    /// Receive time.
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// Where it was seen.
    pub fn location(&self) -> &[u8] {
        self.location.of(&self.bytes).unwrap_or_default()
    }

    /// The line with its header, without control bytes.
    pub fn full_log(&self) -> &[u8] {
        self.full_log.of(&self.bytes).unwrap_or_default()
    }

    /// The line behind its header.
    pub fn log(&self) -> &[u8] {
        self.log.of(&self.bytes).unwrap_or_default()
    }

    /// Host name from the header, else this server's; the location for an agent's event.
    pub fn hostname(&self) -> &[u8] {
        self.hostname.of(&self.bytes).unwrap_or_default()
    }

    /// Program name from the header.
    pub fn program_name(&self) -> Option<&[u8]> {
        self.program_name.of(&self.bytes)
    }

    /// Value of a field, if the decoder found one.
    pub fn field(&self, field: Field) -> Option<&[u8]> {
        self.fields.get(field as usize)?.of(&self.bytes)
    }

    /// Whether a firewall decoder took it, so that `firewall.log` gets a line.
    pub fn is_firewall(&self) -> bool {
        self.is_firewall
    }

    pub(crate) fn set(&mut self, field: Field, value: Span) {
        if let Some(slot) = self.fields.get_mut(field as usize) {
            *slot = value;
        }
    }

    /// Puts a value that is not part of the line into the buffer.
    pub(crate) fn append(&mut self, value: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        Span::new(start, self.bytes.len())
    }
}
