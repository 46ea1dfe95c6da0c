//! A batch of events on its way from the intake through the workers to the judge: one buffer, many events.

use std::ops::Range;
use std::sync::Arc;

use alerts::Moment;
use ipc::receiver::Source;
use wire::{Event, Kind};

use crate::setup::Setup;

/// Events of one batch at the most.
pub(crate) const MAX_EVENTS: usize = 256;
/// Bytes after which a batch is full.
pub(crate) const MAX_BYTES: usize = 128 << 10;
/// Bytes of memory that a batch keeps when it serves again.
const MAX_KEPT: usize = 64 << 10;

/// Events received together, in arrival order.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Place in the arrival order, from 0.
    pub index: u64,
    /// The rules and options in force when it was received.
    pub setup: Arc<Setup>,
    /// When it was received.
    pub moment: Moment,
    bytes: Vec<u8>,
    items: Vec<Item>,
    sources: Vec<Arc<Source>>,
}

#[derive(Debug)]
struct Item {
    kind: Kind,
    location: Range<usize>,
    payload: Range<usize>,
    /// Which source it came from, with its number; none for the datagram queue.
    ticket: Option<(usize, u64)>,
}

impl Batch {
    /// An empty batch.
    pub(crate) fn new(index: u64, setup: Arc<Setup>, moment: Moment) -> Self {
        Self { index, setup, moment, bytes: Vec::new(), items: Vec::new(), sources: Vec::new() }
    }

    /// An empty batch with the memory of one that has been judged.
    pub(crate) fn renew(mut self, index: u64, setup: Arc<Setup>, moment: Moment) -> Self {
        self.bytes.clear();
        self.bytes.shrink_to(MAX_KEPT);
        self.items.clear();
        self.sources.clear();
        Self { index, setup, moment, ..self }
    }

    /// Adds an event; with its source and number when it came over the acknowledged queue.
    pub(crate) fn push(&mut self, event: &Event<'_>, ticket: Option<(&Arc<Source>, u64)>) {
        let location = self.store(event.location);
        let payload = self.store(event.payload);
        let ticket = ticket.map(|(source, number)| (self.source(source), number));
        self.items.push(Item { kind: event.kind, location, payload, ticket });
    }

    /// Whether it should go on its way.
    pub(crate) fn is_full(&self) -> bool {
        self.items.len() >= MAX_EVENTS || self.bytes.len() >= MAX_BYTES
    }

    /// How many events it has.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// The events, in order.
    pub(crate) fn events(&self) -> impl Iterator<Item = Event<'_>> {
        self.items.iter().map(|item| Event {
            kind: item.kind,
            location: &self.bytes[item.location.clone()],
            payload: &self.bytes[item.payload.clone()],
        })
    }

    /// For each source the highest number in this batch.
    pub(crate) fn marks(&self) -> impl Iterator<Item = (&Arc<Source>, u64)> {
        self.sources.iter().enumerate().filter_map(|(at, source)| {
            let last =
                self.items.iter().rev().find_map(|item| item.ticket.filter(|&(s, _)| s == at));
            last.map(|(_, number)| (source, number))
        })
    }

    fn store(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    fn source(&mut self, source: &Arc<Source>) -> usize {
        // A batch has one or two sources.
        match self.sources.iter().position(|known| Arc::ptr_eq(known, source)) {
            Some(at) => at,
            None => {
                self.sources.push(Arc::clone(source));
                self.sources.len() - 1
            }
        }
    }
}
