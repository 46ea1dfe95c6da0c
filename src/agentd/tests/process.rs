//! The daemon as a process (`examples/agentd.rs`), with a simulated manager on loopback and simulated collectors.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests are tests")]

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ipc::Sender;
use tempfile::TempDir;
use wire::control::{FromAgent, ToAgent};
use wire::counter::Counter;
use wire::datagram::{Addressed, MAX_DATAGRAM, Sealed};
use wire::digest::Md5Hex;
use wire::keepalive::Keepalive;
use wire::key::{AgentCipher, Method};
use wire::merged::{Entry, pack};
use wire::ours::{FromOurs, Nonce, State, ToOurs};
use wire::sealed::{Opener, Sealer, Sealing};
use wire::{Event, Kind};

const KEY: &str = "b36a57fe13309749792e08397b1f2521c6f1ab4fb5a647a80fab290514291c9e";
const PATIENCE: Duration = Duration::from_secs(60);

/// An install root, and the daemon in it.
struct Agent {
    folder: TempDir,
    process: Option<Child>,
}

impl Agent {
    fn new(servers: &[SocketAddr], more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for below in [
            "etc/shared",
            "logs",
            "queue/ossec",
            "queue/rids",
            "queue/spool",
            "queue/alerts",
            "var/run",
        ] {
            fs::create_dir_all(root.join(below)).unwrap();
        }
        let port = servers[0].port();
        let ips: String =
            servers.iter().map(|s| format!("<server-ip>{}</server-ip>", s.ip())).collect();
        // One of them by its name.
        let ips = ips.replacen(
            "<server-ip>127.0.0.1</server-ip>",
            "<server-hostname>localhost</server-hostname><local_ip>127.0.0.1</local_ip>",
            1,
        );
        let conf =
            format!("<ossec_config><client>{ips}<port>{port}</port>{more}</client></ossec_config>");
        fs::write(root.join("etc/ossec.conf"), conf).unwrap();
        fs::write(root.join("etc/client.keys"), format!("001 web01 any {KEY}\n")).unwrap();
        // The simulated manager is not fast, and its socket's buffer is the system's.
        fs::write(root.join("etc/internal_options.conf"), "agent.send_rate=2000\n").unwrap();
        Self { folder, process: None }
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn start(&mut self) {
        let log = fs::File::create(self.root().join("terminal")).unwrap();
        let child = Command::new(program())
            .arg("-f")
            .env("OXSEC_ROOT", self.root())
            .env("OXSEC_STAY_USER", "1")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(child);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = self.process.as_ref().map(Child::id).unwrap();
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn kill(&mut self) {
        let mut child = self.process.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn log(&self) -> String {
        fs::read_to_string(self.root().join("logs/ossec.log")).unwrap_or_default()
            + &fs::read_to_string(self.root().join("terminal")).unwrap_or_default()
    }

    fn account(&self, key: &str) -> u64 {
        let state = fs::read_to_string(self.root().join("var/run/ossec-agentd.state"));
        let state = state.unwrap_or_default();
        let value = state.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    fn collector(&self, name: &str, stream: u64) -> Sender {
        Sender::new(self.root().join(ipc::paths::EVENTS), name, stream)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(child) = &mut self.process {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            println!("{}", self.log());
        }
    }
}

/// Cargo builds examples before it runs tests.
fn program() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    here.parent().unwrap().parent().unwrap().join("examples/agentd")
}

/// A manager that keeps what it hears.
struct Manager {
    socket: UdpSocket,
    cipher: AgentCipher,
    sealer: Sealer,
    opener: Opener,
    last: Counter,
    agent: Option<SocketAddr>,
    hellos: u32,
    keepalives: Vec<Vec<u8>>,
    events: Vec<String>,
    /// With the numbers they came by.
    answers: Vec<(Counter, FromOurs)>,
    /// It answers nothing.
    mute: bool,
}

impl Manager {
    fn listen(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        Self {
            socket,
            cipher: AgentCipher::new(b"001", b"web01", KEY.as_bytes()),
            sealer: Sealer::new(),
            opener: Opener::new(),
            last: Counter { global: 1, local: 0 },
            agent: None,
            hellos: 0,
            keepalives: Vec::new(),
            events: Vec::new(),
            answers: Vec::new(),
            mute: false,
        }
    }

    fn send(&mut self, message: &ToAgent<'_>) {
        self.last = self.last.next().unwrap();
        let sealing = Sealing {
            method: Method::Aes,
            with_id: false,
            counter: self.last,
            random: 7,
            iv: [9; 16],
        };
        let datagram = self.sealer.seal(&self.cipher, &sealing, &message.to_bytes()).unwrap();
        self.socket.send_to(datagram, self.agent.unwrap()).unwrap();
    }

    /// Hears what comes until there is a pause: whoever asks questions in between would lose datagrams.
    fn turn(&mut self) {
        let mut buffer = [0; MAX_DATAGRAM];
        for _ in 0..2000 {
            let Ok((len, from)) = self.socket.recv_from(&mut buffer) else { return };
            self.hear(&buffer[..len], from);
        }
    }

    fn hear(&mut self, datagram: &[u8], from: SocketAddr) {
        let addressed = Addressed::parse(datagram).unwrap();
        // An agent with any address says its id. Others may still call who had this port before.
        if addressed.id != Some(b"001") {
            return;
        }
        let sealed = Sealed::parse(addressed.rest).unwrap();
        let opened = self.opener.open(&self.cipher, &sealed).unwrap();
        let (opened_by, message) = (opened.counter, opened.message.to_vec());
        self.agent = Some(from);
        match FromAgent::parse(&message) {
            FromAgent::Startup => self.hellos += 1,
            FromAgent::Keepalive(text) => {
                if let Some(answer) = FromOurs::parse(text) {
                    return self.answers.push((opened_by, answer));
                }
                self.keepalives.push(text.to_vec());
            }
            FromAgent::Event(event) => {
                return self.events.push(String::from_utf8_lossy(event).into_owned());
            }
        }
        if !self.mute {
            self.send(&ToAgent::Ack);
        }
    }

    fn say(&mut self, message: ToOurs<'_>) {
        let mut text = Vec::new();
        message.write(&mut text);
        self.send(&ToAgent::Unknown(&text));
    }

    /// What the last keepalive says of the agent.
    fn state(&self) -> Option<State> {
        Keepalive::parse(self.keepalives.last()?).ok()?.mark().map(|mark| mark.state)
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(
                Instant::now() < deadline,
                "{what} did not happen; {} events",
                self.events.len()
            );
            self.turn();
        }
    }

    fn of(&self, location: &str) -> Vec<&str> {
        let prefix = format!("1:{location}:");
        self.events.iter().filter_map(|event| event.strip_prefix(&prefix)).collect()
    }
}

/// An address that nobody listens on for now.
fn free_address() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn offer(sender: &mut Sender, text: &str) -> bool {
    let event = Event { kind: Kind::Log, location: b"/var/log/x", payload: text.as_bytes() };
    sender.offer(&event).is_ok()
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::yield_now();
    }
}

#[test]
fn what_was_acknowledged_while_the_manager_was_away_arrives_in_order_and_once_over_a_kill() {
    let address = free_address();
    let mut agent = Agent::new(&[address], "");
    agent.start();
    let mut sender = agent.collector("logcollector", 77);
    let mut offered = 0;
    wait("acknowledgements", || {
        while offered < 3000 && offer(&mut sender, &format!("line {offered}")) {
            offered += 1;
        }
        sender.wait(Duration::from_millis(20)) == 3000
    });
    let queue = agent.root().join(ipc::paths::QUEUE);
    let datagrams = ipc::datagram::connect(&queue).unwrap();
    datagrams.send(b"1:other:from the datagram queue\0").unwrap();
    wait("the account", || agent.account("received") == 3001);
    agent.kill();
    agent.start();

    let mut manager = Manager::listen(address);
    manager.until("delivery", |m| m.events.len() >= 3002);
    let expected: Vec<String> = (0..3000).map(|n| format!("line {n}")).collect();
    assert_eq!(manager.of("/var/log/x"), expected);
    assert_eq!(manager.of("other"), ["from the datagram queue"]);
    assert_eq!(manager.of("ossec"), ["ossec: Agent started: 'web01->any'."]);
    // The producer goes on where it was, and what was sent gets confirmed.
    manager.until("confirmation", |_| agent.account("waiting") == 0);
    assert_eq!(agent.account("resent"), 0);
    assert!(
        agent.log().contains("ossec-agentd(4102): INFO: Connected to server 127.0.0.1, port"),
        "{}",
        agent.log()
    );
}

#[test]
fn kills_of_the_daemon_lose_nothing_that_was_acknowledged() {
    let address = free_address();
    let mut agent = Agent::new(&[address], "");
    let mut manager = Manager::listen(address);
    let mut sender = agent.collector("logcollector", 78);
    let mut offered = 0;
    for round in 1..=4 {
        agent.start();
        manager.until("events of this round", |_| {
            while offered < round * 1000 && offer(&mut sender, &format!("line {offered}")) {
                offered += 1;
            }
            sender.drive(Instant::now()) >= round * 1000 - 300
        });
        if round < 4 {
            agent.kill();
        }
    }
    manager.until("all events", |manager| {
        sender.drive(Instant::now());
        let seen: BTreeSet<&str> = manager.of("/var/log/x").into_iter().collect();
        seen.len() == 4000
    });
    // What came twice came in order too: each first sight is the next number.
    let mut seen = BTreeSet::new();
    let firsts: Vec<String> = manager
        .of("/var/log/x")
        .into_iter()
        .filter(|text| seen.insert(*text))
        .map(str::to_owned)
        .collect();
    assert_eq!(firsts, (0..4000).map(|n| format!("line {n}")).collect::<Vec<_>>());
}

#[test]
fn a_manager_that_comes_back_gets_what_it_had_not_confirmed() {
    let address = free_address();
    let mut agent = Agent::new(&[address], "");
    agent.start();
    let mut manager = Manager::listen(address);
    manager.until("hello", |m| !m.keepalives.is_empty() && m.of("ossec").len() == 1);
    drop(manager);
    let mut sender = agent.collector("logcollector", 79);
    let mut offered = 0;
    wait("acknowledgements", || {
        while offered < 50 && offer(&mut sender, &format!("line {offered}")) {
            offered += 1;
        }
        sender.wait(Duration::from_millis(20)) == 50
    });
    wait("the loss", || agent.log().contains("Server unavailable: localhost: "));
    let mut manager = Manager::listen(address);
    manager.last = Counter { global: 2, local: 0 };
    manager.until("delivery", |m| m.of("/var/log/x").len() >= 50);
    let expected: Vec<String> = (0..50).map(|n| format!("line {n}")).collect();
    assert_eq!(manager.of("/var/log/x"), expected);
}

#[test]
fn shared_files_arrive_and_orders_are_obeyed() {
    let address = free_address();
    let mut agent = Agent::new(&[address], "<notify_time>1</notify_time>");
    let execd = UnixDatagram::bind(agent.root().join(ipc::paths::EXECQ)).unwrap();
    execd.set_nonblocking(true).unwrap();
    agent.start();
    let mut manager = Manager::listen(address);
    manager.until("keepalive", |m| !m.keepalives.is_empty());
    let first = Keepalive::parse(&manager.keepalives[0]).unwrap();
    assert_eq!(first.merged(), Some(&b"x"[..]));

    let mut merged = Vec::new();
    pack(&Entry { name: "agent.conf", content: b"<agent_config/>\n" }, &mut merged).unwrap();
    pack(&Entry { name: "list.txt", content: &[b'l'; 3000] }, &mut merged).unwrap();
    let sum = Md5Hex::of(&merged);
    for message in wire::shared::push(b"merged.mg", &sum, &merged) {
        manager.send(&message);
    }
    manager.send(&ToAgent::Execd(b"host-deny600 - 203.0.113.9 1.2 5712 x (null)"));
    manager.send(&ToAgent::SyscheckRestart);
    manager.until("a keepalive with the new sum", |m| {
        let last = m.keepalives.last().unwrap();
        Keepalive::parse(last).unwrap().merged() == Some(sum.as_bytes())
    });
    let shared = agent.root().join("etc/shared");
    assert_eq!(fs::read(shared.join("agent.conf")).unwrap(), b"<agent_config/>\n");
    assert_eq!(fs::read(shared.join("list.txt")).unwrap(), [b'l'; 3000]);
    let mut buffer = [0; 200];
    let len = execd.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"host-deny600 - 203.0.113.9 1.2 5712 x (null)\0");
    wait("the scan", || agent.root().join("var/run/.syscheck_run").exists());

