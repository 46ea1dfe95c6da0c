//! What the engine does beyond the original: JSON, modern headers, differences, negation, the line's own time, limits.

use rules::{Engine, EventTime, MemoryWorld, Options, RawEvent, Source, State};

const DECODERS: &str = r#"
<decoder name="app"><program_name>^app</program_name></decoder>
<decoder name="app-kv"><parent>app</parent>
  <regex>ip=(\S+) user=(\S+) shop=(\S+)</regex><order>srcip, user, shop</order></decoder>
<decoder name="doc"><program_name>^doc</program_name><plugin_decoder>JSON_Decoder</plugin_decoder></decoder>
"#;

fn try_load(rules: &str, options: Options) -> Result<Engine, String> {
    let rules = format!("<group name=\"t,\">{rules}</group>");
    let decoders = [Source { name: "d.xml", text: DECODERS.as_bytes() }];
    let rules = [Source { name: "r.xml", text: rules.as_bytes() }];
    rules::load(&decoders, &rules, &[], options)
        .map(|loaded| loaded.engine)
        .map_err(|errors| errors[0].to_string())
}

fn load(rules: &str, options: Options) -> Engine {
    try_load(rules, options).expect("the rules load")
}

/// The rules that lines select, one a second; 0 for none.
fn judge(engine: &Engine, lines: &[&str]) -> Vec<u32> {
    let mut state = State::new(engine);
    let mut world = MemoryWorld::default();
    let lines = lines.iter().enumerate();
    lines
        .map(|(n, line)| {
            let moment = alerts::Moment::utc(1_700_000_000 + n as i64);
            let raw = RawEvent { moment, location: b"/x", payload: line.as_bytes() };
            let mut event = engine.decode(&raw);
            let judgement = engine.judge(&mut state, &mut event, &mut world);
            judgement.rule.map_or(0, |rule| engine.rule(rule).id)
        })
        .collect()
}

fn alert_json(engine: &Engine, line: &str) -> String {
    let raw =
        RawEvent { moment: alerts::Moment::utc(1), location: b"/x", payload: line.as_bytes() };
    let mut event = engine.decode(&raw);
    let judgement = engine.judge(&mut State::new(engine), &mut event, &mut MemoryWorld::default());
    let mut out = Vec::new();
    let alert = judgement.alert(engine, &event, 1).expect("an alert");
    alerts::write_json(&alert, &mut out);
    String::from_utf8(out).expect("UTF-8")
}

const JSON_RULES: &str = r#"
<rule id="100001" level="3"><decoded_as>json</decoded_as><description>any</description></rule>
<rule id="100002" level="5"><if_sid>100001</if_sid><field name="event.kind">^login$</field>
  <srcip>10.0.0.0/8</srcip><user>bob</user><description>login</description></rule>"#;

#[test]
fn a_line_of_json_has_fields_without_a_decoder() {
    let engine = load(JSON_RULES, Options::default());
    let login = r#"{"event":{"kind":"login"},"src_ip":"10.1.2.3","user":"bob","rule":"fake"}"#;
    let with_header = format!("Nov 14 22:13:20 h unknown[1]: {login}");
    let other = r#"{"event":{"kind":"logout"},"src_ip":"10.1.2.3","user":"bob"}"#;
    assert_eq!(judge(&engine, &[login, &with_header, other, "{ no"]), [100002, 100002, 100001, 0]);
    let alert: serde_json::Value = serde_json::from_str(&alert_json(&engine, login)).unwrap();
    assert_eq!(alert["srcip"], "10.1.2.3");
    assert_eq!(alert["decoder"], "json");
    assert_eq!(alert["fields"]["event.kind"], "login");
    assert_eq!(alert["fields"]["rule"], "fake");
    assert_eq!(alert["rule"]["sidid"], 100_002);
    let off = load(JSON_RULES, Options { decode_json: false, ..Options::default() });
    assert_eq!(judge(&off, &[login]), [0]);
}

#[test]
fn a_decoder_may_ask_for_json_and_escapes_are_seen_through() {
    let rules = r#"<rule id="100003" level="5"><decoded_as>doc</decoded_as><field name="A.b">x "y"</field>
  <description>doc</description></rule>"#;
    let engine = load(rules, Options::default());
    let line = r#"Nov 14 22:13:20 h doc[1]: prefix {"a":{"b":"x \"y\""}}"#;
    assert_eq!(judge(&engine, &[line]), [100_003]);
}

#[test]
fn a_line_of_the_journal_is_decoded_by_its_message() {
    let rules = r#"<rule id="100001" level="3"><decoded_as>app</decoded_as><hostname>web9</hostname>
        <user>bob</user><field name="_UID">^0$</field><description>x</description></rule>"#;
    let engine = load(rules, Options::default());
    let line = r#"{"_HOSTNAME":"web9","SYSLOG_IDENTIFIER":"app","_UID":"0","MESSAGE":"ip=1.1.1.1 user=bob shop=\"s\""}"#;
    assert_eq!(judge(&engine, &[line]), [100_001]);
}

