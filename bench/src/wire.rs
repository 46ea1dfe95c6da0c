//! A manager and its agents: what a manager takes without loss, what a message costs it and the agent, how long an alert takes from an
//! agent's log to the manager's file, and the memory of idle hosts.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use ::wire::key::Method;

use crate::daemon::{Daemon, write};
use crate::latency::{from_start_to_alert, one_latency, percentiles};
use crate::rules;
use crate::wire_load::{Crowd, Load};

/// A load lasts so many seconds at its rate.
const SECONDS: u64 = 2;
/// First messages in a second: for each a file is made.
const FIRST: u64 = 2000;
const BURST: u64 = 60_000;
const LATENCIES: usize = 300;
const LINES: usize = 50_000;

/// A staged server and a staged agent.
pub fn wire(manager: &Path, agent: &Path) {
    for (agents, method) in [
        (1, Method::Aes),
        (100, Method::Aes),
        (1000, Method::Aes),
        (10_000, Method::Aes),
        (1000, Method::Blowfish),
    ] {
        crowd(manager, agents, method);
    }
    many_keys(manager, 1500, "the original: 14 MB; <= 14 MB");
    many_keys(manager, 10_000, "");
    from_agent_to_manager(manager, agent);
}

struct Manager {
    analysisd: Daemon,
    remoted: Daemon,
    root: PathBuf,
    to: UdpSocket,
    port: u16,
}

/// What became of a load.
struct Outcome {
    lost: u64,
    /// Of those, so many as remoted knows of.
    counted: u64,
    sent_in: Duration,
    judged_in: Option<Duration>,
    /// Of remoted, for each message.
    micros: f64,
}

impl Manager {
    fn start(root: &Path) -> Self {
        let port = free_port();
        let conf = format!(
            "<ossec_config>{}<syscheck><disabled>yes</disabled></syscheck>\
             <remote><connection>secure</connection><port>{port}</port><local_ip>127.0.0.1</local_ip></remote></ossec_config>\n",
            rules(root)
        );
        write(&root.join("etc/ossec.conf"), &conf);
        for folder in ["logs/alerts", "stats"] {
            fs::remove_dir_all(root.join(folder)).ok();
            fs::create_dir_all(root.join(folder)).expect(folder);
        }
        let analysisd = Daemon::start(root, "ossec-analysisd", None);
        let remoted = Daemon::start(root, "ossec-remoted", None);
        let to = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        to.connect(("127.0.0.1", port)).expect("remoted's address");
        Self { analysisd, remoted, root: root.to_owned(), to, port }
    }

    /// Sends a load, whose last message is an alert that bears `mark`.
    fn take(&mut self, load: &Load, rate: Option<u64>, mark: &str) -> Outcome {
        let before = self.account("missing");
        let heard = self.account("accepted");
        let cpu = self.remoted.cpu_seconds();
        let start = Instant::now();
        let sent_in = load.send(&self.to, rate);
        // The last one may be among the lost.
        let judged_in = from_start_to_alert(&self.root, start, mark, Duration::from_secs(10));
        let used = self.remoted.cpu_seconds() - cpu;
        self.until_settled();
        let lost = load.len() as u64 - (self.account("accepted") - heard);
        let counted = self.account("missing") - before;
        Outcome { lost, counted, sent_in, judged_in, micros: used / load.len() as f64 * 1e6 }
    }

