//! The real daemon and agents that were restored, cloned or recorded.

#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod support;

use support::{Agent, Manager, wait_for};
use wire::control::{FromAgent, ToAgent, text};
use wire::counter::Counter;
use wire::key::Method;
use wire::ours::{FromOurs, Nonce, ToOurs};

const KEYS: &str = "001 web01 any 410b7e43f7283ba4\n";
const OURS: &[u8] =
    b"#!-Linux web01 6 - OSSEC HIDS v4.2.0\nx merged.mg\n\noxsec=1;running;0000beef;tail";
const THEIRS: &[u8] = b"#!-Linux web01 6 - OSSEC HIDS v4.2.0\nx merged.mg\n\ntail";
const HELLO: &[u8] = b"#!-agent startup ";

fn agent(manager: &Manager) -> Agent {
    Agent::new(manager, "001", "web01", "410b7e43f7283ba4", Method::Aes, true)
}

/// An agent that has been heard, with a number well above the first.
fn heard(manager: &Manager, keepalive: &[u8]) -> Agent {
    let mut agent = agent(manager);
    for message in [HELLO, keepalive] {
        agent.send(message);
        assert_eq!(agent.receive(), ToAgent::Ack.to_bytes());
    }
    agent.send(b"1:a:first");
    manager.wait_for_event("1:(web01) any->a:first");
    agent
}

fn question(agent: &mut Agent) -> Nonce {
    let message = agent.receive();
    match ToOurs::parse(text(&message).unwrap()) {
        Some(ToOurs::Prove(nonce)) => nonce,
        other => panic!("{other:?} {}", message.escape_ascii()),
    }
}

fn answer(agent: &mut Agent, answer: FromOurs) {
    let mut text = Vec::new();
    answer.write(&mut text);
    let mut message = Vec::new();
    FromAgent::Keepalive(&text).write(&mut message);
    agent.send(&message);
}

/// The next message that is no repeated question.
fn told(agent: &mut Agent) -> Vec<u8> {
    loop {
        let message = agent.receive();
        if !matches!(text(&message).and_then(ToOurs::parse), Some(ToOurs::Prove(_))) {
            return message;
        }
    }
}

fn wait_for_alert(manager: &Manager, start: &str) {
    let start = format!("1:web01-any->ossec-remoted:ossec: {start}");
    wait_for(&start, || manager.events().iter().any(|event| event.starts_with(&start)));
}

#[test]
fn a_restored_agent_of_ours_is_named_and_finds_its_way_back() {
    let manager = Manager::start(KEYS, "");
    let old = heard(&manager, OURS);
    let mut restored = old.image(&manager, Counter::default());
    drop(old);
    restored.send(HELLO);
    let nonce = question(&mut restored);
    answer(&mut restored, FromOurs::Proof(nonce));
    let message = told(&mut restored);
    let Some(ToOurs::Advance { nonce, upto }) = ToOurs::parse(text(&message).unwrap()) else {
        panic!("{}", message.escape_ascii())
    };
    wait_for_alert(
        &manager,
        "Agent restored: 'web01' (id 001) at 127.0.0.1, number 0:1: not above 0:3:.",
    );
    assert_eq!(upto, Counter { global: 0, local: 3 });

    // A recorded answer is refused like everything else that bears an old number.
    answer(&mut restored, FromOurs::Advanced(nonce));
    restored.jump(upto);
    answer(&mut restored, FromOurs::Advanced(nonce));
    restored.send(b"1:a:again");
    manager.wait_for_event("1:(web01) any->a:again");
    wait_for_alert(&manager, "Agent resynchronized: 'web01' (id 001) at 127.0.0.1.");
    assert!(
        manager.log().contains("Agent 001 'web01' at 127.0.0.1 was restored from an older image")
    );
    manager.wait_until_balanced();
}

#[test]
fn a_clone_of_an_agent_of_ours_is_named_and_gets_no_way_in() {
    let manager = Manager::start(KEYS, "");
    let mut first = heard(&manager, OURS);
    let mut clone = first.image(&manager, Counter::default());
    clone.send(HELLO);
    let (here, there) = (question(&mut clone), question(&mut first));
    answer(&mut first, FromOurs::Proof(there));
    answer(&mut clone, FromOurs::Proof(here));
    let message = told(&mut clone);
    let other = ToOurs::parse(text(&message).unwrap());
    assert_eq!(other, Some(ToOurs::Cloned { other: b"127.0.0.1" }));
    wait_for_alert(&manager, "Agent cloned: 'web01' (id 001) at 127.0.0.1 port ");
    clone.send(b"1:a:of the clone");
    first.send(b"1:a:of the first");
    manager.wait_for_event("1:(web01) any->a:of the first");
    assert!(!manager.events().iter().any(|event| event.ends_with("of the clone")));
    assert!(manager.log().contains("(both have just answered)"));
}

#[test]
fn recorded_datagrams_move_no_number_whatever_is_asked() {
    let manager = Manager::start(KEYS, "");
    let mut first = agent(&manager);
    let hello = first.send(HELLO);
    let keepalive = first.send(OURS);
    let recorded = first.send(b"1:a:recorded");
    manager.wait_for_event("1:(web01) any->a:recorded");
    let thief = first.image(&manager, first.counter());
    for datagram in [&hello, &keepalive, &recorded, &hello, &keepalive, &recorded] {
        thief.send_again(datagram);
    }
    wait_for_alert(&manager, "Agent replayed: 'web01' (id 001) from 127.0.0.1, ");
    first.send(b"1:a:next");
    manager.wait_for_event("1:(web01) any->a:next");
    assert_eq!(manager.events().iter().filter(|event| event.ends_with("recorded")).count(), 1);
    assert!(!manager.events().iter().any(|event| event.contains("Agent restored")));
}

#[test]
fn an_agent_of_ossec_is_never_asked_and_the_administrator_lets_it_in_once() {
    let manager = Manager::start(KEYS, "");
    let old = heard(&manager, THEIRS);
    let mut restored = old.image(&manager, Counter::default());
    for _ in 0..3 {
        restored.send(HELLO);
    }
    wait_for("the refusals", || manager.account("dropped_counter") == 3);
    assert!(restored.hears_nothing(), "an agent of OSSEC would not understand it");

    let id = agents::AgentId::parse(b"001").unwrap();
    agents::counters::reset::arm(manager.root(), &id).unwrap();
    restored.jump(Counter::default());
    let hello = restored.send(HELLO);
    assert_eq!(restored.receive(), ToAgent::Ack.to_bytes());
    restored.send(b"1:a:back");
    manager.wait_for_event("1:(web01) any->a:back");
    let refused = manager.account("dropped_counter");
    restored.send_again(&hello);
    wait_for("the refusal of a copy", || manager.account("dropped_counter") > refused);
    assert!(manager.log().contains("Agent 001 begins anew at 0:1: from 127.0.0.1"));
}

#[test]
fn an_agent_of_ossec_that_stays_behind_is_called_restored() {
    let manager = Manager::start(KEYS, "");
    let mut old = heard(&manager, THEIRS);
    for _ in 0..10 {
        old.send(b"1:a:more");
    }
    let mut restored = old.image(&manager, Counter::default());
    for _ in 0..6 {
        restored.send(HELLO);
    }
    wait_for_alert(&manager, "Agent restored: 'web01' (id 001) at 127.0.0.1, number ");
    let remedy = "run 'manage-agents --reset-counter 001' here and restart the agent";
    assert!(manager.log().contains(remedy), "{}", manager.log());
}
