//! Agents that were restored, cloned or replayed, as the manager sees them.

use super::*;

const LAST: Counter = Counter { global: 6, local: 128 };
const OLD: Counter = Counter { global: 5, local: 1 };

fn place(address: &str) -> Place {
    Place { address: address.parse().unwrap(), door: 0, method: Method::Aes }
}

/// The doubts about one agent, and a clock.
struct World {
    doubts: Doubts,
    id: AgentId,
    now: Instant,
    chance: u8,
}

impl World {
    fn new() -> Self {
        let id = AgentId::parse(b"001").unwrap();
        Self { doubts: Doubts::default(), id, now: Instant::now(), chance: 0 }
    }

    fn stale(
        &mut self,
        from: &str,
        there: Option<&str>,
        change: impl FnOnce(&mut Stale),
    ) -> Vec<Order> {
        let mut stale = Stale {
            here: place(from),
            there: there.map(place),
            came: OLD,
            last: LAST,
            is_ours: true,
            accepted: 9,
            answer: None,
        };
        change(&mut stale);
        let chance = &mut self.chance;
        self.doubts.stale(&self.id, &stale, self.now, || {
            *chance += 1;
            Some(Nonce([*chance; 16]))
        })
    }

    fn pass(&mut self, seconds: u64) -> Vec<Order> {
        let mut orders = Vec::new();
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            let chance = &mut self.chance;
            let found = self.doubts.turn(self.now, || {
                *chance += 1;
                Some(Nonce([*chance; 16]))
            });
            orders.extend(found.into_iter().map(|(_, order)| order));
        }
        orders
    }

    fn above(&mut self, from: &str, answer: FromOurs) -> Vec<Order> {
        self.doubts.new_number(&self.id, place(from), answer, self.now)
    }
}

fn question(orders: &[Order], to: &str) -> Nonce {
    let asked = orders.iter().find_map(|order| match order {
        Order::Ask(place, ToOwn::Prove(nonce)) if place.address == to.parse().unwrap() => {
            Some(*nonce)
        }
        _ => None,
    });
    asked.unwrap_or_else(|| panic!("{to} was not asked: {orders:?}"))
}

fn advance(orders: &[Order]) -> Nonce {
    let told = orders.iter().find_map(|order| match order {
        Order::Ask(_, ToOwn::Advance(nonce, LAST)) => Some(*nonce),
        _ => None,
    });
    told.unwrap_or_else(|| panic!("not told to advance: {orders:?}"))
}

#[test]
fn a_restored_agent_proves_that_it_lives_and_goes_on_above_the_highest_number() {
    let mut world = World::new();
    let orders = world.stale("10.0.0.1:9", None, |_| ());
    let nonce = question(&orders, "10.0.0.1:9");
    let orders =
        world.stale("10.0.0.1:9", None, |stale| stale.answer = Some(FromOurs::Proof(nonce)));
    assert!(matches!(orders[0], Order::Say(Finding::Restored { is_helped: true, .. })));
    let nonce = advance(&orders);
    // Only by a number above the highest, which is what the window has checked.
    let done = FromOurs::Advanced(nonce);
    let by_an_old_number = world.stale("10.0.0.1:9", None, |stale| stale.answer = Some(done));
    assert_eq!(by_an_old_number, []);
    let back = Finding::Returned { at: "10.0.0.1:9".parse().unwrap() };
    assert_eq!(world.above("10.0.0.1:9", done), [Order::Say(back)]);
    assert!(world.doubts.is_empty());
}

#[test]
fn the_holder_of_the_highest_number_is_asked_first_and_its_silence_opens_the_way() {
    let mut world = World::new();
    let orders = world.stale("10.0.0.1:9", Some("10.0.0.1:7"), |_| ());
    question(&orders, "10.0.0.1:7");
    let nonce = question(&orders, "10.0.0.1:9");
    let orders = world.stale("10.0.0.1:9", Some("10.0.0.1:7"), |stale| {
        stale.answer = Some(FromOurs::Proof(nonce));
    });
    assert_eq!(orders, [], "it waits for the other one");
    let orders = world.pass(4);
    assert_eq!(
        orders.iter().filter(|order| matches!(order, Order::Ask(_, ToOwn::Prove(_)))).count(),
        3
    );
    advance(&orders);
}

