//! What analysisd has counted, and the lines of its state file.
//!
//! `received = forwarded + filtered + dropped_invalid + dropped_unwritten + pending`: forwarded events were judged and, where asked
//! for, archived; filtered ones were swallowed as the language says (repeated lines, known states of files). What is
//! pending is counted by batches, all else event by event: the sum is a check, not a definition.

use std::sync::{Mutex, PoisonError};

use rules::Counts;

/// What has come to its end. The judge adds a commit's counts at once, so that a reader never sees half of one.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Events of the batches that were committed.
    pub ended: u64,
    /// Judged to their end.
    pub forwarded: u64,
    /// Swallowed on purpose.
    pub filtered: u64,
    /// Not an event.
    pub invalid: u64,
    /// Could not be written before a stop, and nobody will send them again.
    pub unwritten: u64,
    /// Alerts written.
    pub alerts: u64,
    /// Responses handed to execd.
    pub responses: u64,
    /// Responses that nobody took.
    pub responses_lost: u64,
}

/// Guards the totals, and how much the rules' memory holds: the judge writes, the intake reads.
#[derive(Debug, Default)]
pub(crate) struct Accounts(Mutex<(Totals, Counts)>);

impl Accounts {
    /// Adds a commit's counts.
    pub(crate) fn add(&self, more: &Totals, memory: Counts) {
        let mut guarded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        guarded.1 = memory;
        let all = &mut guarded.0;
        all.ended += more.ended;
        all.forwarded += more.forwarded;
        all.filtered += more.filtered;
        all.invalid += more.invalid;
        all.unwritten += more.unwritten;
        all.alerts += more.alerts;
        all.responses += more.responses;
        all.responses_lost += more.responses_lost;
    }

    /// The counts now.
    pub(crate) fn totals(&self) -> Totals {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// What the rules' memory held at the last commit.
    pub(crate) fn memory(&self) -> Counts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

/// What the intake counts itself.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Received {
    /// Events put into batches.
    pub batched: u64,
    /// Datagrams that are not events.
    pub invalid: u64,
    /// Events that may appear twice because an earlier run was killed while it wrote.
    pub in_doubt: u64,
    /// Times that the rules were exchanged.
    pub reloads: u64,
    /// Batches that wait for a worker.
    pub batches_waiting: u64,
}

/// The state file's lines.
pub(crate) fn lines(
    received: &Received,
    totals: &Totals,
    memory: &Counts,
    queue: ipc::receiver::Counts,
) -> Vec<(&'static str, u64)> {
    vec![
        ("received", received.batched + received.invalid),
        ("forwarded", totals.forwarded),
        ("filtered", totals.filtered),
        ("dropped_invalid", totals.invalid + received.invalid),
        ("dropped_unwritten", totals.unwritten),
        ("pending", received.batched - totals.ended),
        ("alerts", totals.alerts),
        ("responses", totals.responses),
        ("responses_lost", totals.responses_lost),
        ("reloads", received.reloads),
        ("in_doubt", received.in_doubt),
        ("batches_waiting", received.batches_waiting),
        ("remembered_events", memory.events),
        ("remembered_bytes", memory.event_bytes),
        ("forgotten_events", memory.events_forgotten),
        ("forgotten_listed", memory.listed_forgotten),
        ("first_seen_keys", memory.first_seen),
        ("forgotten_first_seen", memory.first_seen_forgotten),
        ("ignore_entries", memory.ignored),
        ("forgotten_ignore", memory.ignored_forgotten),
        ("transactions", memory.transactions),
        ("refused_transactions", memory.transactions_refused),
        ("repeated", queue.repeated),
        ("missing", queue.missing),
        ("garbled", queue.garbled),
    ]
}
