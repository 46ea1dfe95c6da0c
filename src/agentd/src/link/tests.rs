//! The link with a simulated manager and a simulated clock.

use super::*;

const MANNERS: Manners = Manners { servers: 1, notify: secs(600), silence: secs(1800) };

/// Servers that answer or not, and what was done to them, with the second it happened.
struct World {
    link: Link,
    now: Moment,
    up: Vec<bool>,
    confirmed: u64,
    seen: Vec<(u64, Action)>,
}

impl World {
    fn new(servers: usize, up: &[bool]) -> Self {
        let link = Link::new(Manners { servers, ..MANNERS }, 7);
        Self { link, now: Moment::ZERO, up: up.to_vec(), confirmed: 0, seen: Vec::new() }
    }

    fn run(&mut self, until: u64) {
        while self.now < secs(until) {
            let actions = self.link.drive(self.now);
            self.obey(actions);
            self.now =
                self.link.deadline().max(self.now + Duration::from_millis(1)).min(secs(until));
        }
    }

    fn obey(&mut self, actions: Vec<Action>) {
        for action in actions {
            self.seen.push((self.now.as_secs(), action.clone()));
            let answers = match action {
                Action::Hello | Action::Report => {
                    self.link.server().is_some_and(|server| self.up[server])
                }
                Action::Confirm(upto) => {
                    self.confirmed = upto;
                    false
                }
                Action::Probe(server) => {
                    if self.up[server] {
                        let more = self.link.on_probe_ack(self.now);
                        self.obey(more);
                    }
                    false
                }
                _ => false,
            };
            if answers {
                let more = self.link.on_ack(self.now, self.confirmed);
                self.obey(more);
            }
        }
    }

    fn times(&self, what: &Action) -> Vec<u64> {
        self.seen.iter().filter(|(_, action)| action == what).map(|(at, _)| *at).collect()
    }
}

#[test]
fn a_manager_that_answers_gets_one_hello_and_reports_in_time() {
    let mut world = World::new(1, &[true]);
    world.run(1801);
    assert_eq!(world.times(&Action::Hello), [0]);
    assert_eq!(world.times(&Action::Report), [0, 600, 1200, 1800]);
    assert_eq!(world.times(&Action::Connected { server: 0, first: true }), [0]);
}

#[test]
fn hellos_are_repeated_then_the_server_is_given_up_for_a_pause_that_grows() {
    let mut world = World::new(1, &[false]);
    world.run(4000);
    assert_eq!(world.times(&Action::Hello)[..5], [0, 1, 3, 6, 10]);
    let tries = world.times(&Action::Open(0));
    let pauses: Vec<u64> = tries.windows(2).map(|w| w[1] - w[0] - 15).collect();
    assert!(pauses[0] <= 2, "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= 60), "{pauses:?}");
    assert!(pauses[7..].iter().all(|pause| *pause >= 30), "{pauses:?}");
    assert!(pauses[7..].iter().any(|pause| *pause != pauses[7]), "no jitter: {pauses:?}");
}

#[test]
fn a_manager_that_falls_silent_is_lost_after_three_reports() {
    let mut world = World::new(1, &[true]);
    world.run(500);
    world.up[0] = false;
    world.run(700);
    let why = Why::Unanswered { reports: 3 };
    assert_eq!(world.times(&Action::Lost { server: 0, why }), [630]);
    world.up[0] = true;
    world.run(900);
    assert_eq!(world.times(&Action::Connected { server: 0, first: false }).len(), 1);
}

#[test]
fn a_manager_that_never_answers_reports_but_talks_is_lost_too() {
    let mut link = Link::new(MANNERS, 1);
    link.drive(secs(0));
    link.on_ack(secs(0), 0);
    link.on_heard(secs(29));
    link.drive(secs(10));
    link.drive(secs(20));
    assert!(link.is_connected());
    let why = Why::Unanswered { reports: 3 };
    assert_eq!(link.drive(secs(30))[0], Action::Lost { server: 0, why });
}

#[test]
fn a_refusal_ends_a_connection_at_once_and_a_call_goes_on() {
    let mut link = Link::new(MANNERS, 1);
    link.drive(secs(0));
    assert_eq!(link.on_refused(secs(0)), []);
    link.on_ack(secs(0), 0);
    let lost = Action::Lost { server: 0, why: Why::Refused };
    assert_eq!(link.on_refused(secs(5)), [lost, Action::Open(0), Action::Hello]);
    assert!(!link.is_connected());
}

#[test]
fn the_next_server_is_called_when_one_does_not_answer_and_the_first_is_taken_back() {
    let mut world = World::new(3, &[false, false, true]);
    world.run(400);
    assert_eq!(world.times(&Action::Unanswered(0)), [15]);
    assert_eq!(world.times(&Action::Unanswered(1)), [30]);
    assert_eq!(world.times(&Action::Connected { server: 2, first: true }), [30]);
    assert_eq!(world.times(&Action::Probe(0)), [330]);
    assert_eq!(world.times(&Action::EndProbe), [335]);
    world.up[0] = true;
    world.run(700);
    assert_eq!(world.times(&Action::Switch(0)), [635]);
    assert_eq!(world.times(&Action::Connected { server: 0, first: false }), [635]);
}

#[test]
fn an_ack_confirms_what_was_sent_before_its_report_and_no_more() {
    let mut link = Link::new(MANNERS, 1);
    link.drive(secs(0));
    link.on_ack(secs(0), 40);
    assert_eq!(link.on_ack(secs(0), 40), [], "nothing was sent yet");
    link.on_sent(50, secs(1));
    assert_eq!(link.deadline(), secs(11), "a report of its own");
    assert_eq!(link.drive(secs(11)), [Action::Report]);
    link.on_sent(60, secs(12));
    assert_eq!(link.on_ack(secs(12), 40), [Action::Confirm(50)]);
    assert_eq!(link.deadline(), secs(22));
    link.drive(secs(22));
    // A repeated report still confirms only what its first try covered.
    link.on_sent(70, secs(23));
    assert_eq!(link.drive(secs(32)), [Action::Report]);
    assert_eq!(link.on_ack(secs(33), 40), [Action::Confirm(60)]);
}

#[test]
fn driving_at_any_time_never_does_anything_twice() {
    let mut link = Link::new(MANNERS, 3);
    let mut hellos = 0;
    for tenth in 0..150_u32 {
        let now = Duration::from_millis(100) * tenth;
        hellos += link.drive(now).iter().filter(|a| **a == Action::Hello).count();
    }
    assert_eq!(hellos, 5);
}
