//! A small engine for the tests of this program.

use rules::{Engine, Mode, Options, Source};

const DECODERS: &[u8] = br#"
<decoder name="app">
  <program_name>^app</program_name>
</decoder>
<decoder name="app-login">
  <parent>app</parent>
  <regex>^login failed for (\S+) from (\S+)</regex>
  <order>user, srcip</order>
</decoder>
"#;

/// The rules of [`engine`].
pub(super) const RULES_TEXT: &str = r#"
<group name="local,">
  <rule id="100000" level="0">
    <decoded_as>app</decoded_as>
    <description>Lines of app.</description>
  </rule>
  <rule id="100001" level="5">
    <if_sid>100000</if_sid>
    <match>login failed</match>
    <description>app: login failed</description>
    <group>app,</group>
    <info type="link">https://example.org/app</info>
  </rule>
  <rule id="100002" level="10" frequency="4" timeframe="60">
    <if_matched_sid>100001</if_matched_sid>
    <same_source_ip />
    <description>app: many logins failed</description>
  </rule>
</group>
"#;

/// Knows one program, `app`, and counts its failed logins.
pub(super) fn engine() -> Engine {
    engine_of(RULES_TEXT.as_bytes())
}

/// The same decoders with other rules.
pub(super) fn engine_of(rules: &[u8]) -> Engine {
    let options = Options { mode: Mode::Tool, hostname: b"here".to_vec(), ..Options::default() };
    let decoders = [Source { name: "decoder.xml", text: DECODERS }];
    let rules = [Source { name: "rules.xml", text: rules }];
    rules::load(&decoders, &rules, &[], options).unwrap().engine
}
