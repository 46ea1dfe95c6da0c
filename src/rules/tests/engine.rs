//! Behaviour of small rule sets, each written here.

use alerts::Moment;
use rules::{
    Builtin, Decoded, Engine, Fate, Field, FileChange, FileDetails, Judgement, LoadError,
    MemoryWorld, Mode, Options, RawEvent, ResponseBinding, Source, State, Step,
};

const DECODERS: &str = r#"
<decoder name="app"><program_name>^app</program_name></decoder>
<decoder name="app-kv"><parent>app</parent>
  <regex>ip=(\S+) user=(\S+) shoe=(\S+)</regex><order>srcip, user, shoe_size</order><fts>name, user</fts></decoder>
<decoder name="wall"><program_name>^wall</program_name><type>firewall</type></decoder>
<decoder name="wall-kv"><parent>wall</parent><type>firewall</type>
  <regex>(\w+) (\w+) (\S+) (\S+)</regex><order>action, protocol, srcip, dstip</order></decoder>
"#;

const TOP: &str = r#"<group name="top,">
<rule id="1" level="0" noalert="1"><category>syslog</category><description>top</description></rule>
<rule id="2" level="0" noalert="1"><category>firewall</category><description>top</description></rule>
<rule id="7" level="0" noalert="1"><category>ossec</category><description>top</description></rule>
</group>
"#;

fn try_load(rules: &str, options: Options) -> Result<rules::Loaded, Vec<LoadError>> {
    let rules = format!("{TOP}{rules}");
    rules::load(
        &[Source { name: "decoder.xml", text: DECODERS.as_bytes() }],
        &[Source { name: "local_rules.xml", text: rules.as_bytes() }],
        &[],
        options,
    )
}

/// A judge with its rules, fed line by line, one second apart.
struct Bench {
    engine: Engine,
    state: State,
    world: MemoryWorld,
    epoch: i64,
}

impl Bench {
    fn new(rules: &str) -> Self {
        Self::with(rules, Options::default())
    }

    fn with(rules: &str, options: Options) -> Self {
        let engine = try_load(&format!("<group name=\"local,\">{rules}</group>"), options)
            .unwrap_or_else(|errors| panic!("{errors:?}"))
            .engine;
        let state = State::new(&engine);
        Self { engine, state, world: MemoryWorld::default(), epoch: 1_700_000_000 }
    }

    fn decode(&mut self, log: &str) -> Decoded {
        self.epoch += 1;
        let line = format!("Nov 14 22:13:20 host1 {log}");
        self.engine.decode(&RawEvent {
            moment: Moment::utc(self.epoch),
            location: b"/var/log/app",
            payload: line.as_bytes(),
        })
    }

    fn judge(&mut self, log: &str) -> Judgement {
        let mut event = self.decode(log);
        self.engine.judge(&mut self.state, &mut event, &mut self.world)
    }

    /// Number of the selected rule; 0 for none.
    fn rule(&mut self, log: &str) -> u32 {
        let judgement = self.judge(log);
        judgement.rule.map_or(0, |rule| self.engine.rule(rule).id)
    }
}

const BASE: &str = r#"<rule id="100" level="3"><decoded_as>app</decoded_as><description>base</description></rule>
<rule id="101" level="5"><if_sid>100</if_sid><match>failed</match><description>failed</description><group>fail,</group></rule>"#;

fn with_base(rules: &str) -> String {
    format!("{BASE}{rules}")
}

#[test]
fn the_deepest_rule_that_holds_is_selected() {
    let mut bench = Bench::new(BASE);
    assert_eq!(bench.rule("app: started"), 100);
    assert_eq!(bench.rule("app: login FAILED"), 101);
    assert_eq!(bench.rule("other: login failed"), 0);
}