    // Neither a replay nor garbage is obeyed.
    let agent_address = manager.agent.unwrap();
    manager.last = Counter { global: 0, local: 5 };
    manager.send(&ToAgent::Execd(b"host-deny600 - 203.0.113.10 1.2 5712 x (null)"));
    manager.socket.send_to(b"#AES:garbage", agent_address).unwrap();
    manager.last = Counter { global: 3, local: 0 };
    manager.until("rejections", |_| agent.account("rejected") == 2);
    assert!(execd.recv(&mut buffer).is_err(), "a replayed order was obeyed");
}

#[test]
fn the_second_manager_takes_over_when_the_first_does_not_answer() {
    let second: SocketAddr = free_address();
    let first = SocketAddr::new("127.0.0.2".parse().unwrap(), second.port());
    let mut agent = Agent::new(&[first, second], "");
    agent.start();
    let mut manager = Manager::listen(second);
    manager.until("hello to the second", |m| m.of("ossec").len() == 1);
    let log = agent.log();
    assert!(
        log.contains("(4101): WARN: Waiting for server reply (not started). Tried: '127.0.0.2'."),
        "{log}"
    );
    assert!(log.contains("Trying next server in the line: 'localhost'."), "{log}");
}

#[test]
fn an_orderly_stop_confirms_what_was_sent_and_gives_numbers_back() {
    let address = free_address();
    let mut agent = Agent::new(&[address], "");
    agent.start();
    let mut manager = Manager::listen(address);
    manager.until("start", |m| m.of("ossec").len() == 1);
    let pid = agent.process.as_ref().map(Child::id).unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut child = agent.process.take().unwrap();
    manager.until("the end", |_| child.try_wait().unwrap().is_some());
    assert_eq!(agent.account("waiting"), 0);
    let counter = fs::read_to_string(agent.root().join("queue/rids/sender_counter")).unwrap();
    assert!(Counter::parse(counter.as_bytes()).unwrap().local < 100, "{counter}");
}

