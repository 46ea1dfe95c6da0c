//! Lint: each class of finding is said where it is true, with file and line, and nowhere else.

#![allow(clippy::unwrap_used, reason = "a panic in a test is the report")]

use rules::lint::{Finding, Severity, lint, unheard_file_events};
use rules::{Mode, Options, Source};

const DECODERS: &str = r#"<decoder name="app"><program_name>^app</program_name></decoder>
<decoder name="web"><prematch>^GET</prematch><type>web-log</type></decoder>
"#;

fn look_at(decoders: &str, rules: &str) -> Vec<Finding> {
    let rules = format!(
        "<group name=\"g,\">\n<rule id=\"1\" level=\"0\"><description>top</description></rule>\n<rule id=\"3\" level=\"0\"><category>web-log</category><description>web</description></rule>\n{rules}\n</group>"
    );
    let decoders = format!("{DECODERS}{decoders}");
    let decoders = [Source { name: "decoder.xml", text: decoders.as_bytes() }];
    let rules = [Source { name: "rules.xml", text: rules.as_bytes() }];
    let options = Options { mode: Mode::Tool, ..Options::default() };
    let loaded = rules::load(&decoders, &rules, &[], options).unwrap_or_else(|e| panic!("{e:?}"));
    lint(&decoders, &rules, &loaded.engine)
}

/// Class and line of all warnings; rules begin at line 4, decoders at line 3.
fn warnings(decoders: &str, rules: &str) -> Vec<(&'static str, usize)> {
    let found = look_at(decoders, rules).into_iter();
    let warnings = found.filter(|finding| finding.severity == Severity::Warning);
    warnings.map(|finding| (finding.class, finding.line)).collect()
}

fn of_rules(rules: &str) -> Vec<(&'static str, usize)> {
    warnings("", rules)
}

#[test]
fn plain_rules_and_decoders_have_no_warning() {
    let decoders = r#"<decoder name="a1"><parent>app</parent><prematch>^in </prematch><regex offset="after_prematch">^(\S+)</regex><order>user</order></decoder>
<decoder name="a2"><parent>app</parent><regex>from (\S+)</regex><order>srcip</order></decoder>
<decoder name="a2"><parent>app</parent><regex offset="after_regex">port (\d+)</regex><order>srcport</order></decoder>
"#;
    let rules = r#"<rule id="100" level="5"><decoded_as>app</decoded_as><match>x</match><group>x,</group><description>d</description></rule>
<rule id="101" level="5"><category>web-log</category><decoded_as>web</decoded_as><description>d</description></rule>
<rule id="102" level="8" frequency="3" timeframe="60"><if_matched_sid>100</if_matched_sid><same_user/><description>d</description></rule>
<rule id="103" level="5"><if_sid>100</if_sid><time>6 pm - 8 am</time><pcre2>\bx\b</pcre2><description>d</description></rule>"#;
    assert_eq!(warnings(decoders, rules), []);
}

#[test]
fn rules_that_no_event_can_come_to_are_told() {
    for rules in [
        // A decoder of another type than the top.
        r#"<rule id="100" level="5"><decoded_as>web</decoded_as><description>d</description></rule>"#,
        // Another decoder than the parent's.
        r#"<rule id="99" level="5"><decoded_as>app</decoded_as><description>d</description></rule><rule id="100" level="5"><if_sid>99</if_sid><decoded_as>web</decoded_as><description>d</description></rule>"#,
        // No parent of this group.
        r#"<rule id="100" level="5"><if_group>nobody</if_group><description>d</description></rule>"#,
        // A sibling that takes everything.
        r#"<rule id="98" level="3"><match>m</match><description>d</description></rule><rule id="99" level="0"><if_sid>98</if_sid><description>d</description></rule><rule id="100" level="5"><if_sid>98</if_sid><match>x</match><description>d</description></rule>"#,
        // A country.
        r#"<rule id="100" level="5"><srcgeoip>DE</srcgeoip><description>d</description></rule>"#,
    ] {
        let found = look_at("", rules);
        let unreachable: Vec<_> = found.iter().filter(|f| f.class == "unreachable").collect();
        assert_eq!(unreachable.len(), 1, "{rules}: {found:#?}");
        assert_eq!((unreachable[0].rule, unreachable[0].line), (Some(100), 4));
        assert_eq!(unreachable[0].file, "rules.xml");
    }
}