#[test]
fn two_that_answer_are_clones_and_none_is_let_in() {
    let mut world = World::new();
    let orders = world.stale("10.0.0.2:9", Some("10.0.0.1:7"), |_| ());
    let (here, there) = (question(&orders, "10.0.0.2:9"), question(&orders, "10.0.0.1:7"));
    assert_eq!(world.above("10.0.0.1:7", FromOurs::Proof(there)), []);
    let orders = world.stale("10.0.0.2:9", Some("10.0.0.1:7"), |stale| {
        stale.answer = Some(FromOurs::Proof(here));
    });
    let (one, other) = ("10.0.0.2:9".parse().unwrap(), "10.0.0.1:7".parse().unwrap());
    let found = Finding::Cloned { here: one, there: other, is_proven: true };
    assert_eq!(orders, [Order::Say(found), Order::Ask(place("10.0.0.2:9"), ToOwn::Cloned(other))]);
    assert_eq!(world.stale("10.0.0.2:9", Some("10.0.0.1:7"), |_| ()), [], "refused, said before");
    world.pass(10);
    let told = world.stale("10.0.0.1:7", Some("10.0.0.2:9"), |_| ());
    assert_eq!(told, [Order::Ask(place("10.0.0.1:7"), ToOwn::Cloned(one))]);
    world.pass(600);
    question(&world.stale("10.0.0.2:9", None, |_| ()), "10.0.0.2:9");
}

#[test]
fn an_answer_from_elsewhere_or_with_another_number_counts_for_nothing() {
    let mut world = World::new();
    let orders = world.stale("10.0.0.2:9", Some("10.0.0.1:7"), |_| ());
    let (here, there) = (question(&orders, "10.0.0.2:9"), question(&orders, "10.0.0.1:7"));
    // One host behind a translator that changed its port answers both questions from one place.
    assert_eq!(world.above("10.0.0.1:7", FromOurs::Proof(here)), []);
    assert_eq!(world.above("10.0.0.2:9", FromOurs::Proof(there)), []);
    assert_eq!(world.above("10.0.0.1:7", FromOurs::Proof(Nonce([77; 16]))), []);
    assert!(world.pass(4).iter().all(|order| matches!(order, Order::Ask(_, ToOwn::Prove(_)))));
}

#[test]
fn a_datagram_that_the_network_repeats_leads_to_one_question_and_no_line() {
    let mut world = World::new();
    let orders = world.stale("10.0.0.1:9", Some("10.0.0.1:9"), |_| ());
    assert_eq!(orders.len(), 1);
    let nonce = question(&orders, "10.0.0.1:9");
    assert_eq!(world.above("10.0.0.1:9", FromOurs::Proof(nonce)), []);
    assert!(world.doubts.is_empty());
}

#[test]
fn recorded_datagrams_are_called_replays_and_move_no_number() {
    let mut world = World::new();
    for _ in 0..6 {
        world.stale("10.0.0.9:9", None, |_| ());
    }
    let orders = world.pass(5);
    let from = "10.0.0.9:9".parse().unwrap();
    assert_eq!(orders.last(), Some(&Order::Say(Finding::Replayed { from, count: 6 })));
    assert_eq!(world.stale("10.0.0.9:9", None, |_| ()), []);
    world.pass(601);
    assert!(world.doubts.is_empty());
}

#[test]
fn agents_of_ossec_are_never_asked_but_named_all_the_same() {
    let mut world = World::new();
    let mut said = Vec::new();
    for _ in 0..MANY {
        said.extend(world.stale("10.0.0.1:9", Some("10.0.0.1:9"), |stale| stale.is_ours = false));
    }
    let at = "10.0.0.1:9".parse().unwrap();
    let restored = Finding::Restored { at, came: OLD, last: LAST, is_helped: false };
    assert_eq!(said, [Order::Say(restored)]);

    let mut world = World::new();
    let mut said = Vec::new();
    for turn in 0..4 {
        said.extend(world.stale("10.0.0.2:9", Some("10.0.0.1:9"), |stale| {
            stale.is_ours = false;
            stale.accepted = turn;
        }));
    }
    let (here, there) = ("10.0.0.2:9".parse().unwrap(), at);
    assert_eq!(said, [Order::Say(Finding::Cloned { here, there, is_proven: false })]);
}

#[test]
fn an_agent_that_turns_out_to_be_ours_is_asked_after_all() {
    let mut world = World::new();
    world.stale("10.0.0.1:9", None, |stale| stale.is_ours = false);
    question(&world.stale("10.0.0.1:9", None, |_| ()), "10.0.0.1:9");
}
