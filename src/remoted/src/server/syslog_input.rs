//! Syslog on its way to analysisd: looked at for who sends it, else as it came.

use std::net::IpAddr;
use std::time::Instant;

use sys::datagrams::Batch;
use wire::datagram::{MAX_DATAGRAM, Rejection};
use wire::syslog as text;

use super::{BATCH, CALLS, Server};
use crate::accounts::Accounts;
use crate::agents_table::Cause;
use crate::complaints::{Complaints, Kind, Say};
use crate::intake::source;
use crate::outbox::Outbox;
use crate::syslog::{Brought, Turn};

impl Server {
    pub(super) fn read_syslog(&mut self, door: usize) -> bool {
        for _ in 0..CALLS {
            let Some(count) = self.receive(door, |doors| &doors.syslog) else { return false };
            let batch = std::mem::replace(&mut self.batch, Batch::new(0, MAX_DATAGRAM));
            for (datagram, from) in (0..count).filter_map(|at| batch.datagram(at)) {
                self.accounts.received += 1;
                let source = source(from);
                if self.access.allows(source) {
                    let datagram = datagram.get(..text::MAX_DATAGRAM).unwrap_or(datagram);
                    let message = text::datagram(datagram);
                    put_syslog(&mut self.outbox, &mut self.accounts, source, message);
                } else {
                    self.accounts.denied += 1;
                    deny(&mut self.complaints, source);
                }
            }
            self.batch = batch;
            if count < BATCH || !self.wants_input() {
                return false;
            }
        }
        true
    }

    pub(super) fn read_streams(&mut self, now: Instant) -> bool {
        for listener in &self.doors.streams {
            let complaints = &mut self.complaints;
            self.streams.accept(listener, &self.access, now, |source| deny(complaints, source));
        }
        let (outbox, accounts, buffer) = (&mut self.outbox, &mut self.accounts, &mut self.buffer);
        self.streams.each(|stream| {
            if !outbox.has_room() {
                return Turn::Stopped;
            }
            let source = stream.source();
            stream.turn(buffer, |brought| {
                accounts.received += 1;
                match brought {
                    Brought::Message(text) => put_syslog(outbox, accounts, source, text),
                    Brought::TooLong => {
                        accounts.too_long += 1;
                        log::warn!("Full buffer receiving from: '{source}'");
                    }
                }
                outbox.has_room()
            })
        })
    }
}

fn put_syslog(outbox: &mut Outbox, accounts: &mut Accounts, source: IpAddr, text: &[u8]) {
    if text.is_empty() {
        accounts.filtered += 1;
    } else {
        outbox.put_syslog(source, text);
    }
}

fn deny(complaints: &mut Complaints, source: IpAddr) {
    let cause = Cause::Rejected(Rejection::UnknownAddress);
    let kind = Kind { cause, source, slot: None };
    let (say, line) =
        complaints.note(kind, || format!("(1213) Message from '{source}' not allowed."));
    let Some(line) = line else { return };
    log::warn!("{line}");
    if say == Say::LineAndRemedy {
        log::info!(
            "Syslog is taken from the <allowed-ips> of <remote> only; add {source} there and reload."
        );
    }
}
