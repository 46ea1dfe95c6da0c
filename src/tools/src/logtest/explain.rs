//! `--explain`: what a line was tried on, and what failed, as text and as JSON. The form is described in `docs/explain.md`.

use rules::explain::{Condition, DecoderTrial, Explanation, Fact, Link, LinkStatus, RuleTrial};
use rules::{Decoded, Engine, RuleIndex};

use super::json;

/// What is shown of a text in a line for people.
const SHOWN: usize = 200;

/// One explained event.
pub(super) struct Explained<'a> {
    /// The engine that judged.
    pub(super) engine: &'a Engine,
    /// The event, decoded and judged.
    pub(super) event: &'a Decoded,
    /// What judging went through.
    pub(super) told: &'a Explanation,
    /// The rule in question.
    pub(super) why: Option<RuleIndex>,
}

impl Explained<'_> {
    /// Appends the text for people; `all`: also what failed on the decoder or the program alone.
    pub(super) fn write_text(&self, all: bool, out: &mut Vec<u8>) {
        let Self { engine, event, told, why } = self;
        line(out, b"\n**Line: ", &[event.log()]);
        let program = event.program_name().unwrap_or(b"(none)");
        line(out, b"  host ", &[event.hostname(), b", program ", program]);
        if why.is_none() || all {
            self.decoders(all, out);
            self.rules(all, out);
        }
        line(out, b"**Outcome: ", &[self.outcome().as_bytes()]);
        for fact in &told.facts {
            line(out, b"  ", &[fact.kind.as_bytes(), b": ", fact.text.as_bytes()]);
        }
        let Some(rule) = *why else { return };
        let id = engine.rule(rule).id.to_string();
        let fired = if told.judgement.rule == Some(rule) { " fired" } else { " did not fire" };
        line(out, b"**Why rule ", &[id.as_bytes(), fired.as_bytes()]);
        let chains = engine.why(told, event, rule);
        if chains.is_empty() {
            line(
                out,
                b"  ",
                &[b"it stands nowhere in the tree: no rule above it is what it asks for"],
            );
        }
        for chain in &chains {
            for link in chain {
                self.link(link, out);
            }
            out.push(b'\n');
        }
    }

    fn decoders(&self, all: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(b"**Decoders:\n");
        let trials = self.engine.explain_decoders(self.event);
        let mut passed_over = 0;
        for trial in &trials {
            let by_program =
                trial.failed.as_ref().is_some_and(|f| f.name.starts_with("program_name"));
            if by_program && !all {
                passed_over += 1;
                continue;
            }
            self.decoder(trial, out);
        }
        if passed_over > 0 {
            let text = format!("{passed_over} others are for other programs (-v shows them)");
            line(out, b"  ", &[text.as_bytes()]);
        }
        if trials.is_empty() {
            line(out, b"  ", &[b"none was asked"]);
        }
        let name = self.engine.decoder_name(self.event).unwrap_or("(none)");
        line(out, b"  => ", &[name.as_bytes()]);
    }

    fn decoder(&self, trial: &DecoderTrial, out: &mut Vec<u8>) {
        let indent: &[u8] = if trial.is_child { b"    " } else { b"  " };
        let place = format!("{} ({}:{})", trial.name, trial.file, trial.line);
        match &trial.failed {
            None if trial.fields.is_empty() => line(out, indent, &[b"yes ", place.as_bytes()]),
            None => {
                let fields = trial.fields.join(", ");
                line(out, indent, &[b"yes ", place.as_bytes(), b": ", fields.as_bytes()]);
            }
            Some(failed) => {
                line(out, indent, &[b"no  ", place.as_bytes(), b": ", &condition(failed)]);
            }
        }
    }

    fn rules(&self, all: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(b"**Rules:\n");
        let mut passed_over = 0;
        for trial in &self.told.rules {
            let by_decoder =
                trial.failed.as_ref().is_some_and(|failed| failed.name == "decoded_as");
            if by_decoder && !all {
                passed_over += 1;
                continue;
            }
            self.rule(trial, out);
        }
        if passed_over > 0 {
            let text = format!("{passed_over} others are for other decoders (-v shows them)");
            line(out, b"  ", &[text.as_bytes()]);
        }
    }

    fn rule(&self, trial: &RuleTrial, out: &mut Vec<u8>) {
        let rule = self.engine.rule(trial.rule);
        let indent = b"  ".repeat(trial.depth.min(40) + 1);
        let place = format!("{} (level {}, {}:{})", rule.id, rule.level, rule.file, rule.line);
        match &trial.failed {
            None => line(out, &indent, &[b"yes ", place.as_bytes()]),
            Some(failed) => {
                line(out, &indent, &[b"no  ", place.as_bytes(), b": ", &condition(failed)])
            }
        }
        facts(&trial.facts, &indent, out);
    }

    fn link(&self, link: &Link, out: &mut Vec<u8>) {
        let rule = self.engine.rule(link.rule);
        let place = format!("{} (level {}, {}:{}): ", rule.id, rule.level, rule.file, rule.line);
        let mut said = self.status(&link.status).into_bytes();
        match (&link.status, &link.failed) {
            (LinkStatus::Selected | LinkStatus::Matched, _) => {}
            (LinkStatus::Failed, Some(failed)) => {
                said.extend_from_slice(b": ");
                said.extend(condition(failed));
            }
            (LinkStatus::Failed, None) => {}
            (_, Some(failed)) => {
                said.extend_from_slice(b"; it would fail: ");
                said.extend(condition(failed));
            }
            (_, None) => said.extend_from_slice(b"; all that the line alone answers would hold"),
        }
        line(out, b"  ", &[place.as_bytes(), &said]);
        facts(&link.facts, b"  ", out);
    }

    fn status(&self, status: &LinkStatus) -> String {
        match status {
            LinkStatus::Selected => "matched, and was selected".to_owned(),
            LinkStatus::Matched => "matched".to_owned(),
            LinkStatus::Failed => "failed".to_owned(),
            LinkStatus::BehindFailure => {
                "not tried, since the rule above it did not match".to_owned()
            }
            LinkStatus::Beaten(by) => {
                format!("not tried, since rule {} was selected before", self.engine.rule(*by).id)
            }
            LinkStatus::OtherCategory(kind) => {
                format!("not tried, since the decoder is of another type ('{kind}')")
            }
            LinkStatus::NotJudged => "not tried".to_owned(),
        }
    }

    fn outcome(&self) -> String {
        let judgement = &self.told.judgement;
        match judgement.rule.map(|index| self.engine.rule(index)) {
            None => "no rule".to_owned(),
            Some(rule) => {
                let alert = if judgement.log { "alert" } else { "no alert" };
                let text = String::from_utf8_lossy(&rule.description);
                format!("rule {} (level {}), {alert}: {text}", rule.id, rule.level)
            }
        }
    }

    /// Appends one line of JSON.
    pub(super) fn write_json(&self, out: &mut Vec<u8>) {
        let Self { engine, event, told, why } = self;
        out.extend_from_slice(b"{\"log\":");
        json::string(event.log(), out);
        out.extend_from_slice(b",\"program_name\":");
        json::optional(event.program_name(), out);
        out.extend_from_slice(b",\"decoder\":");
        json::optional(engine.decoder_name(event).map(str::as_bytes), out);
        out.extend_from_slice(b",\"decoders\":");
        array(&engine.explain_decoders(event), out, |trial, out| {
            out.extend_from_slice(b"{\"name\":");
            json::string(trial.name.as_bytes(), out);
            out.extend_from_slice(b",\"file\":");
            json::string(trial.file.as_bytes(), out);
            let middle =
                format!(",\"line\":{},\"child\":{},\"failed\":", trial.line, trial.is_child);
            out.extend_from_slice(middle.as_bytes());
            json_condition(trial.failed.as_ref(), out);
            out.extend_from_slice(b",\"fields\":");
            array(&trial.fields, out, |field, out| json::string(field.as_bytes(), out));
            out.push(b'}');
        });
        out.extend_from_slice(b",\"rules\":");
        array(&told.rules, out, |trial, out| {
            self.json_rule(trial.rule, out);
            let depth = format!(",\"depth\":{},\"failed\":", trial.depth);
            out.extend_from_slice(depth.as_bytes());
            json_condition(trial.failed.as_ref(), out);
            json_facts(&trial.facts, out);
            out.push(b'}');
        });
        let rule = told.judgement.rule.map(|index| engine.rule(index));
        let number = |n: Option<u32>| n.map_or("null".to_owned(), |n| n.to_string());
        let outcome = format!(
            ",\"rule\":{},\"level\":{},\"alert\":{}",
            number(rule.map(|rule| rule.id)),
            number(rule.map(|rule| rule.level.into())),
            told.judgement.log
        );
        out.extend_from_slice(outcome.as_bytes());
        json_facts(&told.facts, out);
        if let Some(rule) = *why {
            out.extend_from_slice(b",\"why\":{");
            let inner = format!("\"rule\":{},\"places\":", engine.rule(rule).id);
            out.extend_from_slice(inner.as_bytes());
            array(&engine.why(told, event, rule), out, |chain, out| {
                array(chain, out, |link, out| self.json_link(link, out));
            });
            out.push(b'}');
        }
        out.extend_from_slice(b"}\n");
    }

    fn json_rule(&self, rule: RuleIndex, out: &mut Vec<u8>) {
        let rule = self.engine.rule(rule);
        let start = format!("{{\"rule\":{},\"level\":{},\"file\":", rule.id, rule.level);
        out.extend_from_slice(start.as_bytes());
        json::string(rule.file.as_bytes(), out);
        out.extend_from_slice(format!(",\"line\":{}", rule.line).as_bytes());
    }

    fn json_link(&self, link: &Link, out: &mut Vec<u8>) {
        let status = match link.status {
            LinkStatus::Selected => "selected",
            LinkStatus::Matched => "matched",
            LinkStatus::Failed => "failed",
            LinkStatus::BehindFailure => "behind_failure",
            LinkStatus::Beaten(_) => "beaten",
            LinkStatus::OtherCategory(_) => "other_type",
            LinkStatus::NotJudged => "not_judged",
        };
        self.json_rule(link.rule, out);
        out.extend_from_slice(format!(",\"status\":\"{status}\"").as_bytes());
        if let LinkStatus::Beaten(by) = link.status {
            out.extend_from_slice(format!(",\"by\":{}", self.engine.rule(by).id).as_bytes());
        }
        out.extend_from_slice(b",\"failed\":");
        json_condition(link.failed.as_ref(), out);
        json_facts(&link.facts, out);
        out.push(b'}');
    }
}

