//! What `var/run/ossec-agentd.state` tells.

use crate::intake;
use crate::orders;
use crate::spool::{self, Spool};

/// What was counted on the wire.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wire {
    /// Events sent, repeated ones included.
    pub(crate) sent: u64,
    /// Events sent again because no ack had confirmed them when a connection broke.
    pub(crate) resent: u64,
    /// Events that could not be sealed.
    pub(crate) unsendable: u64,
    pub(crate) connects: u64,
    pub(crate) keepalives: u64,
    pub(crate) acks: u64,
    /// Datagrams that were not authentic, or not new.
    pub(crate) rejected: u64,
    /// How often the manager had us go on behind a higher number.
    pub(crate) advanced: u64,
    /// How often the manager refused us because another host has our key.
    pub(crate) cloned: u64,
}

/// The lines of the state file.
pub(crate) fn lines(
    connected: bool,
    suspended: bool,
    wire: &Wire,
    intake: &intake::Counts,
    orders: &orders::Counts,
    spool: &Spool,
) -> Vec<(&'static str, u64)> {
    let spool::Counts { given_up, damaged } = spool.counts();
    vec![
        ("connected", u64::from(connected)),
        ("suspended", u64::from(suspended)),
        ("received", intake.received),
        ("invalid", intake.invalid),
        ("cut", intake.cut),
        ("sent", wire.sent),
        ("resent", wire.resent),
        ("unsendable", wire.unsendable),
        ("confirmed", spool.confirmed()),
        ("waiting", spool.waiting()),
        ("spool_bytes", spool.bytes()),
        ("given_up", given_up),
        ("damaged", damaged),
        ("connects", wire.connects),
        ("keepalives", wire.keepalives),
        ("acks", wire.acks),
        ("rejected", wire.rejected),
        ("advanced", wire.advanced),
        ("cloned", wire.cloned),
        ("shared_files", orders.files),
        ("shared_files_refused", orders.files_refused),
        ("responses", orders.responses),
        ("responses_refused", orders.responses_refused),
        ("scans", orders.scans),
        ("unknown", orders.unknown),
    ]
}
