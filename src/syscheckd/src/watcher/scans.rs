//! When scans begin and end, and how they are told.

use std::borrow::Cow;
use std::time::Instant;

use fim::message;

use super::message::Message;
use super::{RUN_NOW, ScanState, TICK, Watcher};
use crate::schedule::Moment;
use crate::worker::{Job, Place, Scan, Scope};

/// Where the place of a running scan is remembered, in the baseline.
const PLACE: &str = "scan";
/// There, in the baseline, once a scan of everything has come to its end.
const COMPLETE: &str = "complete";

impl Watcher {
    pub(super) fn begin_scan_if_due(&mut self, now: &Moment) {
        if self.first_scan.is_some_and(|at| now.instant >= at) {
            self.first_scan = None;
            self.requested = true;
        }
        if now.instant >= self.next_tick {
            self.next_tick = now.instant + TICK;
            let asked = std::fs::remove_file(self.root.join(RUN_NOW)).is_ok();
            let is_due = self.scan.is_none() && self.schedule.is_due(now);
            self.requested |= asked || is_due;
            self.run_asked |= asked || is_due && self.schedule.has_calendar();
        }
        if self.scan.is_some() || self.plan.entries().is_empty() {
            return;
        }
        if std::mem::take(&mut self.requested) {
            // It makes up for lost events too.
            self.events_lost = false;
            self.schedule.scanned(now.instant);
            self.begin_scan(Scope::All, now.instant);
        } else if std::mem::take(&mut self.events_lost) {
            self.begin_scan(Scope::Realtime, now.instant);
        }
    }

    fn begin_scan(&mut self, scope: Scope, now: Instant) {
        // What was told must be in what the worker remembers.
        if let Err(error) = self.baseline.flush() {
            log::debug!("the scan begins with an older baseline: {error}");
        }
        let remembered = match self.baseline.reader() {
            Ok(remembered) => remembered,
            Err(error) => {
                log::error!("No scan: the baseline cannot be read: {error}.");
                return;
            }
        };
        let from = self.baseline.recall(PLACE).and_then(|place| read_place(&place));
        let from = from.filter(|_| scope == Scope::All);
        self.scans += 1;
        // A first scan that was cut short is still the first one.
        let is_first = self.counts.scans == 0 && self.baseline.recall(COMPLETE).is_none();
        self.first = scope == Scope::All && is_first;
        let resumed = from.is_some();
        self.scan = Some(ScanState::begin(scope, resumed, now, self.worker.progress()));
        if scope == Scope::All {
            self.say(Message::Note(Cow::Borrowed(b"Starting syscheck scan.")));
            if self.first {
                log::info!("Starting syscheck scan (forwarding database).");
                log::info!("Starting syscheck database (pre-scan).");
            } else if let Some(from) = &from {
                let folder = String::from_utf8_lossy(&from.folder);
                log::info!("Starting syscheck scan: going on behind '{folder}'.");
            } else {
                log::info!("Starting syscheck scan.");
            }
        }
        // Until a file was seen once no change of it can be noticed: the first scan makes haste.
        let rests = scope == Scope::All && !self.first;
        let (also, taken) = (self.on_their_way().cloned().collect(), self.worker.taken());
        let scan = Scan { id: self.scans, scope, rests, remembered, also, taken, from };
        self.jobs.push_back(Job::Scan(Box::new(scan)));
    }

    /// A scan is remembered to have come so far, so that it goes on there after a restart.
    pub(super) fn reached(&mut self, place: &Place) {
        if self.scan.as_ref().is_some_and(|scan| scan.scope == Scope::All) {
            self.baseline.remember(PLACE, &[&*place.entry, b"\0", &place.folder].concat());
        }
    }

    /// The next scan begins at the start.
    pub(super) fn forget_place(&mut self) {
        self.baseline.remember(PLACE, b"");
    }

    pub(super) fn end_scan(&mut self, complete: bool, now: Instant) {
        let Some(scan) = self.scan.take() else { return };
        if !complete {
            self.requested |= scan.scope == Scope::All;
            self.events_lost |= scan.scope == Scope::Realtime;
            return;
        }
        if scan.scope == Scope::Realtime {
            return;
        }
        let first = std::mem::take(&mut self.first);
        self.forget_place();
        self.baseline.remember(COMPLETE, b"1");
        self.forget_fresh();
        // A kill in the next moment must not make the next scan the first one again.
        self.next_flush = now;
        self.counts.scans += 1;
        // What lies before the place where it went on may have changed while nobody looked.
        self.requested |= scan.resumed;
        scan.account(now, self.worker.progress(), &mut self.counts);
        self.schedule.scanned(now);
        self.gate.scanned();
        self.say(Message::Note(Cow::Borrowed(b"Ending syscheck scan.")));
        self.say(Message::Word(message::COMPLETED.to_vec()));
        self.count_scan_without_question();
        self.compact_asked = true;
        if first {
            log::info!("Finished creating syscheck database (pre-scan completed).");
            log::info!("Ending syscheck scan (forwarding database).");
        } else {
            log::info!("Ending syscheck scan.");
        }
        if self.counts.scans == 1 && self.realtime.is_some() {
            log::info!("Real time file monitoring started.");
        }
    }
}

fn read_place(bytes: &[u8]) -> Option<Place> {
    let at = bytes.iter().position(|&byte| byte == 0)?;
    Some(Place { entry: bytes.get(..at)?.to_vec(), folder: bytes.get(at + 1..)?.to_vec() })
}
