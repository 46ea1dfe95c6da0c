//! From a datagram to an authentic message that was never seen before, or to the reason why not.
//!
//! Nothing changes before the message is authentic, except the count of what was refused. An agent's numbers are read from
//! their file with its first authentic message: thousands of agents cost nothing at the start.

use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use agents::Received;
use wire::control::FromAgent;
use wire::counter::Counter;
use wire::datagram::{Accept, Rejection};
use wire::key::Method;
use wire::sealed::{Opened, Opener};

use crate::agents_table::{AgentsTable, Cause, Refused, Slot};

/// How strict the intake is.
#[derive(Debug, Clone, Copy)]
pub struct Strictness {
    /// Ciphers that are taken.
    pub accept: Accept,
    /// An agent stays with the cipher of its first keepalive.
    pub pin_methods: bool,
    /// Whether numbers must rise (`remoted.verify_msg_id`).
    pub verify_numbers: bool,
}

/// One authentic message.
#[derive(Debug)]
pub struct Taken<'a> {
    /// Its sender.
    pub slot: Slot,
    /// The cipher that it came by.
    pub method: Method,
    /// What it says.
    pub message: &'a [u8],
}

/// Takes one datagram.
///
/// # Errors
/// [`Refused`], and the number that the message bore if it got that far.
pub fn take<'a>(
    table: &mut AgentsTable,
    received: &mut Received,
    opener: &'a mut Opener,
    datagram: &[u8],
    from: SocketAddr,
    at: SystemTime,
    how: Strictness,
) -> Result<Taken<'a>, (Refused, Option<Counter>)> {
    let (slot, sealed) = table
        .attribute(datagram, source(from), how.accept)
        .map_err(|refused| note(table, refused, None))?;
    let refuse = |why| Refused::new(Some(slot), why);
    let Some(entry) = table.entry_mut(slot) else {
        return Err((refuse(Rejection::UnknownAddress), None));
    };
    if how.pin_methods && entry.known.method.is_some_and(|method| method != sealed.method) {
        entry.known.refused += 1;
        return Err((Refused { slot: Some(slot), cause: Cause::Policy(sealed.method) }, None));
    }
    let opened = opener.open(&entry.cipher, &sealed);
    let Opened { counter, message } = match opened {
        Ok(opened) => opened,
        Err(why) => {
            entry.known.refused += 1;
            return Err((refuse(why), None));
        }
    };
    let id = &entry.agent.id;
    let last = match received.last(id).map_or_else(|| received.load(id), Ok) {
        Ok(last) => last,
        Err(error) => {
            entry.known.refused += 1;
            let cause = Cause::Unnumbered(error.raw_os_error().unwrap_or(0));
            return Err((Refused { slot: Some(slot), cause }, Some(counter)));
        }
    };
    // The first message of an agent of whom nothing is on disk tells no gap.
    let is_first = last == Counter::default();
    let gap = if how.verify_numbers {
        received.accept(id, counter).map_err(Rejection::from)
    } else {
        received.remember(id, counter);
        Ok(0)
    };
    match gap {
        Ok(gap) => {
            let is_hello = FromAgent::parse(message) == FromAgent::Startup;
            entry.known.hear(from, at, if is_first { 0 } else { gap }, is_hello);
            Ok(Taken { slot, method: sealed.method, message })
        }
        Err(why) => {
            entry.known.refused += 1;
            Err((refuse(why), Some(counter)))
        }
    }
}

/// The address that counts: a mapped one is that of IPv4.
pub fn source(from: SocketAddr) -> IpAddr {
    from.ip().to_canonical()
}

fn note(
    table: &mut AgentsTable,
    refused: Refused,
    counter: Option<Counter>,
) -> (Refused, Option<Counter>) {
    if let Some(entry) = refused.slot.and_then(|slot| table.entry_mut(slot)) {
        entry.known.refused += 1;
    }
    (refused, counter)
}