#[test]
fn counting_that_cannot_come_to_anything_is_told() {
    let silent = r#"<rule id="100" level="0"><match>x</match><description>d</description></rule>
<rule id="101" level="8" frequency="2" timeframe="60"><if_matched_sid>100</if_matched_sid><description>d</description></rule>"#;
    assert_eq!(of_rules(silent), [("counts-nothing", 5)]);
    let high = r#"<rule id="100" level="5"><match>x</match><description>d</description></rule>
<rule id="101" level="8" frequency="500" timeframe="60"><if_matched_sid>100</if_matched_sid><description>d</description></rule>"#;
    assert_eq!(of_rules(high), [("frequency-too-high", 5)]);
    let zero = r#"<rule id="100" level="5"><match>x</match><description>d</description></rule>
<rule id="101" level="8" frequency="5" timeframe="0"><if_matched_sid>100</if_matched_sid><description>d</description></rule>"#;
    assert_eq!(of_rules(zero), [("timeframe", 5)]);
    let alone = r#"<rule id="100" level="5" timeframe="9"><match>x</match><description>d</description></rule>"#;
    assert_eq!(of_rules(alone), [("timeframe", 4)]);
}

#[test]
fn who_does_not_count_for_a_group_is_told() {
    let rules = r#"<rule id="100" level="5"><match>x</match><group>bad,</group><description>d</description></rule>
<rule id="101" level="8" frequency="2" timeframe="60"><if_matched_sid>100</if_matched_sid><description>d</description></rule>
<rule id="102" level="5"><match>y</match><group>bad,</group><description>d</description></rule>
<rule id="103" level="8" frequency="2" timeframe="60"><if_matched_group>bad</if_matched_group><description>d</description></rule>
<rule id="104" level="5"><match>z</match><group>bad,</group><description>d</description></rule>"#;
    assert_eq!(of_rules(rules), [("loaded-later", 7)]);
    let notes = |rules: &str| -> Vec<_> {
        let found = look_at("", rules).into_iter().filter(|f| f.severity == Severity::Note);
        found.map(|f| (f.class, f.line)).filter(|(class, _)| *class != "frequency").collect()
    };
    assert_eq!(notes(rules), [("hidden-from-group", 7)]);
    let twice = r#"<rule id="100" level="5"><match>x</match><description>d</description></rule>
<rule id="101" level="5"><match>y</match><description>d</description></rule>
<rule id="102" level="5"><if_sid>100,101</if_sid><match>z</match><group>bad,</group><description>d</description></rule>
<rule id="103" level="8" frequency="2" timeframe="60"><if_matched_group>bad</if_matched_group><description>d</description></rule>"#;
    assert_eq!(notes(twice), [("counts-twice", 7)]);
}

#[test]
fn tags_that_do_not_do_what_they_say_are_told() {
    let rule = |tags: &str| {
        format!("<rule id=\"100\" level=\"5\">\n{tags}<description>d</description></rule>")
    };
    for (class, tags) in [
        ("hidden-pattern", "<match>x</match><match_pcre2>y</match_pcre2>"),
        ("backtracking", r"<pcre2>(?=x)y</pcre2>"),
        ("control-bytes", r"<regex>a\tb</regex>"),
        ("noon", "<time>12 am - 6 am</time>"),
        ("lost-negation", "<time>!10 pm - 6 am</time>"),
        ("if-level", "<if_level>3</if_level>"),
        (
            "inverted-lookup",
            "<list field=\"srcip\" lookup=\"address_match_key_value\" check_value=\"x\">lists/a</list>",
        ),
    ] {
        let found = of_rules(&rule(tags));
        assert!(found.contains(&(class, 5)), "{class}: {found:?}");
    }
    assert_eq!(of_rules(&rule("<time>!8 am - 6 pm</time>")), []);
    assert_eq!(of_rules(&rule(r"<regex>C:\\temp</regex>")), []);
    assert_eq!(
        of_rules(
            "<rule id=\"100\" level=\"5\" noalert=\"0\" maxsize=\"9\"><match>x</match><description>d</description></rule>"
        ),
        [("noalert", 4)]
    );
}

#[test]
fn groups_that_run_together_are_told() {
    let rule = |groups: &str| {
        format!(
            "<rule id=\"100\" level=\"5\"><match>x</match>{groups}<description>d</description></rule>"
        )
    };
    assert_eq!(of_rules(&rule("<group>a</group><group>b,</group>")), [("joined-groups", 4)]);
    assert_eq!(of_rules(&rule("<group>a,</group><group>b</group>")), []);
}