#[test]
fn suspended_the_agent_keeps_events_back_and_the_manager_is_told_of_this_of_resuming_and_of_the_end()
 {
    let address = free_address();
    let mut agent = Agent::new(&[address], "");
    agent.start();
    let mut manager = Manager::listen(address);
    manager.until("start", |m| m.of("ossec").len() == 1);
    assert_eq!(manager.state(), Some(State::Running));
    agent.signal(rustix::process::Signal::USR2);
    manager.until("word of it", |m| m.state() == Some(State::Suspended));
    let mut sender = agent.collector("logcollector", 80);
    wait("acknowledgement", || {
        if sender.pending() == 0 && sender.acked() == 0 {
            offer(&mut sender, "while suspended");
        }
        sender.wait(Duration::from_millis(20)) == 1
    });
    // Whatever it would have sent by now comes before the answer to a question.
    manager.say(ToOurs::Prove(Nonce([3; 16])));
    manager.until("an answer", |m| !m.answers.is_empty());
    assert_eq!(manager.of("/var/log/x"), [""; 0]);
    agent.signal(rustix::process::Signal::USR2);
    manager.until("the event", |m| m.of("/var/log/x") == ["while suspended"]);
    assert_eq!(manager.state(), Some(State::Running));
    agent.signal(rustix::process::Signal::TERM);
    let mut child = agent.process.take().unwrap();
    manager.until("the end", |_| child.try_wait().unwrap().is_some());
    manager.turn();
    assert_eq!(manager.state(), Some(State::Exiting));
}