#[test]
fn modern_headers_are_taken_apart_when_asked() {
    let rules = r#"<rule id="100001" level="3"><decoded_as>app</decoded_as><hostname>web1</hostname>
        <srcip>1.1.1.1</srcip><description>x</description></rule>
        <rule id="100002" level="4"><if_sid>100001</if_sid><field name="sd.o@1.k">^v "w"$</field><description>x</description></rule>"#;
    let rfc =
        r#"<34>1 2003-10-11T22:14:15.003Z web1 app 7 - [o@1 k="v \"w\""] ip=1.1.1.1 user=u shop=s"#;
    let zulu = "2003-10-11T22:14:15Z web1 app[7]: ip=1.1.1.1 user=u shop=s";
    let modern = Options { modern_headers: true, ..Options::default() };
    let data = Options { structured_data: true, ..modern.clone() };
    assert_eq!(judge(&load(rules, Options::default()), &[rfc, zulu]), [0, 0]);
    assert_eq!(judge(&load(rules, modern), &[rfc, zulu]), [100_001, 100_001]);
    assert_eq!(judge(&load(rules, data), &[rfc, zulu]), [100_002, 100_001]);
}

/// Three hits; the third completes a count if it is related to the two before.
fn third(relations: &str, hits: [&str; 3]) -> bool {
    third_with(relations, hits, Options::default())
}

fn third_with(relations: &str, hits: [&str; 3], options: Options) -> bool {
    let rules = format!(
        r#"<rule id="100001" level="3"><decoded_as>app</decoded_as><description>hit</description></rule>
        <rule id="100002" level="8" frequency="1" timeframe="60"><if_matched_sid>100001</if_matched_sid>
        {relations}<description>many</description></rule>"#
    );
    let lines = hits.map(|hit| format!("Nov 14 22:13:20 h app[7]: {hit}"));
    let engine = load(&rules, options);
    judge(&engine, &lines.each_ref().map(String::as_str))[2] == 100_002
}

#[test]
fn differences_are_asked_for() {
    let same =
        ["ip=1.1.1.1 user=a shop=s n1", "ip=1.1.1.1 user=a shop=s n2", "ip=1.1.1.1 user=a shop=s"];
    let other_user =
        ["ip=1.1.1.1 user=a shop=s", "ip=1.1.1.1 user=b shop=s", "ip=1.1.1.1 user=c shop=s"];
    assert!(third("<same_source_ip />", same));
    for tag in
        ["<not_same_user />", "<different_user />", "<different_field>user</different_field>"]
    {
        let relations = format!("<same_source_ip />{tag}");
        assert!(!third(&relations, same), "{tag}");
        assert!(third(&relations, other_user), "{tag}");
    }
    assert!(!third("<different_src_ip />", same));
    assert!(third("<different_srcip />", same), "known, without effect");
    let working = Options { different_srcip: true, ..Options::default() };
    assert!(!third_with("<different_srcip />", same, working));
    let compatible = Options { strict_compat: true, ..Options::default() };
    assert!(third_with("<not_same_user />", same, compatible));
    assert!(!third("<different_location />", same));
}

#[test]
fn fields_of_decoders_own_naming_are_compared() {
    let shops =
        ["ip=1.1.1.1 user=a shop=s", "ip=2.1.1.1 user=a shop=s", "ip=3.1.1.1 user=a shop=t"];
    let same = ["ip=1.1.1.1 user=a shop=s", "ip=2.1.1.1 user=a shop=s", "ip=3.1.1.1 user=a shop=s"];
    assert!(third("<same_field>shop</same_field>", same));
    assert!(!third("<same_field>shop</same_field>", shops));
    assert!(third("<different_field name=\"shop\" />", shops));
    assert!(!third("<different_field>shop</different_field>", same));
}

#[test]
fn a_negated_condition_holds_where_the_value_is_another() {
    let rules = r#"<rule id="100001" level="3"><decoded_as>app</decoded_as><match negate="yes">quiet|silent</match>
        <user negate="yes">root</user><srcip negate="yes">10.0.0.0/8</srcip><field name="shop" negate="yes">^s$</field>
        <description>x</description></rule>"#;
    let engine = load(rules, Options::default());
    let line = |text: &str| format!("Nov 14 22:13:20 h app[7]: {text}");
    for (text, rule) in [
        ("ip=1.1.1.1 user=bob shop=t", 100_001),
        ("ip=1.1.1.1 user=bob shop=t quiet", 0),
        ("ip=1.1.1.1 user=root shop=t", 0),
        ("ip=10.1.1.1 user=bob shop=t", 0),
        ("ip=1.1.1.1 user=bob shop=s", 0),
        // Without the value a condition holds neither way.
        ("nothing", 0),
    ] {
        assert_eq!(judge(&engine, &[&line(text)]), [rule], "{text}");
    }
    let mixed = r#"<rule id="1" level="3"><match>a</match><match negate="yes">b</match><description>x</description></rule>"#;
    assert!(try_load(mixed, Options::default()).unwrap_err().contains("negate"));
    let unknown = r#"<rule id="1" level="3"><if_sid negate="yes">1</if_sid><description>x</description></rule>"#;
    assert!(try_load(unknown, Options::default()).unwrap_err().contains("negated"));
}

