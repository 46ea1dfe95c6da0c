//! A server: what an agent reports becomes an alert, and the response goes back to it; nothing that the queue took is lost.

use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

use wire::control::{FromAgent, ToAgent};
use wire::counter::Counter;
use wire::datagram::{Addressed, Sealed};
use wire::key::{AgentCipher, Method};
use wire::sealed::{Opener, Sealer, Sealing};

use crate::harness::{PATIENCE, Suite};

const CONF: &str = "<ossec_config>
  {rules}
  <syscheck><disabled>yes</disabled></syscheck>
  <remote><connection>secure</connection><port>{port}</port><local_ip>127.0.0.1</local_ip></remote>
  <command><name>note</name><executable>note.sh</executable><expect>srcip</expect></command>
  <active-response><command>note</command><location>local</location><rules_id>5716</rules_id></active-response>
</ossec_config>
";
const FAILED: &str =
    "Nov 14 22:13:20 web1 sshd[1]: Failed password for root from 203.0.113.9 port 1 ssh2";

/// An agent of the server under test.
struct Agent {
    socket: UdpSocket,
    cipher: AgentCipher,
    counter: Counter,
    sealer: Sealer,
}

impl Agent {
    fn new(port: u16) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.connect(("127.0.0.1", port)).expect("the server's port");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        let cipher = AgentCipher::new(b"001", b"web01", b"7f2a");
        Self { socket, cipher, counter: Counter::default(), sealer: Sealer::new() }
    }

    fn send(&mut self, message: &[u8]) {
        self.counter = self.counter.next().expect("a number");
        let sealing = Sealing {
            method: Method::Aes,
            with_id: true,
            counter: self.counter,
            random: 1,
            iv: [7; 16],
        };
        let datagram = self.sealer.seal(&self.cipher, &sealing, message).expect("a message");
        self.socket.send(datagram).expect("the server listens");
    }

    fn receive(&self) -> Vec<u8> {
        let mut buffer = [0; 1024];
        let len = self.socket.recv(&mut buffer).expect("an answer in time");
        let addressed = Addressed::parse(&buffer[..len]).expect("a datagram");
        let sealed = Sealed::parse(addressed.rest).expect("a sealed message");
        Opener::new().open(&self.cipher, &sealed).expect("an authentic message").message.to_vec()
    }
}

/// A server with one agent, started; its port.
fn server() -> (Suite, u16) {
    let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let port = free.expect("a free port").port();
    let suite = Suite::new(&CONF.replace("{port}", &port.to_string()));
    fs::write(suite.root().join("etc/ossec-init.conf"), "TYPE=\"server\"\n").expect("type");
    fs::write(suite.root().join("etc/client.keys"), "001 web01 any 7f2a\n").expect("keys");
    suite.start();
    (suite, port)
}

#[test]
fn an_agents_line_becomes_an_alert_and_the_response_goes_back_to_the_agent() {
    let (suite, port) = server();
    let mut agent = Agent::new(port);
    let mut startup = Vec::new();
    FromAgent::Startup.write(&mut startup);
    agent.send(&startup);
    assert_eq!(agent.receive(), ToAgent::Ack.to_bytes());
    agent.send(format!("1:/var/log/auth.log:{FAILED}").as_bytes());
    suite.until_alert(5716, "(web01) any->/var/log/auth.log");
    let order = agent.receive();
    let order = String::from_utf8_lossy(&order);
    assert!(order.starts_with("#!-execd note0 - 203.0.113.9 "), "{order}");
    assert!(order.contains(" 5716 (web01) any->/var/log/auth.log "), "{order}");
}

#[test]
fn what_remoted_took_arrives_though_analysisd_is_killed() {
    const LINES: usize = 4000;
    let (suite, port) = server();
    let mut agent = Agent::new(port);
    for line in 0..LINES {
        agent.send(format!("1:/var/log/auth.log:{FAILED} line {line}").as_bytes());
        if line % 1000 == 500 {
            suite.until("analysisd", || suite.kill("ossec-analysisd"));
        }
        // A pace that the socket's buffer bears, as the test is not about the network.
        if line % 50 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    suite.until("all events", || {
        let state = suite.read("var/run/ossec-remoted.state");
        state.contains(&format!("\nforwarded={LINES}\n")) && state.contains("\npending=0\n")
    });
    suite.assert_balanced("ossec-remoted");
    assert_eq!(suite.account("ossec-remoted", "agents_missing"), 0);
    let agents = suite.read("var/run/ossec-remoted.agents");
    assert!(
        agents.starts_with(&format!("001 web01 any accepted={LINES} refused=0 missing=0 ")),
        "{agents}"
    );
}