#[test]
fn an_agent_with_old_numbers_proves_itself_and_goes_on_above_what_the_manager_has_seen() {
    let address = free_address();
    let mut agent = Agent::new(&[address], "");
    let mut manager = Manager::listen(address);
    manager.mute = true;
    agent.start();
    manager.until("a report behind the second hello", |m| !m.keepalives.is_empty());
    assert!(manager.hellos >= 2);
    let (first, second) = (Nonce([1; 16]), Nonce([2; 16]));
    let upto = Counter { global: 70, local: 9000 };
    manager.say(ToOurs::Prove(first));
    manager.until("proof", |m| m.answers.iter().any(|(_, a)| *a == FromOurs::Proof(first)));
    manager.say(ToOurs::Advance { nonce: second, upto });
    manager.until("advance", |m| {
        m.answers.iter().any(|(by, a)| *a == FromOurs::Advanced(second) && *by > upto)
    });
    manager.mute = false;
    manager.until("connection", |m| m.of("ossec").len() == 1);
    let log = agent.log();
    assert!(log.contains("restored from an older image"), "{log}");
    wait("the account", || agent.account("advanced") == 1);
}

#[test]
fn an_agent_whose_key_another_host_uses_says_so_and_calls_slowly() {
    let address = free_address();
    let mut agent = Agent::new(&[address], "");
    let mut manager = Manager::listen(address);
    agent.start();
    manager.until("start", |m| m.of("ossec").len() == 1);
    manager.say(ToOurs::Cloned { other: b"10.0.0.7" });
    wait("the account", || agent.account("cloned") == 1 && agent.account("connected") == 0);
    let log = agent.log();
    assert!(log.contains("another host (10.0.0.7) uses its key"), "{log}");
}