#[test]
fn tags_of_a_rule_reach_its_json() {
    let rules = r#"<rule id="100001" level="3"><decoded_as>app</decoded_as>
        <mitre><id>T1110</id><id>T1078.002</id></mitre><group>gdpr_IV_35.7.d,hipaa_164.312.b,tsc_CC6.1,</group>
        <description>x</description></rule>"#;
    let alert = alert_json(&load(rules, Options::default()), "Nov 14 22:13:20 h app[7]: x");
    let alert: serde_json::Value = serde_json::from_str(&alert).unwrap();
    assert_eq!(alert["rule"]["mitre"]["id"], serde_json::json!(["T1110", "T1078.002"]));
    assert_eq!(alert["rule"]["GDPR"], serde_json::json!(["IV_35.7.d"]));
    assert_eq!(alert["rule"]["HIPAA"], serde_json::json!(["164.312.b"]));
    assert_eq!(alert["rule"]["groups"], serde_json::json!(["t"]));
}

#[test]
fn the_lines_own_time_counts_when_asked() {
    let rules = r#"<rule id="100001" level="3"><decoded_as>app</decoded_as><description>hit</description></rule>
        <rule id="100002" level="8" frequency="0" timeframe="60"><if_matched_sid>100001</if_matched_sid>
        <description>many</description></rule>"#;
    let hour = ["Nov 14 21:13:20 h app[7]: x", "Nov 14 22:13:20 h app[7]: x"];
    assert_eq!(judge(&load(rules, Options::default()), &hour), [100_001, 100_002]);
    let logged =
        |past| Options { event_time: EventTime::Logged { past, future: 60 }, ..Options::default() };
    assert_eq!(judge(&load(rules, logged(86_400)), &hour), [100_001, 100_001]);
    assert_eq!(judge(&load(rules, logged(600)), &hour), [100_001, 100_002], "too far off");
}

#[test]
fn lines_of_a_commands_output_stay_lines() {
    let raw = |payload| RawEvent { moment: alerts::Moment::utc(1), location: b"/x", payload };
    let seen = |options, payload| {
        let engine = load(JSON_RULES, options);
        String::from_utf8(engine.decode(&raw(payload)).full_log().to_vec()).unwrap()
    };
    assert_eq!(
        seen(Options::default(), b"ossec: output: 'x':\na\tb\n"),
        "ossec: output: 'x':\nab\n"
    );
    assert_eq!(seen(Options::default(), b"a\tb\nc"), "abc");
    let kept = Options { keep_lines: true, ..Options::default() };
    assert_eq!(seen(kept, b"a\tb\nc\r"), "a\tb\nc");
}

#[test]
fn a_flood_of_distinct_sources_does_not_grow_the_state() {
    let rules = r#"<rule id="100001" level="3"><decoded_as>app</decoded_as><ignore>srcip</ignore><group>g,</group><description>hit</description></rule>
        <rule id="100002" level="8" frequency="3" timeframe="60"><if_matched_group>g</if_matched_group><same_source_ip />
        <description>many</description></rule>"#;
    let options = Options {
        memory_size: 500,
        group_list_max: 200,
        ignore_max_keys: 300,
        ..Options::default()
    };
    let engine = load(rules, options);
    let (mut state, mut world) = (State::new(&engine), MemoryWorld::default());
    for n in 0..20_000_u32 {
        let line =
            format!("Nov 14 22:13:20 h app[7]: ip=10.{}.{}.1 user=u{n} shop=s", n / 250, n % 250);
        let moment = alerts::Moment::utc(1_700_000_000);
        let raw = RawEvent { moment, location: b"/x", payload: line.as_bytes() };
        engine.judge(&mut state, &mut engine.decode(&raw), &mut world);
    }
    let counts = state.counts();
    assert!(counts.events <= 500 && counts.ignored <= 300, "{counts:?}");
    assert!(counts.events_forgotten >= 19_000, "{counts:?}");
    assert!(counts.listed_forgotten >= 10_000, "{counts:?}");
    assert_eq!(counts.ignored_forgotten, 20_000 - 300);
}
