//! The real daemon on loopback, with agents made of `wire` and a consumer in analysisd's place.

mod support;

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;

use support::{Agent, Manager, wait_for};
use wire::control::ToAgent;
use wire::digest::Md5Hex;
use wire::key::Method;
use wire::shared::Assembler;

const KEYS: &str = "001 web01 127.0.0.1 410b7e43f7283ba4\n002 dyn01 any 03a5ff49152e21bb\n";

fn agents(manager: &Manager) -> (Agent, Agent) {
    let web = Agent::new(manager, "001", "web01", "410b7e43f7283ba4", Method::Blowfish, false);
    let dyn_ = Agent::new(manager, "002", "dyn01", "03a5ff49152e21bb", Method::Aes, true);
    (web, dyn_)
}

#[test]
fn events_of_both_ciphers_reach_the_consumer_and_controls_are_answered_by_their_own() {
    let manager = Manager::start(KEYS, "");
    let (mut web, mut dyn_) = agents(&manager);
    for agent in [&mut web, &mut dyn_] {
        agent.send(b"#!-agent startup ");
        assert_eq!(agent.receive(), ToAgent::Ack.to_bytes());
    }
    web.send(b"1:/var/log/auth.log:from web");
    dyn_.send(b"1:/var/log/auth.log:from dyn");
    manager.wait_for_event("1:(web01) 127.0.0.1->/var/log/auth.log:from web");
    manager.wait_for_event("1:(dyn01) any->/var/log/auth.log:from dyn");

    dyn_.send(b"#!-Linux dyn01 6 - OSSEC HIDS v4.2.0\nx merged.mg\n\ntail");
    assert_eq!(dyn_.receive(), ToAgent::Ack.to_bytes());
    wait_for("the agent-info file", || {
        manager.read("queue/agent-info/dyn01-any")
            == "Linux dyn01 6 - OSSEC HIDS v4.2.0\ncrypto_method:aes\n"
    });
    manager.wait_until_balanced();
    assert_eq!(manager.account("forwarded"), 2);
}

#[test]
fn replays_wrong_keys_and_garbage_change_nothing_and_are_named() {
    let manager = Manager::start(KEYS, "");
    let (mut web, _) = agents(&manager);
    let first = web.send(b"1:a:first");
    web.send_again(&first);
    let mut thief = Agent::new(&manager, "001", "web01", "another key", Method::Aes, false);
    thief.send(b"1:a:forged");
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for garbage in [&b"!777!:x"[..], b"!", b"GET / HTTP/1.0", &[0; 6000], &[b'#'; 9000], b""] {
        stranger.send_to(garbage, ("127.0.0.1", manager.port)).unwrap();
    }
    web.send(b"1:a:second");
    manager.wait_for_event("1:(web01) 127.0.0.1->a:second");
    assert_eq!(manager.events(), ["1:(web01) 127.0.0.1->a:first", "1:(web01) 127.0.0.1->a:second"]);
    for line in [
        "(1407): ERROR: Duplicated counter for 'web01'.",
        "(1404): ERROR: Authentication error. Wrong key from '127.0.0.1'.",
        "(1408): ERROR: Invalid ID 777 for the source ip: '127.0.0.1'.",
        "(1403): ERROR: Incorrectly formatted message from '127.0.0.1'.",
        "INFO: agent 001 'web01' (127.0.0.1), from 127.0.0.1: the key of the agent is another one",
    ] {
        assert!(manager.log().contains(line), "{line}\n{}", manager.log());
    }
    manager.wait_until_balanced();
    assert_eq!(manager.account("received"), 9);
    assert_eq!(manager.account("dropped_counter"), 1);
}

