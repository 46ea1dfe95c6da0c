//! The server in this process: texts as they are on the wire, both versions of TLS, and peers that waste its time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agents::KeyStore;
use authd::credentials::{self, Credentials};
use authd::enrol::Duplicates;
use authd::limits::Limits;
use authd::server::{Access, Server, Setup};
use authd::tls::{self, Trust, Verifier};
use rustls::{ClientConnection, ProtocolVersion, StreamOwned, SupportedProtocolVersion};

struct World {
    root: tempfile::TempDir,
    listener: TcpListener,
    server: Server,
}

impl World {
    fn new(limits: Limits) -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["etc", "var/run"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let (certificate, key) = (root.path().join("etc/c"), root.path().join("etc/k"));
        credentials::make_missing(&certificate, &key, None).unwrap();
        let own = Credentials::read(&certificate, &key).unwrap();
        let server = Server::start(Setup {
            keys: KeyStore::at(root.path()),
            access: Access {
                tls: Arc::new(tls::server(tls::provider(None), own, None).unwrap()),
                password: None,
            },
            use_source: false,
            duplicates: Duplicates::Number,
            limits,
        })
        .unwrap();
        Self { root, listener: TcpListener::bind("127.0.0.1:0").unwrap(), server }
    }

    /// Connects, and hands the other end to the server as if it came from `source`.
    fn connect_as(&self, source: &str) -> TcpStream {
        let tcp = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        let (other, _) = self.listener.accept().unwrap();
        self.server.admit(other, source.parse().unwrap());
        tcp.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        tcp
    }

    fn account(&self, of: &str) -> u64 {
        self.server.accounts().iter().find(|(name, _)| *name == of).unwrap().1
    }

    fn agents(&self) -> usize {
        KeyStore::at(self.root.path()).read().unwrap().agents().count()
    }
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn tls_over(tcp: TcpStream, version: &'static SupportedProtocolVersion) -> Tls {
    let provider = tls::provider(None);
    let verifier = Arc::new(Verifier::new(Trust::Anyone, Arc::clone(&provider)));
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), tcp)
}

/// The answer, and whether TLS was ended in good order.
fn exchange(mut tls: Tls, question: &[u8]) -> (String, bool) {
    tls.write_all(question).unwrap();
    let mut answer = Vec::new();
    let ended = tls.read_to_end(&mut answer).is_ok();
    (String::from_utf8(answer).unwrap(), ended)
}

#[test]
fn both_versions_of_tls_are_spoken_and_only_a_key_ends_in_good_order() {
    let world = World::new(Limits::of(2, 16));
    for (version, expected, id) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2, 1024),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3, 1025),
    ] {
        let mut tls = tls_over(world.connect_as("10.9.1.99"), version);
        tls.conn.complete_io(&mut tls.sock).unwrap();
        assert_eq!(tls.conn.protocol_version(), Some(expected));
        let (answer, ended) = exchange(tls, b"OSSEC A:'web01'\n");
        assert!(answer.starts_with(&format!("OSSEC K:'{id} web01")), "{answer}");
        assert!(answer.ends_with("'\n\n") && ended);
        let bad = tls_over(world.connect_as("10.9.1.99"), version);
        let (answer, ended) = exchange(bad, b"OSSEC A:'bad name'\n");
        let expected = "ERROR: Invalid agent name: bad name\n\nERROR: Unable to add agent.\n\n";
        assert_eq!((answer.as_str(), ended), (expected, false));
    }
    let malformed = tls_over(world.connect_as("10.9.1.99"), &rustls::version::TLS13);
    assert_eq!(exchange(malformed, b"HELLO\n"), (String::new(), false));
    assert_eq!(world.agents(), 2);
}

#[test]
fn a_question_in_pieces_is_answered_and_an_endless_one_is_not() {
    let world = World::new(Limits::of(2, 16));
    let mut tls = tls_over(world.connect_as("10.9.1.99"), &rustls::version::TLS13);
    for byte in b"OSSEC A:'web01" {
        tls.write_all(&[*byte]).unwrap();
        tls.flush().unwrap();
    }
    // No newline: the closing quote is enough.
    let (answer, _) = exchange(tls, b"'");
    assert!(answer.starts_with("OSSEC K:'1024 web01 any "), "{answer}");
    let mut tls = tls_over(world.connect_as("10.9.1.99"), &rustls::version::TLS13);
    let mut long = b"OSSEC A:'".to_vec();
    long.resize(5000, b'a');
    let _ = tls.write_all(&long);
    let mut answer = Vec::new();
    let _ = tls.read_to_end(&mut answer);
    assert_eq!(answer, b"");
    assert_eq!(world.agents(), 1);
}

#[test]
fn slow_ones_are_closed_in_time_and_keep_nobody_else_waiting() {
    let limits = Limits { time: Duration::from_secs(3), ..Limits::of(2, 16) };
    let world = World::new(limits);
    let start = Instant::now();
    // One address: it gets one worker of two, its other connections wait.
    let slow: Vec<TcpStream> = (0..4).map(|_| world.connect_as("10.9.1.66")).collect();
    let (answer, _) = exchange(
        tls_over(world.connect_as("10.9.1.99"), &rustls::version::TLS13),
        b"OSSEC A:'web01'\n",
    );
    assert!(answer.starts_with("OSSEC K:'1024 "), "{answer}");
    assert!(start.elapsed() < limits.time, "{:?}", start.elapsed());
    // A byte now and then prolongs nothing.
    for mut tcp in slow {
        let _ = tcp.write_all(&[0x16]);
        let mut answer = Vec::new();
        let _ = tcp.read_to_end(&mut answer);
        assert_eq!(answer, b"");
    }
    assert!(start.elapsed() < limits.time * 3, "{:?}", start.elapsed());
}

#[test]
fn one_address_can_neither_fill_the_waiting_room_nor_guess_for_ever() {
    let limits = Limits { failures: 3, ..Limits::of(1, 4) };
    let world = World::new(limits);
    for _ in 0..3 {
        let tls = tls_over(world.connect_as("10.9.1.66"), &rustls::version::TLS13);
        assert_eq!(exchange(tls, b"HELLO\n"), (String::new(), false));
    }
    // The failure is counted once the worker is through with the connection.
    let end = Instant::now() + Duration::from_secs(30);
    while world.account("dropped_failed") < 3 && Instant::now() < end {
        std::thread::yield_now();
    }
    let mut refused = world.connect_as("10.9.1.66");
    assert_eq!(refused.read(&mut [0]).unwrap(), 0);
    assert_eq!(world.account("dropped_excess"), 1);
    let crowd: Vec<TcpStream> = (0..8).map(|_| world.connect_as("10.9.1.67")).collect();
    // One worked on, two waiting: the others were closed.
    let excess = world.account("dropped_excess");
    assert!((6..=7).contains(&excess), "{excess}");
    drop(crowd);
    let (answer, _) = exchange(
        tls_over(world.connect_as("10.9.1.99"), &rustls::version::TLS12),
        b"OSSEC A:'web01'\n",
    );
    assert!(answer.starts_with("OSSEC K:'1024 "), "{answer}");
    let accounts = world.server.accounts();
    let ends: u64 = accounts.iter().filter(|(name, _)| *name != "received").map(|(_, n)| n).sum();
    assert_eq!((world.account("received"), ends), (13, 13), "{accounts:?}");
}
