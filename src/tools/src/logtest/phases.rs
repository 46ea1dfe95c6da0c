//! The three phases as text, in the form that users and their scripts know from OSSEC.

use rules::{Decoded, Engine, Step};

use super::session::Verdict;

/// Appends phases 1 and 2.
pub(super) fn write_decoding(engine: &Engine, event: &Decoded, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\n\n**Phase 1: Completed pre-decoding.");
    item(out, b"full event", event.full_log());
    item(out, b"hostname", event.hostname());
    item(out, b"program_name", event.program_name().unwrap_or(b"(null)"));
    item(out, b"log", event.log());
    if engine.has_no_decoder_for(event) {
        out.push(b'\n');
        return;
    }
    out.extend_from_slice(b"\n\n**Phase 2: Completed decoding.");
    for (label, value) in engine.assignments(event) {
        item(out, label.as_bytes(), value);
    }
    match engine.decoder_name(event) {
        Some(name) => item(out, b"decoder", name.as_bytes()),
        None => out.extend_from_slice(b"\n       No decoder matched."),
    }
    out.push(b'\n');
}

/// Appends the rules that were tried.
pub(super) fn write_trace(engine: &Engine, verdict: &Verdict, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\n**Rule debugging:\n");
    for step in &verdict.steps {
        let text = match *step {
            Step::Trying(index) => {
                let rule = engine.rule(index);
                out.extend_from_slice(format!("    Trying rule: {} - ", rule.id).as_bytes());
                out.extend_from_slice(&rule.description);
                out.push(b'\n');
                continue;
            }
            Step::Matched(index) => format!("       *Rule {} matched.\n", engine.rule(index).id),
            Step::Children(_) => "       *Trying child rules.\n".to_owned(),
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// Appends phase 3; nothing when no rule was selected.
pub(super) fn write_filtering(engine: &Engine, verdict: &Verdict, out: &mut Vec<u8>) {
    let Some(index) = verdict.judgement.rule else { return };
    let rule = engine.rule(index);
    out.extend_from_slice(b"\n**Phase 3: Completed filtering (rules).");
    item(out, b"Rule id", rule.id.to_string().as_bytes());
    item(out, b"Level", rule.level.to_string().as_bytes());
    item(out, b"Description", &rule.description);
    for info in &rule.infos {
        item(out, format!("Info - {}", info.kind).as_bytes(), &info.text);
    }
    out.push(b'\n');
    if verdict.judgement.log {
        out.extend_from_slice(b"**Alert to be generated.\n\n\n");
    }
}

fn item(out: &mut Vec<u8>, label: &[u8], value: &[u8]) {
    out.extend_from_slice(b"\n       ");
    out.extend_from_slice(label);
    out.extend_from_slice(b": '");
    out.extend_from_slice(value);
    out.push(b'\'');
}

#[cfg(test)]
mod tests {
    use alerts::Moment;

    use super::*;
    use crate::logtest::samples;
    use crate::logtest::script::DecodedBy;
    use crate::logtest::session::Session;

    fn text(line: &[u8]) -> String {
        let engine = samples::engine();
        let mut session = Session::new(&engine);
        let mut out = Vec::new();
        let event = session.decode(line, DecodedBy::Decoders, b"stdin", Moment::utc(1_700_000_000));
        write_decoding(&engine, &event, &mut out);
        let verdict = session.judge_traced(event);
        write_trace(&engine, &verdict, &mut out);
        write_filtering(&engine, &verdict, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_alert_goes_through_all_phases() {
        assert_eq!(
            text(b"Nov 14 22:13:20 web1 app[7]: login failed for bob from 10.0.0.1"),
            "

**Phase 1: Completed pre-decoding.
       full event: 'Nov 14 22:13:20 web1 app[7]: login failed for bob from 10.0.0.1'
       hostname: 'web1'
       program_name: 'app'
       log: 'login failed for bob from 10.0.0.1'

**Phase 2: Completed decoding.
       dstuser: 'bob'
       srcip: '10.0.0.1'
       decoder: 'app'

**Rule debugging:
    Trying rule: 100000 - Lines of app.
       *Rule 100000 matched.
       *Trying child rules.
    Trying rule: 100001 - app: login failed
       *Rule 100001 matched.
       *Trying child rules.
    Trying rule: 100002 - app: many logins failed

**Phase 3: Completed filtering (rules).
       Rule id: '100001'
       Level: '5'
       Description: 'app: login failed'
       Info - Link: 'https://example.org/app'
**Alert to be generated.


"
        );
    }

    #[test]
    fn a_line_that_nobody_knows_ends_at_phase_two() {
        assert_eq!(
            text(b"Nov 14 22:13:20 web1 other: hello"),
            "

**Phase 1: Completed pre-decoding.
       full event: 'Nov 14 22:13:20 web1 other: hello'
       hostname: 'web1'
       program_name: 'other'
       log: 'hello'

**Phase 2: Completed decoding.
       No decoder matched.

**Rule debugging:
    Trying rule: 100000 - Lines of app.
"
        );
    }
}
