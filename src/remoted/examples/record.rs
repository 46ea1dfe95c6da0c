//! Records datagrams of simulated agents, for a load on remoted: `record AGENTS MESSAGES aes|blowfish KEYS OUT`.
//!
//! KEYS becomes a client.keys with that many agents; OUT holds the datagrams, each behind its length (two bytes, little
//! endian), round-robin over the agents, numbers rising.
#![expect(clippy::print_stderr, reason = "a tool for measurements")]

use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};

use wire::counter::Counter;
use wire::key::{AgentCipher, Method};
use wire::sealed::{Sealer, Sealing};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [agents, messages, method, keys, out] = &arguments[..] else {
        eprintln!("record AGENTS MESSAGES aes|blowfish KEYS OUT");
        return Err("five arguments are needed".into());
    };
    let (agents, messages): (usize, usize) = (agents.parse()?, messages.parse()?);
    let method: Method = method.parse().map_err(|()| "the method is aes or blowfish")?;
    let mut lines = String::new();
    let mut ciphers = Vec::with_capacity(agents);
    for number in 1..=agents {
        let (id, name, key) =
            (format!("{number:03}"), format!("agent-{number}"), format!("{number:064x}"));
        writeln!(lines, "{id} {name} any {key}")?;
        ciphers.push(AgentCipher::new(id.as_bytes(), name.as_bytes(), key.as_bytes()));
    }
    std::fs::write(keys, lines)?;
    let mut file = BufWriter::new(File::create(out)?);
    let mut sealer = Sealer::new();
    let mut counter = Counter::default();
    for message in 0..messages {
        let at = message % agents.max(1);
        if at == 0 {
            counter = counter.next().ok_or("too many messages")?;
        }
        let cipher = ciphers.get(at).ok_or("no agents")?;
        let text = format!(
            "1:/var/log/auth.log:Nov 21 10:00:01 web01 sshd[{}]: Failed password for invalid user admin from 203.0.113.7 port {} ssh2",
            message % 30_000,
            message % 60_000
        );
        let iv = [message as u8; 16];
        let sealing = Sealing { method, with_id: true, counter, random: 7, iv };
        let datagram = sealer.seal(cipher, &sealing, text.as_bytes())?;
        file.write_all(&u16::try_from(datagram.len())?.to_le_bytes())?;
        file.write_all(datagram)?;
    }
    Ok(file.flush()?)
}