    /// The accounts are written every few seconds.
    fn until_settled(&self) {
        let path = self.root.join("var/run/ossec-remoted.agents");
        let written = || fs::metadata(&path).and_then(|meta| meta.modified()).ok();
        for _ in 0..2 {
            let (before, end) = (written(), Instant::now() + Duration::from_secs(20));
            while written() == before && Instant::now() < end {
                thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// The sum over all agents.
    fn account(&self, key: &str) -> u64 {
        let text =
            fs::read_to_string(self.root.join("var/run/ossec-remoted.agents")).unwrap_or_default();
        let words = text.split_whitespace();
        let values =
            words.filter_map(|word| word.strip_prefix(key)?.strip_prefix('=')?.parse::<u64>().ok());
        values.sum()
    }

    fn stop(self) {
        self.remoted.stop();
        self.analysisd.stop();
    }
}

fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.local_addr().expect("its address").port()
}

fn put_keys(root: &Path, keys: &str) {
    for folder in ["queue/rids", "queue/agent-info"] {
        fs::remove_dir_all(root.join(folder)).ok();
        fs::create_dir_all(root.join(folder)).expect(folder);
    }
    fs::remove_file(root.join("var/run/ossec-remoted.agents")).ok();
    write(&root.join("etc/client.keys"), keys);
}

fn crowd(root: &Path, agents: usize, method: Method) {
    let name = format!("{agents} agents, {}", method.name());
    let (mut crowd, keys) = Crowd::new(agents, method);
    put_keys(root, &keys);
    let mut manager = Manager::start(root);
    let idle = manager.remoted.resident_kib();
    let mark = "port 9997 ssh2";
    let first = manager.take(&crowd.seal(agents as u64, mark), Some(FIRST), mark);
    println!(
        "| {name}: the first message of each | {:.0} us CPU, all judged within {:.2?} | |",
        first.micros,
        first.judged_in.unwrap_or_default()
    );
    let (start, step) = match method {
        Method::Aes => (60_000, 30_000),
        Method::Blowfish => (30_000, 15_000),
    };
    let (mut best, mut cheapest, mut size) = (0, f64::MAX, 0);
    let mut rate = start;
    loop {
        let mark = format!("port {} ssh2", 10_000 + rate / 100);
        let load = crowd.seal(rate * SECONDS, &mark);
        size = size.max(load.size());
        let outcome = manager.take(&load, Some(rate), &mark);
        cheapest = cheapest.min(outcome.micros);
        // It came along: what is left when the last one was sent is judged at once.
        let came_along =
            outcome.judged_in.is_some_and(|judged| judged < outcome.sent_in.mul_f64(1.15));
        let sent_at_rate = outcome.sent_in < Duration::from_secs(SECONDS).mul_f64(1.1);
        if outcome.lost > 0 || !came_along || !sent_at_rate || rate > 400_000 {
            let why = match () {
                () if outcome.lost > 0 => {
                    format!("{} lost, {} counted", outcome.lost, outcome.counted)
                }
                () if !sent_at_rate => "the sender does no more".to_owned(),
                () => format!(
                    "nothing lost, judged {:.2?} after the first",
                    outcome.judged_in.unwrap_or_default()
                ),
            };
            println!(
                "| {name}: without loss or delay | {best} messages/s of {size} bytes; at {rate}: {why} | {} |",
                target(method)
            );
            break;
        }
        best = rate;
        rate += step;
    }
    println!(
        "| the same: remoted's CPU a message | {cheapest:.2} us | {} |",
        match method {
            Method::Aes => "the original: 11 to 22; <= 5",
            Method::Blowfish => "the original: 55 to 70; <= 8",
        }
    );
    println!(
        "| the same: remoted resident idle, now; ready after | {:.1} MiB, {:.1} MiB; {:.0} ms | |",
        idle as f64 / 1024.0,
        manager.remoted.resident_kib() as f64 / 1024.0,
        manager.remoted.ready_after.as_secs_f64() * 1e3
    );
    if agents == 1000 {
        let mark = "port 9999 ssh2";
        let load = crowd.seal(BURST, mark);
        let Outcome { lost, counted, sent_in, .. } = manager.take(&load, None, mark);
        println!(
            "| {name}: burst of {BURST} in {sent_in:.0?} | {lost} lost, {counted} counted | the original: 93 to 98 % lost; 0 |"
        );
    }
    manager.stop();
}

fn target(method: Method) -> &'static str {
    match method {
        Method::Aes => "the original: 20,000 to 30,000; >= 120,000",
        Method::Blowfish => "the original: over 10,000; >= 60,000",
    }
}

fn many_keys(root: &Path, agents: usize, target: &str) {
    let (_, keys) = Crowd::new(agents, Method::Aes);
    put_keys(root, &keys);
    let mut manager = Manager::start(root);
    println!(
        "| {agents} keys: remoted ready after; resident remoted, analysisd | {:.0} ms; {:.1} MiB, {:.1} MiB | {target} |",
        manager.remoted.ready_after.as_secs_f64() * 1e3,
        manager.remoted.resident_kib() as f64 / 1024.0,
        manager.analysisd.resident_kib() as f64 / 1024.0
    );
    manager.stop();
}

fn from_agent_to_manager(root: &Path, agent: &Path) {
    let (_, keys) = Crowd::new(1, Method::Aes);
    put_keys(root, &keys);
    put_keys(agent, &keys);
    let manager = Manager::start(root);
    let log = agent.join("tmp-auth.log");
    write(&log, "");
    let conf = format!(
        "<ossec_config><client><server-ip>127.0.0.1</server-ip><port>{}</port></client>\
         <syscheck><directories check_all=\"yes\" realtime=\"yes\">{}</directories></syscheck>\
         <localfile><log_format>syslog</log_format><location>{}</location></localfile></ossec_config>\n",
        manager.port,
        agent.join("etc").display(),
        log.display()
    );
    write(&agent.join("etc/ossec.conf"), &conf);
    write(&agent.join("etc/local_internal_options.conf"), "agent.send_rate=100000\n");
    let names = ["ossec-execd", "ossec-agentd", "ossec-logcollector", "ossec-syscheckd"];
    let mut daemons: Vec<Daemon> =
        names.iter().map(|name| Daemon::start(agent, name, None)).collect();
    let mut append = OpenOptions::new().append(true).open(&log).expect("log");
    // The first ones come while agent and manager find each other.
    while one_latency(root, &mut append, 0).is_none() {}
    let times = (0..LATENCIES).filter_map(|n| one_latency(root, &mut append, n)).collect();
    println!(
        "| append on the agent to alert on the manager, of {LATENCIES} | {} | the original: 1.01 s, 2.00 s; <= 10 ms, <= 50 ms |",
        percentiles(times)
    );
    let kib: Vec<u64> = daemons.iter_mut().map(Daemon::proportional_kib).collect();
    let each: Vec<String> = kib.iter().map(|kib| format!("{:.1}", *kib as f64 / 1024.0)).collect();
    println!(
        "| agent set, idle, proportional: execd, agentd, logcollector, syscheckd | {} = {:.1} MiB | the original: 6.8 MB; <= 7 MB |",
        each.join(" + "),
        kib.iter().sum::<u64>() as f64 / 1024.0
    );
    let cpu: Vec<f64> = daemons.iter_mut().map(Daemon::cpu_seconds).collect();
    let mut text = String::new();
    for n in 0..LINES {
        text += &format!(
            "Nov 14 22:13:20 web1 app[4711]: request {n:08} of nobody in particular took 17 ms, as most of them do\n"
        );
    }
    text += "Nov 14 22:13:20 web1 sshd[4711]: Failed password for root from 203.0.113.9 port 9998 ssh2\n";
    let start = Instant::now();
    append.write_all(text.as_bytes()).expect("room");
    let took = from_start_to_alert(root, start, "port 9998 ssh2", Duration::from_secs(60));
    let micros: Vec<f64> = daemons
        .iter_mut()
        .zip(cpu)
        .map(|(daemon, before)| (daemon.cpu_seconds() - before) / LINES as f64 * 1e6)
        .collect();
    println!(
        "| {LINES} lines on the agent, judged within {:.2?}: CPU a line, agentd, logcollector | {:.2} us, {:.2} us | the original: 92; <= 8 |",
        took.unwrap_or_default(),
        micros[1],
        micros[2]
    );
    daemons.into_iter().rev().for_each(Daemon::stop);
    manager.stop();
}
