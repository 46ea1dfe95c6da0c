//! What became of everything that came in: `received = forwarded + filtered + dropped_<reason> + pending`.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::agents_table::{AgentsTable, Cause};

/// Below the install root: one line for each agent that was heard or refused.
pub const AGENTS_STATE: &str = "var/run/ossec-remoted.agents";

/// Counts since the start.
#[derive(Debug, Default, Clone)]
pub struct Accounts {
    /// Datagrams of agents and messages of syslog.
    pub received: u64,
    /// Control messages and signs of life: they end here.
    pub filtered: u64,
    /// Authentic messages that are no event.
    pub not_events: u64,
    /// Messages of syslog and datagrams of agents from who may not send.
    pub denied: u64,
    /// Messages of syslog above the limit.
    pub too_long: u64,
    malformed: u64,
    unknown_sender: u64,
    wrong_key: u64,
    compression: u64,
    checksum: u64,
    counter: u64,
    policy: u64,
    unnumbered: u64,
}

impl Accounts {
    /// Counts a refused datagram.
    pub fn refuse(&mut self, cause: Cause) {
        let account = match cause {
            Cause::Policy(_) => &mut self.policy,
            Cause::Denied => &mut self.denied,
            Cause::Unnumbered(_) => &mut self.unnumbered,
            Cause::Rejected(rejection) => match rejection.word() {
                "malformed" => &mut self.malformed,
                "unknown_sender" => &mut self.unknown_sender,
                "wrong_key" => &mut self.wrong_key,
                "compression" => &mut self.compression,
                "checksum" => &mut self.checksum,
                _ => &mut self.counter,
            },
        };
        *account += 1;
    }

    /// The lines of the state file that have to balance.
    pub fn lines(&self, forwarded: u64, pending: u64) -> Vec<(&'static str, u64)> {
        vec![
            ("received", self.received),
            ("forwarded", forwarded),
            ("filtered", self.filtered),
            ("pending", pending),
            ("dropped_malformed", self.malformed),
            ("dropped_not_event", self.not_events),
            ("dropped_unknown_sender", self.unknown_sender),
            ("dropped_wrong_key", self.wrong_key),
            ("dropped_compression", self.compression),
            ("dropped_checksum", self.checksum),
            ("dropped_counter", self.counter),
            ("dropped_policy", self.policy),
            ("dropped_unnumbered", self.unnumbered),
            ("dropped_denied", self.denied),
            ("dropped_too_long", self.too_long),
        ]
    }
}

/// Writes the line of each agent that was heard or refused since the start:
/// `001 web01 any accepted=12 refused=0 missing=3 skipped=0 from=10.9.1.11:40211 at=1763719200`.
///
/// # Errors
/// `var/run` can't be written.
pub fn write_agents(root: &Path, table: &AgentsTable) -> io::Result<()> {
    let mut text = String::new();
    for entry in table.iter() {
        let (agent, known) = (&entry.agent, &entry.known);
        if known.accepted == 0 && known.refused == 0 {
            continue;
        }
        let from = known.heard_from.map_or("-".to_owned(), |from| from.to_string());
        let at = known
            .heard_at
            .and_then(|at| at.duration_since(UNIX_EPOCH).ok())
            .map_or(0, |since| since.as_secs());
        // Writing to a string doesn't fail.
        let _ = writeln!(
            text,
            "{} {} {} accepted={} refused={} missing={} skipped={} from={from} at={at}",
            agent.id,
            agent.name,
            agent.address,
            known.accepted,
            known.refused,
            known.missing,
            known.skipped
        );
    }
    let path = root.join(AGENTS_STATE);
    let new = path.with_extension("agents.new");
    fs::write(&new, text)?;
    fs::rename(&new, &path)
}

#[cfg(test)]
mod tests {
    use wire::datagram::Rejection;
    use wire::key::Method;

    use super::*;

    #[test]
    fn every_refusal_has_an_account_so_that_the_sum_balances() {
        let rejections = [
            Rejection::UnclosedId,
            Rejection::UnknownId,
            Rejection::UnknownAddress,
            Rejection::NoToken,
            Rejection::Undecipherable,
            Rejection::Unmarked,
            Rejection::Obsolete,
            Rejection::Uncompressible,
            Rejection::NoChecksum,
            Rejection::Checksum,
            Rejection::Header,
            Rejection::Repeated,
            Rejection::Backwards,
        ];
        let mut accounts = Accounts { received: 15, ..Accounts::default() };
        for rejection in rejections {
            accounts.refuse(Cause::Rejected(rejection));
        }
        accounts.refuse(Cause::Policy(Method::Aes));
        accounts.refuse(Cause::Unnumbered(13));
        let sum: u64 = accounts.lines(0, 0).iter().skip(1).map(|(_, count)| count).sum();
        assert_eq!(sum, 15);
        let counter = accounts.lines(0, 0).into_iter().find(|(key, _)| *key == "dropped_counter");
        assert_eq!(counter, Some(("dropped_counter", 2)));
    }
}
