//! An install root with the real daemon in it, a consumer of its events, and agents that speak to it.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a panic is the report")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ipc::ended::Mark;
use ipc::{Ended, Receiver};
use mio::{Events, Poll, Token};
use wire::counter::Counter;
use wire::datagram::{Addressed, Sealed};
use wire::key::{AgentCipher, Method};
use wire::sealed::{Opener, Sealer, Sealing};

const DEADLINE: Duration = Duration::from_secs(30);

/// The daemon, its root and its consumer.
pub(crate) struct Manager {
    dir: tempfile::TempDir,
    daemon: Option<Child>,
    events: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    consumer: Option<JoinHandle<()>>,
    /// Of agents.
    pub(crate) port: u16,
    /// Of syslog, UDP and TCP.
    pub(crate) syslog: u16,
}

impl Manager {
    /// With these keys, one block for agents, and what `more` adds.
    pub(crate) fn start(keys: &str, more: &str) -> Self {
        let mut manager = Self::lay_out(keys, more, true);
        manager.consume();
        manager.launch();
        manager
    }

    /// The same with nobody in analysisd's place.
    pub(crate) fn start_alone(keys: &str) -> Self {
        let mut manager = Self::lay_out(keys, "", true);
        manager.launch();
        manager
    }

    /// What `-t` says about a configuration; empty when it is right.
    pub(crate) fn check(keys: &str, remote: &str) -> String {
        let manager = Self::lay_out(keys, remote, false);
        let output = manager.command().arg("-t").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.success(), said.is_empty(), "{said}");
        said
    }

    /// What a start says that comes to nothing.
    pub(crate) fn start_in_vain(keys: &str, remote: &str) -> String {
        let manager = Self::lay_out(keys, remote, false);
        let output = manager.command().arg("-f").output().unwrap();
        assert!(!output.status.success());
        format!("{}{}", String::from_utf8_lossy(&output.stderr), manager.log())
    }

    fn lay_out(keys: &str, more: &str, agents: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folders = [
            "etc/shared",
            "logs",
            "queue/ossec",
            "queue/alerts",
            "queue/rids",
            "queue/agent-info",
            "var/run",
        ];
        for folder in folders {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let (port, syslog) = (free_port(), free_port());
        let agents_door =
            format!("<remote><connection>secure</connection><port>{port}</port></remote>");
        let more = more.replace("{syslog}", &syslog.to_string());
        let manager = Self {
            dir,
            daemon: None,
            events: Arc::default(),
            stop: Arc::default(),
            consumer: None,
            port,
            syslog,
        };
        let doors = if agents { agents_door } else { String::new() };
        manager.write(
            "etc/ossec.conf",
            &format!("<ossec_config>\n{doors}\n{more}\n</ossec_config>\n"),
        );
        manager.write("etc/client.keys", keys);
        manager
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        fs::write(self.root().join(path), text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap_or_default()
    }

    pub(crate) fn log(&self) -> String {
        self.read("logs/ossec.log")
    }

    /// Events so far, in the form of the old queue.
    pub(crate) fn events(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }

    pub(crate) fn wait_for_event(&self, event: &str) {
        wait_for(event, || self.events().iter().any(|one| one == event));
    }

    pub(crate) fn account(&self, key: &str) -> u64 {
        let accounts = runtime::accounts::read(self.root(), "ossec-remoted").unwrap_or_default();
        accounts.into_iter().find(|(name, _)| name == key).map_or(0, |(_, count)| count)
    }

    /// Until all that was received is accounted for and has arrived.
    pub(crate) fn wait_until_balanced(&self) {
        let events = self.events().len() as u64;
        wait_for("the accounts", || {
            let accounts =
                runtime::accounts::read(self.root(), "ossec-remoted").unwrap_or_default();
            let is_end = |key: &str| {
                matches!(key, "forwarded" | "filtered" | "pending") || key.starts_with("dropped_")
            };
            let ended: u64 =
                accounts.iter().filter(|(key, _)| is_end(key)).map(|(_, count)| count).sum();
            let received = self.account("received");
            assert_eq!(received, ended, "{accounts:?}");
            received > 0 && self.account("forwarded") == events && self.account("pending") == 0
        });
    }

    /// As `kill -9` does it, and a new start.
    pub(crate) fn restart_by_kill(&mut self) {
        self.end();
        self.launch();
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_remoted-under-test"));
        command.arg("-D").arg(self.root()).env("OXSEC_STAY_USER", "1").env_remove("NOTIFY_SOCKET");
        command
    }

    fn launch(&mut self) {
        let before = self.log().matches("Started (pid:").count();
        let mut command = self.command();
        let child = command
            .arg("-f")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.daemon = Some(child.unwrap());
        wait_for("the daemon's start", || self.log().matches("Started (pid:").count() > before);
    }

    fn end(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }

    pub(crate) fn consume(&mut self) {
        let (root, events, stop) =
            (self.root().to_path_buf(), self.events.clone(), self.stop.clone());
        self.consumer = Some(std::thread::spawn(move || consume(&root, &events, &stop)));
        let socket = self.root().join(ipc::paths::EVENTS);
        wait_for("the consumer", || socket.exists());
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- ossec.log\n{}\n--- events\n{:#?}", self.log(), self.events.lock());
        }
        self.end();
        self.stop.store(true, Ordering::Relaxed);
        if let Some(consumer) = self.consumer.take() {
            let _ = consumer.join();
        }
    }
}

fn consume(root: &Path, events: &Mutex<Vec<String>>, stop: &AtomicBool) {
    let mut poll = Poll::new().unwrap();
    let path = root.join(ipc::paths::ENDED);
    let mut ended = Ended::open(&path).unwrap();
    let before = Ended::open(&path).unwrap();
    let socket = root.join(ipc::paths::EVENTS);
    let mut receiver = Receiver::bind(&socket, before, poll.registry(), Token(0)).unwrap();
    let mut ready = Events::with_capacity(64);
    while !stop.load(Ordering::Relaxed) {
        let _ = poll.poll(&mut ready, Some(Duration::from_millis(5)));
        for event in &ready {
            receiver.on_event(event.token());
        }
        let mut last = None;
        receiver.work(poll.registry(), &mut |delivery| {
            let mut text = Vec::new();
            delivery.event.write(&mut text);
            events.lock().unwrap().push(String::from_utf8_lossy(&text).into_owned());
            last = Some((delivery.source.clone(), delivery.number));
            true
        });
        if let Some((source, upto)) = last {
            ended.end(&[Mark { name: source.name(), stream: source.stream(), upto }]).unwrap();
            source.end(upto);
        }
        receiver.acknowledge();
    }
}

/// An agent that does what a test says.
pub(crate) struct Agent {
    socket: UdpSocket,
    /// Id, name, key.
    line: [String; 3],
    cipher: AgentCipher,
    method: Method,
    with_id: bool,
    counter: Counter,
    sealer: Sealer,
    opener: Opener,
}

impl Agent {
    pub(crate) fn new(
        manager: &Manager,
        id: &str,
        name: &str,
        key: &str,
        method: Method,
        with_id: bool,
    ) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(("127.0.0.1", manager.port)).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let cipher = AgentCipher::new(id.as_bytes(), name.as_bytes(), key.as_bytes());
        let counter = Counter::default();
        Self {
            socket,
            line: [id, name, key].map(str::to_owned),
            cipher,
            method,
            with_id,
            counter,
            sealer: Sealer::new(),
            opener: Opener::new(),
        }
    }

    /// The same agent as it was at this number, or another host with its image: from a port of its own.
    pub(crate) fn image(&self, manager: &Manager, counter: Counter) -> Self {
        let [id, name, key] = &self.line;
        let mut image = Self::new(manager, id, name, key, self.method, self.with_id);
        image.counter = counter;
        image
    }

    /// The number of the last message.
    pub(crate) fn counter(&self) -> Counter {
        self.counter
    }

    /// Goes on behind this number.
    pub(crate) fn jump(&mut self, counter: Counter) {
        self.counter = counter;
    }

    /// Sends a message; gives the datagram.
    pub(crate) fn send(&mut self, message: &[u8]) -> Vec<u8> {
        self.counter = self.counter.next().unwrap();
        let sealing = Sealing {
            method: self.method,
            with_id: self.with_id,
            counter: self.counter,
            random: 7,
            iv: [self.counter.local as u8; 16],
        };
        let datagram = self.sealer.seal(&self.cipher, &sealing, message).unwrap().to_vec();
        self.send_again(&datagram);
        datagram
    }

    pub(crate) fn send_again(&self, datagram: &[u8]) {
        self.socket.send(datagram).unwrap();
    }

    /// Whether nothing comes for half a second.
    pub(crate) fn hears_nothing(&self) -> bool {
        self.socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let came = self.socket.peek(&mut [0; 1]);
        self.socket.set_read_timeout(Some(DEADLINE)).unwrap();
        came.is_err()
    }

    /// The next message of the manager, opened as an agent of the original does: by its own method, at most 1024 bytes.
    pub(crate) fn receive(&mut self) -> Vec<u8> {
        let mut buffer = [0; 1024];
        let len = self.socket.recv(&mut buffer).unwrap();
        let addressed = Addressed::parse(&buffer[..len]).unwrap();
        assert_eq!(addressed.id, None);
        let sealed = Sealed::parse(addressed.rest).unwrap();
        assert_eq!(sealed.method, self.method);
        self.opener.open(&self.cipher, &sealed).unwrap().message.to_vec()
    }
}

/// Looks until `is_so`, with a deadline.
pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A port that neither UDP nor TCP has at the moment.
fn free_port() -> u16 {
    loop {
        let socket = UdpSocket::bind("[::]:0").or_else(|_| UdpSocket::bind("0.0.0.0:0")).unwrap();
        let port = socket.local_addr().unwrap().port();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
