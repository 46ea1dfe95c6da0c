//! Explanations: the first condition that failed, the text it was tried on, and the memory that mattered.

#![allow(clippy::unwrap_used, reason = "a panic in a test is the report")]

use rules::explain::{Explanation, LinkStatus};
use rules::{Decoded, Engine, MemoryWorld, Mode, Options, RawEvent, Source, State};

const DECODERS: &[u8] = br#"
<decoder name="other"><program_name>^other</program_name></decoder>
<decoder name="app"><program_name>^app</program_name></decoder>
<decoder name="app-in"><parent>app</parent><prematch>^in </prematch><regex offset="after_prematch">^(\S+)</regex><order>user</order></decoder>
<decoder name="app-login"><parent>app</parent><regex>for (\S+) from (\S+)</regex><order>user, srcip</order><fts>name, user</fts></decoder>
"#;

const RULES: &[u8] = br#"<group name="g,">
<rule id="1" level="0"><description>top</description></rule>
<rule id="3" level="0"><category>web-log</category><description>web</description></rule>
<rule id="100" level="0"><decoded_as>app</decoded_as><description>app</description></rule>
<rule id="101" level="5"><if_sid>100</if_sid><match>failed</match><description>failed</description></rule>
<rule id="102" level="10" frequency="2" timeframe="60"><if_matched_sid>101</if_matched_sid><same_source_ip/><description>many</description></rule>
<rule id="103" level="3"><if_sid>100</if_sid><match>came</match><if_fts/><description>first</description></rule>
<rule id="104" level="2" ignore="60"><if_sid>100</if_sid><match>hush</match><description>hush</description></rule>
<rule id="105" level="4"><category>web-log</category><match>x</match><description>web</description></rule>
<rule id="106" level="2"><if_sid>100</if_sid><srcip>10.0.0.0/8</srcip><match>lost</match><description>lost</description></rule>
</group>"#;

struct Judge {
    engine: Engine,
    state: State,
    world: MemoryWorld,
}

impl Judge {
    fn new() -> Self {
        let decoders = [Source { name: "decoder.xml", text: DECODERS }];
        let rules = [Source { name: "rules.xml", text: RULES }];
        let options = Options { mode: Mode::Tool, ..Options::default() };
        let engine = rules::load(&decoders, &rules, &[], options).unwrap().engine;
        let state = State::new(&engine);
        Self { engine, state, world: MemoryWorld::default() }
    }

    fn explain(&mut self, epoch: i64, log: &str) -> (Decoded, Explanation) {
        let line = format!("Nov 14 22:13:20 host app[1]: {log}");
        let raw = RawEvent {
            moment: alerts::Moment::utc(epoch),
            location: b"stdin",
            payload: line.as_bytes(),
        };
        let mut event = self.engine.decode(&raw);
        let told = self.engine.judge_explained(&mut self.state, &mut event, &mut self.world);
        (event, told)
    }

    fn id(&self, told: &Explanation) -> Option<u32> {
        told.judgement.rule.map(|index| self.engine.rule(index).id)
    }

    /// Name, wish and text of the condition on which a rule failed.
    fn failed(&self, told: &Explanation, id: u32) -> (String, String, Option<String>) {
        let rule = self.engine.rule_by_id(id).unwrap();
        let trial = told.rules.iter().find(|trial| trial.rule == rule).unwrap();
        let failed = trial.failed.clone().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (failed.name, text(failed.wanted), failed.tried_on.map(text))
    }

    fn facts(&self, told: &Explanation, id: u32) -> Vec<String> {
        let rule = self.engine.rule_by_id(id).unwrap();
        let trial = told.rules.iter().find(|trial| trial.rule == rule).unwrap();
        trial.facts.iter().map(|fact| format!("{}: {}", fact.kind, fact.text)).collect()
    }
}

#[test]
fn a_condition_is_told_with_what_it_was_tried_on() {
    let mut judge = Judge::new();
    let (_, told) = judge.explain(0, "lost for bob from 192.168.0.1");
    let text = |s: &str| Some(s.to_owned());
    assert_eq!(
        judge.failed(&told, 101),
        ("match".into(), "failed".into(), text("lost for bob from 192.168.0.1"))
    );
    assert_eq!(
        judge.failed(&told, 106),
        ("srcip".into(), "10.0.0.0/8".into(), text("192.168.0.1"))
    );
    let (_, told) = judge.explain(0, "lost");
    assert_eq!(judge.failed(&told, 106).2, None);
}