#[test]
fn a_dynamic_field_is_found_by_its_name_ignoring_case() {
    let mut bench = Bench::new(&with_base(
        r#"<rule id="102" level="4"><if_sid>100</if_sid><field name="Shoe_Size">^4\d$</field><description>d</description></rule>"#,
    ));
    assert_eq!(bench.rule("app: ip=1.2.3.4 user=bob shoe=42"), 102);
    assert_eq!(bench.rule("app: ip=1.2.3.4 user=bob shoe=52"), 100);
    let event = bench.decode("app: ip=1.2.3.4 user=bob shoe=42");
    let fields: Vec<_> = bench.engine.assignments(&event).collect();
    assert_eq!(fields[2], ("shoe_size", &b"42"[..]));
    assert_eq!(event.field(Field::DstUser), Some(&b"bob"[..]));
}

#[test]
fn a_frequency_counts_related_events_and_begins_anew_after_it_fired() {
    let mut bench = Bench::new(&with_base(
        r#"<rule id="102" level="10" frequency="1" timeframe="60"><if_matched_sid>101</if_matched_sid><same_source_ip />
        <description>d</description></rule>"#,
    ));
    let mut met = Vec::new();
    for n in 0..7 {
        let ip = if n == 1 { "9.9.9.9" } else { "1.2.3.4" };
        met.push(bench.rule(&format!("app: failed {n} ip={ip} user=u shoe=1")));
    }
    assert_eq!(met, [101, 101, 101, 102, 101, 101, 102]);
}

#[test]
fn events_older_than_the_timeframe_do_not_count() {
    let mut bench = Bench::new(&with_base(
        r#"<rule id="102" level="10" frequency="0" timeframe="60"><if_matched_group>fail</if_matched_group>
        <description>d</description></rule>"#,
    ));
    assert_eq!(bench.rule("app: failed 1"), 101);
    bench.epoch += 60;
    assert_eq!(bench.rule("app: failed 2"), 101);
    assert_eq!(bench.rule("app: failed 3"), 102);
}

#[test]
fn samples_of_a_correlation_come_newest_first() {
    let mut bench = Bench::new(&with_base(
        r#"<rule id="102" level="10" frequency="1" timeframe="60"><if_matched_sid>101</if_matched_sid>
        <description>d</description></rule>"#,
    ));
    bench.judge("app: failed 1");
    bench.judge("app: failed 2");
    let samples = bench.judge("app: failed 3").samples;
    assert_eq!(samples.len(), 2);
    assert!(samples[0].ends_with(b"failed 2"));
}

#[test]
fn a_repeated_line_goes_no_further_in_the_daemon() {
    let mut bench = Bench::new(BASE);
    assert_eq!(bench.judge("app: failed").fate, Fate::Alert);
    let again = bench.judge("app: failed");
    assert_eq!((again.fate, again.is_archived()), (Fate::Repeated, false));
    let mut tool = Bench::with(BASE, Options { mode: Mode::Tool, ..Options::default() });
    tool.judge("app: failed");
    assert_eq!(tool.judge("app: failed").fate, Fate::Alert);
}

#[test]
fn a_rule_is_silent_for_its_window() {
    let mut bench = Bench::new(
        r#"<rule id="100" level="3" ignore="10"><decoded_as>app</decoded_as><description>d</description></rule>"#,
    );
    assert_eq!(bench.judge("app: 1").fate, Fate::Alert);
    let silenced = bench.judge("app: 2");
    assert_eq!((silenced.fate, silenced.log, silenced.fired), (Fate::Silenced, false, 2));
    bench.epoch += 10;
    assert_eq!(bench.judge("app: 3").fate, Fate::Alert);
    assert_eq!(bench.judge("app: 4").fate, Fate::Silenced);
}

#[test]
fn a_first_seen_key_is_persisted_once_and_loaded() {
    let rules = with_base(
        r#"<rule id="102" level="4"><if_sid>100</if_sid><if_fts /><description>new</description></rule>"#,
    );
    let mut bench = Bench::new(&rules);
    assert_eq!(bench.rule("app: ip=1.2.3.4 user=bob shoe=1"), 102);
    assert_eq!(bench.rule("app: ip=1.2.3.4 user=bob shoe=2"), 100);
    let keys = bench.world.first_seen.clone();
    assert_eq!(keys, [b"app  bob      ".to_vec()]);
    let mut second = Bench::new(&rules);
    second.state.load_first_seen(&keys[0]);
    assert_eq!(second.rule("app: ip=1.2.3.4 user=bob shoe=3"), 100);
}

