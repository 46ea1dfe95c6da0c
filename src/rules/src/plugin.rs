//! Decoders that are code: formats that no pattern takes apart.
//!
//! They work on the log behind the header and fill fields directly; the test tool prints no lines for them.

use crate::event::{Decoded, Field, Span};
use crate::sonicwall;

/// A plug-in, by the name that `<plugin_decoder>` gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plugin {
    Pf,
    SymantecWebSecurity,
    SonicWall,
    OssecAlert,
    Json,
}

impl Plugin {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "PF_Decoder" => Self::Pf,
            "SymantecWS_Decoder" => Self::SymantecWebSecurity,
            "SonicWall_Decoder" => Self::SonicWall,
            "OSSECAlert_Decoder" => Self::OssecAlert,
            "JSON_Decoder" => Self::Json,
            _ => return None,
        })
    }
}

/// Fills the fields of an event; [`Plugin::OssecAlert`] is the engine's, since it needs the rules.
pub(crate) fn run(plugin: Plugin, event: &mut Decoded) {
    let log = event.log().to_vec();
    let fields = match plugin {
        Plugin::Pf => pf(&log),
        Plugin::SymantecWebSecurity => symantec(&log),
        Plugin::SonicWall => {
            let (fields, category) = sonicwall::fields(&log);
            event.category = category;
            fields
        }
        // These need more than the log.
        Plugin::OssecAlert | Plugin::Json => Vec::new(),
    };
    for (field, value) in fields {
        let value = match value {
            Value::Fixed(word) => event.append(word.as_bytes()),
            Value::Joined(value) => {
                event.has_foreign_values = true;
                event.append(&value)
            }
            Value::At(range) => {
                let start = event.log.start();
                Span::new(start + range.start, start + range.end)
            }
        };
        event.set(field, value);
    }
}

pub(crate) enum Value {
    Fixed(&'static str),
    Joined(Vec<u8>),
    At(std::ops::Range<usize>),
}

pub(crate) type Fields = Vec<(Field, Value)>;

/// OpenBSD's packet filter: `... rule 0/(match) pass in on em0: 10.0.0.1.4711 > 10.0.0.2.22: tcp`
fn pf(log: &[u8]) -> Fields {
    let mut fields = Fields::new();
    // Stops with what it has where the text goes another way.
    let _ = pf_fields(log, &mut fields);
    fields
}

fn pf_fields(log: &[u8], fields: &mut Fields) -> Option<()> {
    let action = find(log, 0, b')')? + 1;
    if log.get(action)? != &b' ' {
        return None;
    }
    let word = match log.get(action + 1)? {
        b'p' => "pass",
        b'b' => "block",
        _ => return None,
    };
    fields.push((Field::Action, Value::Fixed(word)));
    let colon = find(log, action, b':')?;
    if log.get(colon + 1)? != &b' ' {
        return None;
    }
    let source = colon + 2;
    let source_end = find(log, source, b' ')?;
    address(log, source..source_end, Field::SrcIp, Field::SrcPort, fields);
    if log.get(source_end + 1..source_end + 3)? != b"> " {
        return None;
    }
    let target = source_end + 3;
    let target_end = find(log, target, b':')?;
    address(log, target..target_end, Field::DstIp, Field::DstPort, fields);
    let protocol = log.get(target_end + 1..)?.iter().find(|&&byte| byte != b' ')?;
    let protocol = match protocol {
        b'u' => "UDP",
        b'i' => "ICMP",
        _ => "TCP",
    };
    fields.push((Field::Protocol, Value::Fixed(protocol)));
    Some(())
}

/// `10.0.0.1.4711`: what follows the fourth dot is the port.
fn address(log: &[u8], range: std::ops::Range<usize>, ip: Field, port: Field, fields: &mut Fields) {
    let text = log.get(range.clone()).unwrap_or_default();
    let dot = text.iter().enumerate().filter(|(_, byte)| **byte == b'.').nth(3);
    match dot {
        Some((dot, _)) => {
            fields.push((ip, Value::At(range.start..range.start + dot)));
            fields.push((port, Value::At(range.start + dot + 1..range.end)));
        }
        None => fields.push((ip, Value::At(range))),
    }
}

/// Symantec Web Security: `...,10=user,11=10.0.0.1,60=http://...`
fn symantec(log: &[u8]) -> Fields {
    const MAX_VALUE: usize = 128;
    const MAX_URL: usize = 1024;
    let mut fields = Fields::new();
    let Some(mut at) = find(log, 0, b',').map(|comma| comma + 1) else { return fields };
    let mut seen = [false; 4];
    loop {
        let end = find(log, at, b',').unwrap_or(log.len());
        let part = log.get(at..end).unwrap_or_default();
        let (slot, field, skip, limit) = match part {
            [b'1', b'0', b'=', ..] => (0, Field::DstUser, 3, MAX_VALUE),
            [b'1', b'1', b'=', ..] => (1, Field::SrcIp, 3, MAX_VALUE),
            [b'6', b'0', b'=', ..] => (2, Field::Url, 3, MAX_URL),
            // The id keeps its key: rules of the field have always matched it so.
            [b'3' | b'2', b'=', ..] => (3, Field::Id, 0, 9),
            _ => (usize::MAX, Field::Id, 0, 0),
        };
        if let Some(seen) = seen.get_mut(slot)
            && !std::mem::replace(seen, true)
        {
            let start = at + skip;
            fields.push((field, Value::At(start..end.min(start + limit))));
        }
        if end >= log.len() {
            return fields;
        }
        at = end + 1;
    }
}

fn find(log: &[u8], from: usize, byte: u8) -> Option<usize> {
    memchr::memchr(byte, log.get(from..)?).map(|found| from + found)
}