fn array<T>(items: &[T], out: &mut Vec<u8>, mut write: impl FnMut(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

fn json_condition(condition: Option<&Condition>, out: &mut Vec<u8>) {
    let Some(Condition { name, wanted, tried_on }) = condition else {
        out.extend_from_slice(b"null");
        return;
    };
    out.extend_from_slice(b"{\"condition\":");
    json::string(name.as_bytes(), out);
    out.extend_from_slice(b",\"wanted\":");
    json::string(wanted, out);
    out.extend_from_slice(b",\"tried_on\":");
    json::optional(tried_on.as_deref(), out);
    out.push(b'}');
}

fn json_facts(facts: &[Fact], out: &mut Vec<u8>) {
    if facts.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"facts\":");
    array(facts, out, |fact, out| {
        out.extend_from_slice(b"{\"kind\":");
        json::string(fact.kind.as_bytes(), out);
        out.extend_from_slice(b",\"text\":");
        json::string(fact.text.as_bytes(), out);
        for (name, value) in &fact.numbers {
            out.extend_from_slice(format!(",\"{name}\":{value}").as_bytes());
        }
        out.push(b'}');
    });
}

fn facts(facts: &[Fact], indent: &[u8], out: &mut Vec<u8>) {
    for fact in facts {
        line(out, indent, &[b"    ", fact.kind.as_bytes(), b": ", fact.text.as_bytes()]);
    }
}

/// `match 'failed' on 'session opened'`
fn condition(failed: &Condition) -> Vec<u8> {
    let mut out = failed.name.clone().into_bytes();
    out.extend_from_slice(b" '");
    out.extend_from_slice(cut(&failed.wanted));
    match &failed.tried_on {
        None => out.extend_from_slice(b"', and the event has no such value"),
        Some(text) => {
            out.extend_from_slice(b"' on '");
            out.extend_from_slice(cut(text));
            out.extend_from_slice(if text.len() > SHOWN { b"'..." } else { b"'" });
        }
    }
    out
}

fn cut(text: &[u8]) -> &[u8] {
    text.get(..SHOWN).unwrap_or(text)
}

/// One line; control bytes of events cannot begin another.
fn line(out: &mut Vec<u8>, start: &[u8], parts: &[&[u8]]) {
    out.extend_from_slice(start);
    let bytes = parts.iter().flat_map(|part| part.iter());
    out.extend(bytes.map(|&byte| if byte.is_ascii_control() { b' ' } else { byte }));
    out.push(b'\n');
}