#[test]
fn what_an_overwriting_rule_says_in_vain_is_told() {
    let rules = r#"<rule id="100" level="5"><pcre2>x</pcre2><description>d</description></rule>
<rule id="100" level="7" overwrite="yes">
<pcre2>y</pcre2><description>d</description></rule>"#;
    assert_eq!(of_rules(rules), [("overwrite", 5), ("overwrite", 6)]);
    let counts = r#"<rule id="99" level="5"><match>x</match><description>d</description></rule>
<rule id="100" level="5"><if_sid>99</if_sid><match>y</match><description>d</description></rule>
<rule id="100" level="7" frequency="3" timeframe="9" overwrite="yes"><if_matched_sid>99</if_matched_sid><description>d</description></rule>"#;
    assert!(of_rules(counts).contains(&("overwrite", 6)));
}

#[test]
fn odd_decoders_are_told() {
    let blocked = r#"<decoder name="a1"><parent>app</parent><regex>from (\S+)</regex><order>srcip</order></decoder>
<decoder name="a2"><parent>app</parent><prematch>^in</prematch><regex>by (\S+)</regex><order>user</order></decoder>
"#;
    assert_eq!(warnings(blocked, ""), [("blocked-sibling", 4)]);
    let child = r#"<decoder name="w1"><parent>web</parent><regex>from (\S+)</regex><order>srcip</order><fts>srcuser</fts></decoder>"#;
    assert_eq!(warnings(child, ""), [("fts-srcuser", 3), ("child-type", 3)]);
    let shift = r#"<decoder name="a1"><parent>app</parent><regex>from (\S+)|by (\S+)</regex><order>srcip, user</order></decoder>"#;
    assert_eq!(warnings(shift, ""), [("captures-shift", 3)]);
    let same = r#"<decoder name="a1"><parent>app</parent><regex>from (\S+)|at (\S+)</regex><order>srcip</order></decoder>"#;
    assert_eq!(warnings(same, ""), []);
}

#[test]
fn notes_tell_when_a_count_fires_and_whom_silence_hits() {
    let rules = r#"<rule id="100" level="5" ignore="60"><match>x</match><description>d</description></rule>
<rule id="101" level="8" frequency="6"><if_matched_sid>100</if_matched_sid><description>d</description></rule>"#;
    let found = look_at("", rules);
    let notes: Vec<_> = found.iter().map(|f| (f.class, f.severity, f.line)).collect();
    let note = Severity::Note;
    assert_eq!(notes, [("silence", note, 4), ("frequency", note, 5), ("timeframe", note, 5)]);
    assert!(found[1].text.contains("event 8"), "{}", found[1].text);
}

#[test]
fn file_events_that_no_rule_can_take_are_told_with_the_reason() {
    let of = |rules: &str| {
        let rules = format!("<group name=\"ossec,\">\n{rules}\n</group>");
        let rules = [Source { name: "rules.xml", text: rules.as_bytes() }];
        let loaded = rules::load(&[], &rules, &[], Options::default()).unwrap();
        unheard_file_events(&loaded.engine)
    };
    let rule = |id: u32, more: &str| {
        format!(
            "<rule id=\"{id}\" level=\"7\"><category>ossec</category>{more}<description>d</description></rule>\n"
        )
    };
    let top = "<rule id=\"7\" level=\"0\" noalert=\"1\"><category>ossec</category><description>t</description></rule>\n";
    let names = [
        "integrity_changed",
        "integrity_changed_2nd",
        "integrity_changed_3rd",
        "deleted",
        "new_entry",
    ];
    let each: String = (550..)
        .zip(names)
        .map(|(id, name)| rule(id, &format!("<decoded_as>syscheck_{name}</decoded_as>")))
        .collect();
    assert_eq!(of(&format!("{top}{each}")), None);
    // A rule for whatever comes.
    assert_eq!(of(&format!("{top}{}", rule(9, "<match>changed</match>"))), None);

    let none = of(top).unwrap();
    assert!(
        none.contains("(syscheck_integrity_changed, ") && none.contains("no rule is made"),
        "{none}"
    );
    // Without a top of its own a type's first rule becomes the top.
    let first = rule(510, "<decoded_as>rootcheck</decoded_as>");
    let beyond = of(&format!("{first}{each}")).unwrap();
    assert!(
        beyond.contains("rule 550 (rules.xml:3) is out of reach: decoded_as 'syscheck_integrity_changed' is wanted, but rule 510 (rules.xml:2) above"),
        "{beyond}"
    );
    let deleted = each.replace("syscheck_deleted", "rootcheck");
    let one = of(&format!("{top}{deleted}")).unwrap();
    assert!(one.contains("never alert (syscheck_deleted): "), "{one}");
}
