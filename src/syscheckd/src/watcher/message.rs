//! What is told, as it goes on the queue.

use std::borrow::Cow;

use fim::message;
use fim::note::Notes;
use wire::{Event, Kind};

use crate::baseline::Record;

/// One event.
#[derive(Debug)]
pub(super) enum Message {
    /// A file is new, changed or gone (`None`).
    File {
        path: Vec<u8>,
        record: Option<Record>,
        /// Notes and diff.
        data: Option<Vec<u8>>,
    },
    /// A file that was told before, told once more.
    Again {
        path: Vec<u8>,
        sum: Vec<u8>,
        /// It may have grown since.
        grown: bool,
    },
    /// Something else on the channel of files: the end of a scan, an answer.
    Word(Vec<u8>),
    /// A line on rootcheck's channel.
    Note(Cow<'static, [u8]>),
    /// A line like one of a log.
    Log(Vec<u8>),
}

impl Message {
    pub(super) fn payload(&self) -> Vec<u8> {
        match self {
            Self::File { path, record, data } => {
                let sum = sum_of(record.as_ref());
                message::write(&sum, &fim::path::escape(path), data.as_deref())
            }
            Self::Again { path, sum, grown } => {
                let data = Notes { grown: *grown, ..Notes::default() }.join(None);
                message::write(sum, &fim::path::escape(path), data.as_deref())
            }
            Self::Word(text) | Self::Log(text) => text.clone(),
            Self::Note(text) => text.to_vec(),
        }
    }

    pub(super) fn event<'a>(&self, payload: &'a [u8]) -> Event<'a> {
        let (kind, location): (_, &[u8]) = match self {
            Self::File { .. } | Self::Again { .. } | Self::Word(_) => {
                (Kind::FileIntegrity, b"syscheck")
            }
            Self::Note(_) => (Kind::Rootcheck, b"rootcheck"),
            Self::Log(_) => (Kind::Log, b"syscheck"),
        };
        Event { kind, location, payload }
    }
}

/// A record's sum; `-1` of a file that is gone.
pub(super) fn sum_of(record: Option<&Record>) -> Vec<u8> {
    record.map_or_else(|| b"-1".to_vec(), |record| record.attributes.encode())
}