#[test]
fn keys_are_added_and_removed_at_run_time() {
    let manager = Manager::start(KEYS, "");
    let (mut web, mut dyn_) = agents(&manager);
    web.send(b"1:a:1");
    dyn_.send(b"1:a:2");
    manager.wait_for_event("1:(dyn01) any->a:2");
    manager.write(
        "etc/client.keys",
        "001 #*#*#*#*#*#*#*#*#*#*#\n002 dyn01 any 03a5ff49152e21bb\n003 new03 any abcd\n",
    );
    wait_for("the reading of the keys", || {
        manager.log().contains("Removed: 1 of the agents (001).")
    });
    web.send(b"1:a:3");
    let mut new = Agent::new(&manager, "003", "new03", "abcd", Method::Aes, true);
    new.send(b"1:a:4");
    manager.wait_for_event("1:(new03) any->a:4");
    dyn_.send(b"1:a:5");
    manager.wait_for_event("1:(dyn01) any->a:5");
    assert!(!manager.events().iter().any(|event| event.ends_with("a:3")));
    wait_for("the refusal", || {
        manager.log().contains("(1213): WARN: Message from '127.0.0.1' not allowed.")
    });
    assert!(!manager.root().join("queue/rids/001").exists());
}

#[test]
fn a_file_of_keys_that_is_gone_for_a_moment_opens_no_way_for_a_replay() {
    let manager = Manager::start(KEYS, "");
    let (mut web, _) = agents(&manager);
    let first = web.send(b"1:a:first");
    manager.wait_for_event("1:(web01) 127.0.0.1->a:first");
    manager.write("etc/client.keys", "");
    wait_for("the empty file", || manager.log().contains("Removed: 2 of the agents"));
    manager.write("etc/client.keys", KEYS);
    wait_for("the file", || manager.log().contains("Added: 2 of the agents"));
    web.send_again(&first);
    web.send(b"1:a:second");
    manager.wait_for_event("1:(web01) 127.0.0.1->a:second");
    assert_eq!(manager.events().len(), 2);

    // With another key the agent begins anew, from 0:1.
    manager.write("etc/client.keys", "001 web01 127.0.0.1 other\n");
    wait_for("the other key", || manager.log().contains("Changed: 1 of the agents (001)"));
    let mut again = Agent::new(&manager, "001", "web01", "other", Method::Aes, false);
    again.send(b"1:a:third");
    manager.wait_for_event("1:(web01) 127.0.0.1->a:third");
}

#[test]
fn an_agent_whose_numbers_cannot_be_read_is_not_heard_until_they_can() {
    let manager = Manager::start(KEYS, "");
    let (mut web, mut dyn_) = agents(&manager);
    let in_the_way = manager.root().join("queue/rids/001");
    std::fs::create_dir(&in_the_way).unwrap();
    web.send(b"1:a:unheard");
    wait_for("the complaint", || {
        manager.log().contains("(1103): ERROR: Could not open file 'queue/rids/001' due to")
    });
    std::fs::remove_dir(&in_the_way).unwrap();
    web.send(b"1:a:heard");
    dyn_.send(b"1:a:heard");
    manager.wait_for_event("1:(dyn01) any->a:heard");
    assert_eq!(manager.events(), ["1:(web01) 127.0.0.1->a:heard", "1:(dyn01) any->a:heard"]);
    manager.wait_until_balanced();
}

#[test]
fn an_acknowledgement_waits_for_the_events_before_it() {
    let mut manager = Manager::start_alone(KEYS);
    let (mut web, mut dyn_) = agents(&manager);
    dyn_.send(b"#!-agent startup ");
    assert_eq!(dyn_.receive(), ToAgent::Ack.to_bytes(), "nothing came before it");
    web.send(b"1:a:event");
    web.send(b"#!-agent startup ");
    assert!(web.hears_nothing());
    manager.consume();
    assert_eq!(web.receive(), ToAgent::Ack.to_bytes());
    manager.wait_for_event("1:(web01) 127.0.0.1->a:event");
}

