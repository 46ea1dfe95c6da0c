//! A decoded event as outputs want it.

use crate::decoder::{FtsMask, OrderItem};
use crate::engine::Engine;
use crate::event::{Decoded, Field, FileAttributes};

impl Engine {
    /// The event as outputs want it.
    pub fn facts<'a>(&'a self, event: &'a Decoded) -> alerts::Event<'a> {
        let decoder = event.decoder.and_then(|index| self.decoders.get(index));
        let fts = match decoder {
            Some(decoder) => decoder.fts.0,
            None if event.is_new => FtsMask::DONE,
            None => 0,
        };
        alerts::Event {
            moment: event.moment,
            location: event.location(),
            hostname: event.hostname(),
            hostname_is_location: event.hostname_is_location,
            program_name: event.program_name(),
            full_log: event.full_log(),
            log: event.log(),
            decoder: alerts::Decoder {
                name: self.decoder_name(event).map(str::as_bytes),
                parent: decoder.and_then(|d| self.name(d.parent?)).map(str::as_bytes),
                fts,
                accumulate: decoder.is_some_and(|decoder| decoder.accumulate),
            },
            srcip: event.field(Field::SrcIp),
            srcport: event.field(Field::SrcPort),
            srcuser: event.field(Field::SrcUser),
            dstip: event.field(Field::DstIp),
            dstport: event.field(Field::DstPort),
            dstuser: event.field(Field::DstUser),
            protocol: event.field(Field::Protocol),
            action: event.field(Field::Action),
            id: event.field(Field::Id),
            status: event.field(Field::Status),
            url: event.field(Field::Url),
            data: event.field(Field::Data),
            systemname: event.field(Field::SystemName),
            file: file_facts(event),
            fields: event
                .named
                .iter()
                .filter_map(|(name, value)| Some((name.of(&event.bytes)?, value.of(&event.bytes)?)))
                .collect(),
            dynamic: decoder.map_or_else(Vec::new, |decoder| {
                let values = decoder.order.iter().zip(&event.dynamic);
                let named = values.filter_map(|(item, value)| match item {
                    OrderItem::Dynamic(name) => Some((name.as_bytes(), value.of(&event.bytes)?)),
                    OrderItem::Field(_) => None,
                });
                named.collect()
            }),
        }
    }
}

fn file_facts(event: &Decoded) -> Option<alerts::FileFacts<'_>> {
    match &event.file {
        Some(file) => Some(alerts::FileFacts {
            path: &file.path,
            before: file_state(&file.before),
            after: file_state(&file.after),
        }),
        None => event
            .field(Field::FileName)
            .map(|path| alerts::FileFacts { path, ..alerts::FileFacts::default() }),
    }
}

fn file_state(attributes: &FileAttributes) -> alerts::FileState<'_> {
    alerts::FileState {
        md5: attributes.md5.as_deref(),
        sha1: attributes.sha1.as_deref(),
        sha256: attributes.sha256.as_deref(),
        owner: attributes.owner.as_deref(),
        group: attributes.group.as_deref(),
        mode: attributes.mode,
        more: &attributes.more,
    }
}
