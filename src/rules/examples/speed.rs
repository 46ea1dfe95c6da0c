//! Measures the engine alone: `cargo run --release -p rules --example speed -- CASE [EVENTS] [RULES_DIR]`.
//!
//! CASE is `none`, `ssh`, `frequency`, `frequency-base`, `siblings`, `siblings-base`, `doubled`, `hostile`, `memory`. RULES_DIR
//! holds `decoder.xml` and `rules/*.xml` in the order of `ossec-full.conf` or `ossec-local.conf`; `etc` is the default. For
//! instructions an event, run under callgrind with two numbers of events and divide the difference.

#![expect(clippy::print_stdout, reason = "its figures are its purpose")]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rules::{Decoded, Engine, MemoryWorld, Options, RawEvent, Source, State};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let case = arguments.next().unwrap_or("none".into());
    let events: usize = arguments.next().map_or(Ok(200_000), |text| text.parse())?;
    let folder = arguments.next().unwrap_or("etc".into());
    let (decoders, mut rules) = read(Path::new(&folder))?;
    rules.push(("added.xml".into(), added(&case, &rules)));
    let before = resident_kib();
    let start = Instant::now();
    let engine = load(&decoders, &rules)?;
    let loaded = start.elapsed();
    if case == "memory" {
        println!("engine: {} KiB resident, loaded in {loaded:?}", resident_kib() - before);
        return Ok(());
    }
    let lines = lines(&case);
    let mut judge = Judge::new(&engine);
    let (mut slowest, mut alerts) = (Duration::ZERO, 0);
    let start = Instant::now();
    for n in 0..events {
        let line = lines.get(n % lines.len()).ok_or("no lines")?;
        let one = Instant::now();
        alerts += usize::from(judge.line(line));
        if case == "hostile" {
            slowest = slowest.max(one.elapsed());
        }
    }
    let each = start.elapsed().as_nanos() as f64 / events.max(1) as f64;
    println!(
        "{case}: {each:.0} ns an event, {alerts} alerts, slowest {slowest:?}, loaded in {loaded:?}, {} KiB resident",
        resident_kib()
    );
    Ok(())
}

type Files = Vec<(String, Vec<u8>)>;

fn read(folder: &Path) -> Result<(Files, Files), Box<dyn Error>> {
    let decoders = vec![("decoder.xml".into(), fs::read(folder.join("decoder.xml"))?)];
    let listed = fs::read_to_string(folder.join("ossec-full.conf"))
        .or_else(|_| fs::read_to_string(folder.join("ossec-local.conf")))?;
    let includes = listed.split("<include>").skip(1);
    let names: Vec<&str> =
        includes.filter_map(|rest| Some(rest.split_once("</include>")?.0.trim())).collect();
    let mut rules = Files::new();
    for name in names {
        let path = folder.join("rules").join(name);
        if path.exists() {
            rules.push((name.to_owned(), fs::read(path)?));
        }
    }
    Ok((decoders, rules))
}

fn load(decoders: &Files, rules: &Files) -> Result<Engine, Box<dyn Error>> {
    fn sources(files: &Files) -> Vec<Source<'_>> {
        files.iter().map(|(name, text)| Source { name, text }).collect()
    }
    let options = Options { hostname: b"here".to_vec(), ..Options::default() };
    let loaded = rules::load(&sources(decoders), &sources(rules), &[], options);
    Ok(loaded.map_err(|errors| errors.first().map(ToString::to_string).unwrap_or_default())?.engine)
}

/// The rules that a case adds.
fn added(case: &str, rules: &Files) -> Vec<u8> {
    let mut text = String::from("<group name=\"bench,\">\n");
    match case {
        "frequency" | "frequency-base" => {
            text += "<rule id=\"150000\" level=\"3\"><match>request</match><description>r</description></rule>\n";
            for n in 1..=if case == "frequency" { 100 } else { 0 } {
                text += &format!(
                    "<rule id=\"{}\" level=\"10\" frequency=\"{}\" timeframe=\"600\"><if_matched_sid>150000</if_matched_sid><same_source_ip /><description>f</description></rule>\n",
                    150_000 + n,
                    50 + n
                );
            }
        }
        "siblings" => {
            for n in 0..5000 {
                text += &format!(
                    "<rule id=\"{}\" level=\"3\"><match>literal word {n} of many</match><description>s</description></rule>\n",
                    150_000 + n
                );
            }
        }
        "doubled" => {
            // Each literal of the shipped rules again, in a rule of its own.
            let mut id = 200_000;
            for (_, file) in rules {
                let file = String::from_utf8_lossy(file);
                for piece in file.split("<match>").skip(1) {
                    if let Some((pattern, _)) = piece.split_once("</match>") {
                        text += &format!(
                            "<rule id=\"{id}\" level=\"3\"><match>{pattern} twice</match><description>d</description></rule>\n"
                        );
                        id += 1;
                    }
                }
                for piece in file.split("<pcre2>").skip(1) {
                    if let Some((pattern, _)) = piece.split_once("</pcre2>") {
                        text += &format!(
                            "<rule id=\"{id}\" level=\"3\"><pcre2>(?:{pattern}) twice</pcre2><description>d</description></rule>\n"
                        );
                        id += 1;
                    }
                }
            }
        }
        "hostile" => {
            for (n, bomb) in [
                "(a+)+$",
                "(x|x|x)*y",
                "(?:.*a){12}",
                "^(\\w+\\s?)*$",
                "(a?){30}a{30}",
                "(?=(a+))a*b",
            ]
            .iter()
            .enumerate()
            {
                text += &format!(
                    "<rule id=\"{}\" level=\"3\"><pcre2>{}</pcre2><description>b</description></rule>\n",
                    150_000 + n,
                    bomb.replace("<", "&lt;")
                );
            }
        }
        _ => {}
    }
    (text + "</group>\n").into_bytes()
}

