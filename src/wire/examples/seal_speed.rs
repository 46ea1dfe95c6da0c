//! Seals and opens a 140-byte event again and again, and prints microseconds of processor time per message for both ciphers:
//! `cargo run --release -p wire --example seal_speed`.
#![expect(clippy::print_stdout, reason = "a measurement is for reading")]

use rustix::time::{ClockId, clock_gettime};
use wire::counter::Counter;
use wire::datagram::{Addressed, Sealed};
use wire::key::{AgentCipher, Method};
use wire::sealed::{Opener, Sealer, Sealing};

/// Microseconds of each measurement.
const ROUND: f64 = 500_000.0;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cipher = AgentCipher::new(b"001", b"web01", &[b'a'; 64]);
    let (mut sealer, mut opener) = (Sealer::new(), Opener::new());
    for method in [Method::Aes, Method::Blowfish] {
        let mut sealing =
            Sealing { method, with_id: true, counter: Counter::default(), random: 7, iv: [3; 16] };
        let mut sizes = 0;
        let seal = microseconds(|round| {
            sealing.counter = sealing.counter.next().unwrap_or_default();
            sizes += sealer.seal(&cipher, &sealing, &event(round))?.len();
            Ok(())
        })?;
        let datagram = sealer.seal(&cipher, &sealing, &event(1))?.to_vec();
        let open = microseconds(|_| {
            opener.open(&cipher, &Sealed::parse(Addressed::parse(&datagram)?.rest)?)?;
            Ok(())
        })?;
        println!("{:9} {seal:6.2} us to seal, {open:6.2} us to open", method.title());
    }
    Ok(())
}

fn event(round: u64) -> Vec<u8> {
    let mut text = format!(
        "1:/var/log/auth.log:Nov 21 10:00:01 web01 sshd[{round}]: Failed password for invalid user admin from 203.0.113.7 port {} ssh2",
        round % 60_000
    )
    .into_bytes();
    text.resize(140, b'.');
    text
}

/// Not the wall clock: others may be at work on this machine.
fn microseconds(
    mut once: impl FnMut(u64) -> Result<(), Box<dyn std::error::Error>>,
) -> Result<f64, Box<dyn std::error::Error>> {
    let start = used();
    let mut rounds = 0;
    while used() - start < ROUND {
        for _ in 0..100 {
            once(rounds)?;
            rounds += 1;
        }
    }
    Ok((used() - start) / rounds as f64)
}

fn used() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}