#[test]
fn an_ignored_source_raises_no_alert() {
    let mut bench = Bench::new(&with_base(
        r#"<rule id="102" level="7"><if_sid>100</if_sid><match>learn</match><ignore>srcip</ignore><description>d</description></rule>
        <rule id="103" level="7"><if_sid>100</if_sid><match>check</match><check_if_ignored>srcip</check_if_ignored><description>d</description></rule>"#,
    ));
    bench.judge("app: learn ip=1.2.3.4 user=u shoe=1");
    assert_eq!(bench.judge("app: check ip=1.2.3.4 user=u shoe=1").fate, Fate::Ignored);
    assert_eq!(bench.judge("app: check ip=1.2.3.5 user=u shoe=1").fate, Fate::Alert);
    assert_eq!(bench.world.ignored.len(), 1);
}

#[test]
fn a_noalert_rule_lets_its_siblings_have_the_event() {
    let mut bench = Bench::new(&with_base(
        r#"<rule id="102" level="9" noalert="1"><if_sid>100</if_sid><match>failed</match><description>d</description></rule>
        <rule id="103" level="7"><if_sid>102</if_sid><match>twice</match><description>d</description></rule>"#,
    ));
    assert_eq!(bench.rule("app: failed once"), 101);
    assert_eq!(bench.rule("app: failed twice"), 103);
}

#[test]
fn a_firewall_event_gets_the_words_of_the_suite_and_an_incomplete_one_is_still_judged() {
    let rules = r#"<rule id="100" level="3"><category>firewall</category><decoded_as>wall</decoded_as><action>DROP</action><description>d</description></rule>
        <rule id="101" level="2"><category>firewall</category><decoded_as>wall</decoded_as><description>d</description></rule>"#;
    let mut bench = Bench::new(rules);
    assert_eq!(bench.rule("wall: deny tcp 1.1.1.1 2.2.2.2"), 100);
    assert!(bench.decode("wall: deny tcp 1.1.1.1 2.2.2.2").is_firewall());
    assert_eq!(bench.rule("wall: nothing"), 101);
    let dropping = Options { drop_incomplete_firewall: true, ..Options::default() };
    let mut bench = Bench::with(rules, dropping);
    assert_eq!(bench.judge("wall: nothing").fate, Fate::IncompleteFirewall);
}

#[test]
fn a_changed_file_reaches_the_rules_with_its_facts() {
    let mut bench = Bench::new(
        r#"<rule id="550" level="7"><category>ossec</category><decoded_as>syscheck_integrity_changed</decoded_as><description>d</description></rule>
        <rule id="551" level="7"><category>ossec</category><decoded_as>syscheck_integrity_changed_2nd</decoded_as><description>d</description></rule>"#,
    );
    let details = FileDetails { path: b"/etc/hosts".to_vec(), ..FileDetails::default() };
    let raw = RawEvent {
        moment: Moment::utc(1_700_000_000),
        location: b"(web) 10.0.0.1->syscheck",
        payload: b"Integrity checksum changed for: '/etc/hosts'\nSize changed from '1' to '2'\n",
    };
    for (change, id) in [(FileChange::First, 550), (FileChange::Second, 551)] {
        let builtin = Builtin::FileChanged(change);
        let mut event = bench.engine.decode_builtin(builtin, &raw, Some(details.clone()));
        let judgement = bench.engine.judge(&mut bench.state, &mut event, &mut bench.world);
        let alert = judgement.alert(&bench.engine, &event, 1).unwrap();
        assert_eq!(alert.rule.id, id);
        assert_eq!(alert.event.decoder.name, Some(&b"syscheck_integrity_changed"[..]));
        assert_eq!(alert.event.file.unwrap().path, b"/etc/hosts");
        assert!(alert.event.full_log.ends_with(b"'2'\n"));
    }
}

