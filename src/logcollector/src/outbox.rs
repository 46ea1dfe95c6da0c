//! The way out: events are numbered, their positions journalled, and only then are they sent.

use std::io;
use std::time::{Duration, Instant};

use ipc::{Full, Sender};
use wire::{Event, Kind};

use crate::journal::Key;
use crate::ledger::{Ledger, Place};

/// The location of events about the collector itself.
const OURSELVES: &[u8] = b"ossec-logcollector";
/// How long to wait before the journal is tried again when it could not be written.
const JOURNAL_RETRY: Duration = Duration::from_secs(1);

/// What was counted since the start. `received = forwarded + filtered + dropped_malformed + pending`, where pending is what
/// the sources still hold and what the queue has not acknowledged.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Events and lines that are none.
    pub received: u64,
    /// Lines that are no events by their format's definition.
    pub filtered: u64,
    /// Malformed lines.
    pub malformed: u64,
    /// Bytes of the events that were handed over.
    pub bytes: u64,
}

/// Numbers, journals and sends.
pub(crate) struct Outbox {
    sender: Sender,
    /// All positions.
    pub ledger: Ledger,
    /// The accounts.
    pub counts: Counts,
    first: u64,
    last: u64,
    retry_at: Option<Instant>,
}

impl Outbox {
    /// Goes on after number `last`, up to which all has ended.
    pub(crate) fn new(mut sender: Sender, ledger: Ledger, last: u64) -> Self {
        sender.start_after(last);
        Self { sender, ledger, counts: Counts::default(), first: last, last, retry_at: None }
    }

    /// The connection to the queue, to be polled.
    pub(crate) fn sender(&self) -> &Sender {
        &self.sender
    }

    /// Takes an event; `place` is where reading goes on after it.
    ///
    /// # Errors
    /// [`Full`]: read no further until something was acknowledged.
    pub(crate) fn hand_over(
        &mut self,
        event: &Event<'_>,
        place: Option<(Key, Place)>,
    ) -> Result<(), Full> {
        if self.retry_at.is_some() {
            return Err(Full);
        }
        self.last = self.sender.offer(event)?;
        self.counts.bytes += event.payload.len() as u64;
        if let Some((key, place)) = place {
            self.ledger.note(self.last, key, place);
        }
        Ok(())
    }

    /// Takes an event about the collector itself.
    ///
    /// # Errors
    /// [`Full`], as [`hand_over`](Self::hand_over).
    pub(crate) fn report(&mut self, text: &str) -> Result<(), Full> {
        self.hand_over(
            &Event { kind: Kind::Log, location: OURSELVES, payload: text.as_bytes() },
            None,
        )?;
        self.counts.received += 1;
        Ok(())
    }

    /// Notes that reading got further without an event.
    pub(crate) fn advance(&mut self, key: Key, place: Place) {
        self.ledger.note(self.last, key, place);
    }

    /// Journals what was noted, then sends and takes acknowledgements.
    pub(crate) fn drive(&mut self, now: Instant) {
        if self.retry_at.is_some_and(|at| now < at) {
            return;
        }
        match self.ledger.flush() {
            Ok(()) => {
                if self.retry_at.take().is_some() {
                    log::info!(
                        "the positions in queue/logcollector can be written again, going on"
                    );
                }
                let acked = self.sender.drive(now);
                self.ledger.ended_upto(acked);
            }
            Err(error) => self.wait_for_journal(&error, now),
        }
    }

    fn wait_for_journal(&mut self, error: &io::Error, now: Instant) {
        if self.retry_at.is_none() {
            log::error!(
                "the positions in queue/logcollector cannot be written ({error}): nothing is read until they can, and nothing is lost; \
                 make room on that disk, or check the folder's owner"
            );
        }
        self.retry_at = Some(now + JOURNAL_RETRY);
    }

    /// Whether the journal cannot be written: nothing is taken until it can.
    pub(crate) fn is_stuck(&self) -> bool {
        self.retry_at.is_some()
    }

    /// When [`drive`](Self::drive) wants to be called at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.retry_at.or_else(|| self.sender.deadline())
    }

    /// Events that the queue has not acknowledged.
    pub(crate) fn pending(&self) -> u64 {
        self.sender.pending() as u64
    }

    /// Events that have reached their end.
    pub(crate) fn forwarded(&self) -> u64 {
        self.sender.acked().saturating_sub(self.first)
    }
}

/// A location as an event can carry it: without the `:` that would end it, and without steps upward, which the consumer
/// refuses.
pub(crate) fn location_field(text: &[u8]) -> Vec<u8> {
    let parts = text.split(|&b| b == b'/').map(|part| if part == b".." { b"__" } else { part });
    let mut field = parts.collect::<Vec<_>>().join(&b'/');
    field.iter_mut().filter(|b| **b == b':').for_each(|b| *b = b'\\');
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_field_can_be_read_back() {
        assert_eq!(location_field(b"my:alias"), b"my\\alias");
        assert_eq!(location_field(b"/var/../log"), b"/var/__/log");
        assert_eq!(location_field(b"/var/log/a..b"), b"/var/log/a..b");
    }
}