fn lines(case: &str) -> Vec<Vec<u8>> {
    match case {
        "ssh" => (0..20_000_u32).map(ssh).collect(),
        "frequency" | "frequency-base" => (0..20_000_u32)
            .map(|n| {
                let (a, b) = (n / 250 % 250, n % 250);
                format!(
                    "Nov 14 22:13:20 web1 sshd[{n}]: request {n} from 203.0.{a}.{b} port 22 ssh2"
                )
                .into_bytes()
            })
            .collect(),
        "hostile" => hostile(),
        _ => (0..20_000_u32)
            .map(|n| {
                format!(
                    "Nov 14 22:13:{:02} web1 ourapp[{}]: request {n} served in {} ms",
                    n % 60,
                    1000 + n % 9000,
                    n % 97
                )
                .into_bytes()
            })
            .collect(),
    }
}

fn ssh(n: u32) -> Vec<u8> {
    let (a, b, port) = (n / 250 % 250, n % 250, 1024 + n % 60_000);
    let what = match n % 10 {
        0 => format!("Accepted password for user{} from 203.0.{a}.{b} port {port} ssh2", n % 40),
        1..=3 => format!(
            "Failed password for invalid user guess{} from 203.0.{a}.{b} port {port} ssh2",
            n % 90
        ),
        4..=6 => format!("Failed password for root from 203.0.{a}.{b} port {port} ssh2"),
        7 => format!("Received disconnect from 203.0.{a}.{b}: 11: Bye Bye [preauth]"),
        8 => format!("pam_unix(sshd:session): session opened for user user{} by (uid=0)", n % 40),
        _ => format!("Connection closed by 203.0.{a}.{b} [preauth]"),
    };
    format!("Nov 14 22:13:{:02} web1 sshd[{}]: {what}", n % 60, 1000 + n % 9000).into_bytes()
}

/// Long lines of what costs a matcher most.
fn hostile() -> Vec<Vec<u8>> {
    const LENGTH: usize = 65_000;
    let units: [&[u8]; 12] = [
        b" ",
        b"a",
        b"[",
        b"(",
        b"{\"a\":",
        b"a ",
        b"0.",
        b"/..",
        b"\xff",
        b"\xc3\xa4",
        b"failed ",
        b"<",
    ];
    let heads: [&[u8]; 5] = [
        b"",
        b"Nov 14 22:13:20 h sshd[1]: ",
        b"Nov 14 22:13:20 h kernel: ",
        b"[Time 2006.12.28 15:53:55 UTC] [Sender x] ",
        b"10.0.0.1 - - [14/Nov/2023:22:13:20 +0000] \"GET /",
    ];
    let mut lines = Vec::new();
    for head in heads {
        for unit in units {
            for tail in [&b""[..], b"!", b"\n"] {
                let mut line = head.to_vec();
                line.extend(unit.iter().cycle().take(LENGTH));
                line.extend_from_slice(tail);
                lines.push(line);
            }
        }
    }
    lines
}

struct Judge<'a> {
    engine: &'a Engine,
    state: State,
    world: MemoryWorld,
    event: Decoded,
    out: Vec<u8>,
    number: u64,
}

impl<'a> Judge<'a> {
    fn new(engine: &'a Engine) -> Self {
        let (state, world) = (State::new(engine), MemoryWorld::default());
        Self { engine, state, world, event: Decoded::default(), out: Vec::new(), number: 0 }
    }

    /// Judges a line and writes its alert, if there is one.
    fn line(&mut self, line: &[u8]) -> bool {
        self.number += 1;
        let moment = alerts::Moment {
            epoch: 1_700_000_000 + (self.number / 1000) as i64,
            ..alerts::Moment::utc(1_700_000_000)
        };
        let raw = RawEvent { moment, location: b"/var/log/auth.log", payload: line };
        self.engine.decode_into(&raw, &mut self.event);
        let judgement = self.engine.judge(&mut self.state, &mut self.event, &mut self.world);
        let alert = judgement.alert(self.engine, &self.event, self.number);
        let Some(alert) = alert.filter(|_| judgement.log) else { return false };
        self.out.clear();
        alerts::write_text(&alert, &mut self.out);
        true
    }
}

fn resident_kib() -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