#[test]
fn who_changed_a_file_is_a_field_for_rules_and_no_user_for_responses() {
    let mut bench = Bench::new(
        r#"<rule id="550" level="7"><category>ossec</category><decoded_as>syscheck_integrity_changed</decoded_as><description>d</description></rule>
        <rule id="600" level="12"><if_sid>550</if_sid><field name="who.login_user">^bob$</field><description>d</description></rule>"#,
    );
    let raw = RawEvent {
        moment: Moment::utc(1_700_000_000),
        location: b"syscheck",
        payload: b"Integrity checksum changed for: '/x'\n",
    };
    for (user, rule) in [("alice", 550), ("bob", 600)] {
        let fields = vec![("who.login_user", user.into())];
        let details = FileDetails { path: b"/x".to_vec(), fields, ..FileDetails::default() };
        let builtin = Builtin::FileChanged(FileChange::First);
        let mut event = bench.engine.decode_builtin(builtin, &raw, Some(details));
        let judgement = bench.engine.judge(&mut bench.state, &mut event, &mut bench.world);
        let alert = judgement.alert(&bench.engine, &event, 1).unwrap();
        assert_eq!(alert.rule.id, rule);
        assert_eq!((alert.event.srcuser, alert.event.dstuser), (None, None));
        assert_eq!(alert.event.fields, [(&b"who.login_user"[..], user.as_bytes())]);
    }
}

#[test]
fn responses_are_bound_by_level_group_or_number() {
    let responses = vec![
        ResponseBinding { level: Some(5), ..ResponseBinding::default() },
        ResponseBinding { rules_group: Some(b"fail,$".to_vec()), ..ResponseBinding::default() },
        ResponseBinding { rules_id: vec![100], ..ResponseBinding::default() },
    ];
    let bench = Bench::with(BASE, Options { responses, ..Options::default() });
    let bound = |id| bench.engine.rule(bench.engine.rule_by_id(id).unwrap()).responses.clone();
    assert_eq!(bound(100), [2]);
    assert_eq!(bound(101), [0, 1]);
}

#[test]
fn a_reload_keeps_windows_and_first_seen_keys_by_rule_number() {
    let silent = r#"<rule id="100" level="3" ignore="100"><decoded_as>app</decoded_as><description>d</description></rule>"#;
    let mut bench = Bench::new(silent);
    bench.judge("app: 1");
    let other = Bench::new(&format!(
        r#"<rule id="50" level="1"><match>x y z</match><description>d</description></rule>{silent}"#
    ));
    bench.state.adopt(&other.engine);
    bench.engine = other.engine;
    let judgement = bench.judge("app: 2");
    assert_eq!((judgement.fate, judgement.fired), (Fate::Silenced, 2));
}

#[test]
fn a_trace_names_every_rule_that_is_tried() {
    let mut bench = Bench::new(BASE);
    let mut event = bench.decode("app: login failed");
    let mut steps = Vec::new();
    let (engine, state, world) = (&bench.engine, &mut bench.state, &mut bench.world);
    engine.judge_traced(state, &mut event, world, &mut |step| {
        let (word, rule) = match step {
            Step::Trying(rule) => ("try", rule),
            Step::Matched(rule) => ("match", rule),
            Step::Children(rule) => ("children", rule),
        };
        steps.push((word, engine.rule(rule).id));
    });
    let wanted = [
        ("try", 1),
        ("match", 1),
        ("children", 1),
        ("try", 100),
        ("match", 100),
        ("children", 100),
        ("try", 101),
        ("match", 101),
    ];
    assert_eq!(steps, wanted);
}