#[test]
fn a_hangup_changes_the_manager_and_keeps_what_is_wrong_out() {
    let (first, second) = (free_address(), free_address());
    let mut agent = Agent::new(&[first], "");
    agent.start();
    let mut old = Manager::listen(first);
    old.until("start", |m| m.of("ossec").len() == 1);
    // What is not confirmed would be sent again.
    agent.signal(rustix::process::Signal::USR1);
    old.until("confirmation", |_| agent.account("confirmed") >= 1);
    let conf = agent.root().join("etc/ossec.conf");
    fs::write(&conf, "<ossec_config><client></ossec_config>").unwrap();
    agent.signal(rustix::process::Signal::HUP);
    wait("a complaint", || agent.log().contains("The configuration stays as it was."));
    let port = second.port();
    fs::write(&conf, format!("<ossec_config><client><server-ip>127.0.0.1</server-ip><bind_address>127.0.0.1</bind_address><port>{port}</port></client></ossec_config>")).unwrap();
    agent.signal(rustix::process::Signal::HUP);
    let mut new = Manager::listen(second);
    new.last = Counter { global: 2, local: 0 };
    new.until("the agent", |m| !m.keepalives.is_empty());
    wait("the account", || agent.account("connects") == 2);
    assert_eq!(new.of("ossec"), [""; 0], "it did not start again");
}

#[test]
fn sigusr1_asks_for_a_report_now() {
    let address = free_address();
    let mut agent = Agent::new(&[address], "");
    agent.start();
    let mut manager = Manager::listen(address);
    manager.until("start", |m| m.of("ossec").len() == 1);
    let before = manager.keepalives.len();
    agent.signal(rustix::process::Signal::USR1);
    manager.until("a report", |m| m.keepalives.len() > before);
}

#[test]
fn the_address_to_send_from_may_come_from_the_command_line() {
    let refused = |arguments: &[&str]| {
        let output = Command::new(program()).args(arguments).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused(&["-b"]).contains("requires an argument -- 'b'"));
    assert!(refused(&["-bnowhere"]).contains("Invalid ip address: 'nowhere'"));
    let address = free_address();
    let agent = Agent::new(&[address], "");
    let mut child = Command::new(program())
        .args(["-f", "-b", "127.0.0.9"])
        .env("OXSEC_ROOT", agent.root())
        .env("OXSEC_STAY_USER", "1")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut manager = Manager::listen(address);
    manager.until("hello", |m| m.hellos > 0);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(manager.agent.unwrap().ip().to_string(), "127.0.0.9");
}