#[test]
fn a_killed_daemon_takes_no_replay_after_its_restart() {
    let mut manager = Manager::start(KEYS, "");
    let (mut web, _) = agents(&manager);
    let first = web.send(b"1:a:first");
    manager.wait_for_event("1:(web01) 127.0.0.1->a:first");
    manager.restart_by_kill();
    web.send_again(&first);
    web.send(b"1:a:second");
    manager.wait_for_event("1:(web01) 127.0.0.1->a:second");
    assert_eq!(manager.events().len(), 2);
    assert!(manager.log().contains("(1407): ERROR: Duplicated counter for 'web01'."));
}

#[test]
fn shared_files_are_pushed_to_who_has_others() {
    let manager = Manager::start(KEYS, "");
    let text = "line of a shared file\n".repeat(500);
    manager.write("etc/shared/agent.conf", &text);
    wait_for("the packed files", || manager.log().contains("The shared files changed"));
    let (_, mut agent) = agents(&manager);
    agent.send(b"#!-Linux x - OSSEC HIDS v4.2.0\nx merged.mg\n\n");
    let mut assembler = Assembler::new(1 << 20);
    let file = loop {
        let message = agent.receive();
        match ToAgent::parse(&message) {
            ToAgent::FileBegin { sum, name } => assembler.begin(sum, name).unwrap(),
            ToAgent::FilePiece(bytes) => assembler.piece(bytes).unwrap(),
            ToAgent::FileEnd => break assembler.end().unwrap(),
            other => assert_eq!(other, ToAgent::Ack),
        }
    };
    assert_eq!(file.name, "merged.mg");
    assert_eq!(
        String::from_utf8(file.content.clone()).unwrap(),
        format!("!{} agent.conf\n{text}", text.len())
    );
    // Who has it gets an acknowledgement only.
    let sum = Md5Hex::of(&file.content);
    agent.send(format!("#!-Linux x - OSSEC HIDS v4.2.0\n{sum} merged.mg\n\n").as_bytes());
    assert_eq!(agent.receive(), ToAgent::Ack.to_bytes());
    wait_for("the count", || manager.account("pushes_done") == 1);
}

#[test]
fn requests_reach_one_agent_or_all_who_speak() {
    let manager = Manager::start(KEYS, "");
    let (mut web, mut dyn_) = agents(&manager);
    for agent in [&mut web, &mut dyn_] {
        agent.send(b"#!-agent startup ");
        assert_eq!(agent.receive(), ToAgent::Ack.to_bytes());
    }
    let socket = UnixDatagram::unbound().unwrap();
    let ask = |text: &str| {
        socket.send_to(text.as_bytes(), manager.root().join(remoted::REQUESTS)).unwrap()
    };
    ask(
        "(web01) any->/var/log/a NRN (null) host-deny600 - 203.0.113.9 1763719200.42 5712 (web01) any->/var/log/a (null)",
    );
    let expected =
        "#!-execd host-deny600 - 203.0.113.9 1763719200.42 5712 (web01) any->/var/log/a (null)";
    assert_eq!(String::from_utf8(web.receive()).unwrap(), expected);
    ask("(msg_to_agent) [] A!N (null) syscheck restart");
    assert_eq!(web.receive(), ToAgent::SyscheckRestart.to_bytes());
    assert_eq!(dyn_.receive(), ToAgent::SyscheckRestart.to_bytes());
    ask("(msg_to_agent) [] NNS 002 restart-ossec0 - null (from_the_server) (no_rule_id)");
    assert_eq!(dyn_.receive(), ToAgent::Execd(wire::control::RESTART).to_bytes());
    ask("(msg_to_agent) [] N!S 009 syscheck restart");
    ask("nonsense");
    wait_for("the complaints", || {
        let log = manager.log();
        log.contains("(1320): ERROR: Agent '009' not found.")
            && log.contains("(1310): WARN: Invalid active response (execd) message 'nonsense'.")
    });
}