#[test]
fn errors_name_file_and_line_and_all_are_told() {
    let errors = try_load(
        "<group name=\"x,\">\n<rule id=\"100\" level=\"3\"><match>x</match>\n<madeup>y</madeup></rule>\n\
         <rule id=\"101\" level=\"3\"><if_sid>999</if_sid></rule>\n\
         <rule id=\"102\" level=\"3\"><decoded_as>nobody</decoded_as></rule>\n\
         <rule id=\"103\" level=\"3\"><regex>\\b</regex></rule>\n\
         <rule id=\"104\" level=\"3\" frequency=\"2\"><match>x</match></rule>\n\
         <rule level=\"3\"></rule></group>",
        Options::default(),
    )
    .unwrap_err();
    let lines: Vec<usize> = errors.iter().map(|error| error.line - 5).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6, 7].map(|line| line + 1));
    assert!(errors.iter().all(|error| error.file == "local_rules.xml"));
    assert!(errors[1].text.contains("999"), "{}", errors[1]);
}

#[test]
fn an_unknown_list_is_a_warning() {
    let loaded = try_load(
        "<group name=\"x,\"><rule id=\"100\" level=\"3\"><list field=\"srcip\">lists/none</list></rule></group>",
        Options::default(),
    )
    .unwrap();
    assert_eq!(loaded.warnings.len(), 1);
}

#[test]
fn mutated_and_cut_rule_files_never_panic() {
    let rules = format!(
        "{TOP}<group name=\"x,\">{BASE}
        <rule id=\"102\" level=\"9\" frequency=\"2\" timeframe=\"60\" ignore=\"9\"><if_matched_group>fail</if_matched_group>
        <same_source_ip /><different_url /><time>6 pm - 8:30 am</time><weekday>mon</weekday><srcip>!10.0.0.0/8</srcip>
        <options>no_log</options><info type=\"link\">http://x</info><if_level>3</if_level></rule>
        <rule id=\"101\" level=\"9\" overwrite=\"yes\"><pcre2>a(?:b|c)d</pcre2><list field=\"user\" lookup=\"match_key\">l</list></rule></group>"
    );
    let attempt = |decoders: &[u8], rules: &[u8]| {
        let loaded = rules::load(
            &[Source { name: "d", text: decoders }],
            &[Source { name: "r", text: rules }],
            &[Source { name: "l", text: b"a:b\n" }],
            Options::default(),
        );
        if let Ok(loaded) = loaded {
            let mut event = loaded.engine.decode(&RawEvent {
                moment: Moment::utc(1_700_000_000),
                location: b"x",
                payload: b"Nov 14 22:13:20 host1 app: failed ip=1.2.3.4 user=u shoe=1",
            });
            let mut state = State::new(&loaded.engine);
            loaded.engine.judge(&mut state, &mut event, &mut MemoryWorld::default());
        }
    };
    for end in (0..rules.len()).step_by(7) {
        attempt(DECODERS.as_bytes(), &rules.as_bytes()[..end]);
    }
    for end in (0..DECODERS.len()).step_by(7) {
        attempt(&DECODERS.as_bytes()[..end], rules.as_bytes());
    }
    let mut seed = 3_u32;
    let mut mutated = |text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..3 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = (seed >> 8) as usize % bytes.len();
            bytes[at] = b"<>/\"='$\\(|*+0x \xff"[(seed >> 24) as usize % 16];
        }
        bytes
    };
    for _ in 0..150 {
        let (decoders, rules) = (mutated(DECODERS), mutated(&rules));
        attempt(&decoders, rules.as_slice());
    }
}

#[test]
fn a_tree_that_multiplies_itself_is_refused() {
    let mut rules = String::from(BASE);
    let mut parents = String::from("100");
    for id in 200..260 {
        rules.push_str(&format!(
            "<rule id=\"{id}\" level=\"3\"><if_sid>{parents}</if_sid><description>d</description></rule>"
        ));
        parents.push_str(&format!(",{id}"));
    }
    let errors =
        try_load(&format!("<group name=\"x,\">{rules}</group>"), Options::default()).unwrap_err();
    assert!(errors[0].text.contains("places"), "{}", errors[0]);
}

