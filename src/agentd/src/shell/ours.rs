//! What a manager of ours says beyond OSSEC's protocol: it doubts our numbers, or knows of another host with our key.

use std::time::Duration;

use runtime::errno;
use wire::control::FromAgent;
use wire::counter::Counter;
use wire::ours::{FromOurs, Nonce, ToOurs};

use super::Shell;

/// How often it is said that another host has our key.
const SAY_AGAIN: Duration = Duration::from_secs(600);

/// [`ToOurs`], owned.
#[derive(Debug)]
pub(super) enum Heard {
    Prove(Nonce),
    Advance { nonce: Nonce, upto: Counter },
    Cloned { other: String },
}

impl Heard {
    pub(super) fn of(message: ToOurs<'_>) -> Self {
        match message {
            ToOurs::Prove(nonce) => Self::Prove(nonce),
            ToOurs::Advance { nonce, upto } => Self::Advance { nonce, upto },
            ToOurs::Cloned { other } => {
                Self::Cloned { other: other.trim_ascii().escape_ascii().to_string() }
            }
        }
    }
}

impl Shell {
    /// Answers where it came from: on the line, or on the probe.
    pub(super) fn on_ours(&mut self, heard: &Heard, server: usize, by_probe: bool) {
        match heard {
            Heard::Prove(nonce) => self.answer(FromOurs::Proof(*nonce), by_probe),
            Heard::Advance { nonce, upto } => self.advance(*nonce, *upto, by_probe),
            Heard::Cloned { other } => self.on_cloned(other, server, by_probe),
        }
    }

    fn advance(&mut self, nonce: Nonce, upto: Counter, by_probe: bool) {
        match self.speaker.advance(upto) {
            Ok(before) if before < upto => {
                self.wire.advanced += 1;
                log::warn!(
                    "The manager has seen numbers of this agent ({upto}) above its own ({before}): this host was restored from an older image, or another one was copied from it. Going on behind {upto}. If it was copied, enrol the copy under a name of its own."
                );
            }
            Ok(_) => {}
            Err(error) => {
                log::error!(
                    "'{}/sender_counter' cannot be written due to [{}]: the manager goes on refusing us.",
                    agents::counters::RIDS,
                    errno(&error)
                );
                return;
            }
        }
        self.answer(FromOurs::Advanced(nonce), by_probe);
        if !by_probe {
            self.control(|message| FromAgent::Startup.write(message));
        }
    }

    fn on_cloned(&mut self, other: &str, server: usize, by_probe: bool) {
        self.wire.cloned += 1;
        let now = self.now();
        if self.cloned_told.is_none_or(|told| now >= told + SAY_AGAIN) {
            self.cloned_told = Some(now);
            let name = self.server_name(server);
            log::error!(
                "Manager '{name}' refuses this agent: another host ({other}) uses its key; one was copied from the other. On the copy: stop the suite, remove etc/client.keys and queue/rids/*, enrol it under another name (agent-auth, or manage_agents), start it."
            );
        }
        if !by_probe {
            let actions = self.link.on_cloned(now);
            self.obey(actions);
        }
    }

    fn answer(&mut self, answer: FromOurs, by_probe: bool) {
        let mut text = Vec::new();
        answer.write(&mut text);
        let write = |message: &mut Vec<u8>| FromAgent::Keepalive(&text).write(message);
        if !by_probe {
            return self.control(write);
        }
        let mut message = Vec::new();
        write(&mut message);
        if let (Some(line), Ok(datagram)) = (&self.probe, self.speaker.seal(&message)) {
            // Not heard is not heard, whatever the reason.
            let _ = line.send(datagram);
        }
    }
}