#[test]
fn a_counter_says_how_many_of_how_many() {
    let mut judge = Judge::new();
    for n in 0..3 {
        let (_, told) = judge.explain(n, "failed for bob from 10.0.0.1");
        assert_eq!(judge.id(&told), Some(101));
        let said = judge.facts(&told, 102).join("\n");
        assert!(
            said.starts_with(&format!("correlation: {n} of 3 related events within 60 s")),
            "{said}"
        );
        assert_eq!(judge.failed(&told, 102).2, Some(n.to_string()));
    }
    let (_, told) = judge.explain(3, "failed for bob from 10.0.0.2");
    assert!(judge.facts(&told, 102)[0].contains("0 of 3"), "{:?}", judge.facts(&told, 102));
    let (_, told) = judge.explain(4, "failed");
    assert!(judge.facts(&told, 102)[0].contains("this event has no srcip"));
    let (_, told) = judge.explain(5, "failed for bob from 10.0.0.1");
    assert_eq!(judge.id(&told), Some(102));
    let (_, told) = judge.explain(6, "failed for bob from 10.0.0.1");
    assert!(judge.facts(&told, 102)[0].contains("used up"), "{:?}", judge.facts(&told, 102));
    let (_, told) = judge.explain(600, "failed for bob from 10.0.0.1");
    assert!(judge.facts(&told, 102)[0].contains("too old"), "{:?}", judge.facts(&told, 102));
}

#[test]
fn first_seen_and_silence_say_what_they_remember() {
    let mut judge = Judge::new();
    let (_, told) = judge.explain(0, "came for bob from 10.0.0.1");
    assert_eq!(judge.id(&told), Some(103));
    assert!(judge.facts(&told, 103)[0].starts_with("first_seen: seen for the first time: 'app"));
    let (_, told) = judge.explain(1, "came for bob from 10.0.0.1");
    assert_eq!(judge.failed(&told, 103).0, "if_fts");
    assert!(judge.facts(&told, 103)[0].starts_with("first_seen: seen before"));
    judge.explain(10, "hush");
    let (_, told) = judge.explain(20, "hush");
    assert_eq!(told.facts[0].kind, "silence");
    assert!(told.facts[0].text.contains("for 50 s more"), "{:?}", told.facts);
}

#[test]
fn why_follows_the_chain_of_parents() {
    let mut judge = Judge::new();
    let (event, told) = judge.explain(0, "failed for bob from 10.0.0.1");
    let statuses = |id: u32| -> Vec<(u32, LinkStatus)> {
        let rule = judge.engine.rule_by_id(id).unwrap();
        let chains = judge.engine.why(&told, &event, rule);
        assert_eq!(chains.len(), 1);
        chains[0]
            .iter()
            .map(|link| (judge.engine.rule(link.rule).id, link.status.clone()))
            .collect()
    };
    let selected = judge.engine.rule_by_id(101).unwrap();
    let (matched, beaten) = (LinkStatus::Matched, LinkStatus::Beaten(selected));
    assert_eq!(
        statuses(102),
        [
            (1, matched.clone()),
            (100, matched.clone()),
            (101, LinkStatus::Selected),
            (102, LinkStatus::Failed)
        ]
    );
    assert_eq!(statuses(104), [(1, matched.clone()), (100, matched), (104, beaten)]);
    assert_eq!(
        statuses(105),
        [(3, LinkStatus::OtherCategory("syslog")), (105, LinkStatus::BehindFailure)]
    );
}

#[test]
fn decoders_are_told_in_the_order_in_which_they_are_tried() {
    let mut judge = Judge::new();
    let (event, _) = judge.explain(0, "failed for bob from 10.0.0.1");
    let trials = judge.engine.explain_decoders(&event);
    let told: Vec<_> = trials
        .iter()
        .map(|t| {
            (
                t.name.as_str(),
                t.line,
                t.failed.as_ref().map(|f| f.name.as_str()),
                t.fields.join(","),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("other", 2, Some("program_name"), String::new()),
            ("app", 3, None, String::new()),
            ("app-in", 4, Some("prematch"), String::new()),
            ("app-login", 5, None, "dstuser,srcip".to_owned()),
        ]
    );
}

#[test]
fn a_long_line_is_not_kept_once_for_every_rule() {
    let mut judge = Judge::new();
    let (_, told) = judge.explain(0, &"x".repeat(60_000));
    assert_eq!(judge.failed(&told, 101).2.unwrap().len(), 1024);
}