#[test]
fn a_run_of_counting_rules_is_judged_as_each_of_them_would_be() {
    let counting =
        [(6, 3, ""), (6, 5, ""), (9, 8, r#" noalert="1""#), (12, 5, ""), (4, 2, ""), (15, 12, "")];
    let mut rules = String::from(BASE);
    for (n, (level, frequency, extra)) in counting.iter().enumerate() {
        rules.push_str(&format!(
            r#"<rule id="{}" level="{level}" frequency="{frequency}" timeframe="60"{extra}><if_matched_sid>101</if_matched_sid>
            <same_source_ip /><description>d</description></rule>"#,
            110 + n
        ));
    }
    let mut bench = Bench::new(&rules);
    let (mut slow, mut slow_world) = (State::new(&bench.engine), MemoryWorld::default());
    let (mut seed, mut selected) = (5_u32, std::collections::BTreeMap::new());
    for _ in 0..5000 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bench.epoch += i64::from(seed >> 28 == 0) * 20;
        let line = format!("app: failed {seed} ip=10.0.0.{} user=u shoe=1", seed >> 20 & 3);
        let mut event = bench.decode(&line);
        let mut copy = event.clone();
        let engine = &bench.engine;
        let quick = engine.judge(&mut bench.state, &mut event, &mut bench.world);
        let traced = engine.judge_traced(&mut slow, &mut copy, &mut slow_world, &mut |_| {});
        assert_eq!(quick, traced);
        *selected.entry(quick.rule.map(|rule| engine.rule(rule).id)).or_insert(0) += 1;
    }
    assert!(selected.len() >= 3, "{selected:?}");
}

#[test]
fn the_result_does_not_depend_on_who_decodes() {
    let rules = with_base(
        r#"<rule id="102" level="10" frequency="3" timeframe="60"><if_matched_sid>101</if_matched_sid><same_source_ip />
        <description>d</description></rule>"#,
    );
    let lines: Vec<String> = (0..400)
        .map(|n| format!("app: failed {n} ip=10.0.0.{} user=u{} shoe=1", n % 7, n % 3))
        .collect();
    let one: Vec<u32> = {
        let mut bench = Bench::new(&rules);
        lines.iter().map(|line| bench.rule(line)).collect()
    };
    let mut bench = Bench::new(&rules);
    let engine = &bench.engine;
    let mut decoded: Vec<Decoded> = Vec::new();
    std::thread::scope(|scope| {
        let parts = lines.chunks(100).enumerate().map(|(part, lines)| {
            scope.spawn(move || {
                let decode = |(n, line): (usize, &String)| {
                    let line = format!("Nov 14 22:13:20 host1 {line}");
                    let epoch = 1_700_000_001 + (part * 100 + n) as i64;
                    engine.decode(&RawEvent {
                        moment: Moment::utc(epoch),
                        location: b"/var/log/app",
                        payload: line.as_bytes(),
                    })
                };
                lines.iter().enumerate().map(decode).collect::<Vec<_>>()
            })
        });
        let handles: Vec<_> = parts.collect();
        for handle in handles {
            decoded.extend(handle.join().unwrap());
        }
    });
    let many: Vec<u32> = decoded
        .iter_mut()
        .map(|event| {
            let judgement = bench.engine.judge(&mut bench.state, event, &mut bench.world);
            judgement.rule.map_or(0, |rule| bench.engine.rule(rule).id)
        })
        .collect();
    assert_eq!(one, many);
    assert!(one.contains(&102));
}

#[test]
fn hostile_lines_never_panic() {
    let mut bench = Bench::new(BASE);
    let long = "app: failed ".to_string() + &"[({ ".repeat(16_000);
    let lines = ["", ":", "app:", "app: ", "\u{0}\u{1}\n\t", "\u{212A}elvin app: failed", &long];
    for line in lines {
        bench.judge(line);
        let raw = RawEvent {
            moment: Moment::utc(0),
            location: line.as_bytes(),
            payload: line.as_bytes(),
        };
        let mut event = bench.engine.decode(&raw);
        bench.engine.judge(&mut bench.state, &mut event, &mut bench.world);
        let mut out = Vec::new();
        alerts::json::write_archive(&bench.engine.facts(&event), None, &mut out);
    }
}