#[test]
fn a_request_waits_for_an_agent_that_was_not_heard_or_has_left() {
    let manager = Manager::start(KEYS, "");
    let (mut web, mut dyn_) = agents(&manager);
    let socket = UnixDatagram::unbound().unwrap();
    let ask = |text: &str| {
        socket.send_to(text.as_bytes(), manager.root().join(remoted::REQUESTS)).unwrap()
    };
    let startup = |agent: &mut Agent| {
        agent.send(b"#!-agent startup ");
        assert_eq!(agent.receive(), ToAgent::Ack.to_bytes());
    };
    let keepalive = |agent: &mut Agent, state: &str| {
        let text = format!("#!-Linux x - X\nx merged.mg\n\noxsec=1;{state};00000001;tail");
        agent.send(text.as_bytes());
        assert_eq!(agent.receive(), ToAgent::Ack.to_bytes());
        let end = format!("oxsec=1;{state};00000001;\n");
        wait_for("the note", || manager.read("queue/agent-info/web01-127.0.0.1").contains(&end));
    };
    ask("(msg_to_agent) [] A!N (null) syscheck restart");
    ask("(msg_to_agent) [] N!S 001 syscheck restart");
    ask("(msg_to_agent) [] NNS 002 restart-ossec0 - null (from_the_server) (no_rule_id)");
    let kept = "Agent 001 cannot be reached now: 'syscheck restart' is kept for it for 20 minutes.";
    wait_for("the lines", || manager.log().contains(kept));
    startup(&mut web);
    assert_eq!(web.receive(), ToAgent::SyscheckRestart.to_bytes());
    startup(&mut dyn_);
    assert_eq!(dyn_.receive(), ToAgent::SyscheckRestart.to_bytes());
    assert_eq!(dyn_.receive(), ToAgent::Execd(wire::control::RESTART).to_bytes());

    keepalive(&mut web, "exiting");
    ask("(msg_to_agent) [] N!S 001 syscheck digest");
    wait_for("the line", || manager.log().contains("Agent 001 cannot be reached now: 'syscheck d"));
    startup(&mut web);
    assert!(web.hears_nothing(), "asked once or before it has said whose it is");
    keepalive(&mut web, "running");
    assert_eq!(web.receive(), b"#!-syscheck digest");
}

#[test]
fn syslog_comes_by_datagrams_and_streams_from_who_may_send() {
    let syslog = "<remote><connection>syslog</connection><port>{syslog}</port><allowed-ips>127.0.0.1</allowed-ips></remote>\
         <remote><connection>syslog</connection><protocol>tcp</protocol><port>{syslog}</port><local_ip>127.0.0.1</local_ip></remote>";
    let manager = Manager::start(KEYS, syslog);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .send_to(b"<13>Nov 21 10:00:00 h p[1]: udp one\n", ("127.0.0.1", manager.syslog))
        .unwrap();
    manager.wait_for_event("2:127.0.0.1:Nov 21 10:00:00 h p[1]: udp one");
    let mut stream = TcpStream::connect(("127.0.0.1", manager.syslog)).unwrap();
    stream.write_all(b"<14>tcp one\na\nb\r\npart ").unwrap();
    manager.wait_for_event("2:127.0.0.1:b");
    stream.write_all(b"ial\n").unwrap();
    manager.wait_for_event("2:127.0.0.1:part ial");

    if let Ok(denied) = UdpSocket::bind("127.0.0.2:0") {
        denied.send_to(b"denied", ("127.0.0.1", manager.syslog)).unwrap();
        wait_for("the refusal", || {
            manager.log().contains("(1213): WARN: Message from '127.0.0.2' not allowed.")
        });
    }
    assert_eq!(manager.events().len(), 5);
    manager.wait_until_balanced();
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let refused = |remote: &str| Manager::check(KEYS, remote);
    assert!(refused("<remote><port>1</port></remote>").contains("(1201)"));
    assert!(refused("<remote><connection>syslog</connection></remote>").contains("(1501)"));
    assert_eq!(refused("<remote><connection>secure</connection></remote>"), "");
}
