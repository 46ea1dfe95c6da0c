//! Decoding, told again: which decoders were tried, and what each failed on.

use pattern::Captures;

use super::{Condition, cut};
use crate::decoder::{Base, Decoder, DecoderIndex};
use crate::engine::Engine;
use crate::event::Decoded;
use crate::text::{Language, Text};

/// One decoder that was tried.
#[derive(Debug)]
pub struct DecoderTrial {
    /// Its name as written; rules and outputs may know it by its parent's.
    pub name: String,
    /// The file that it stands in.
    pub file: String,
    /// Line in that file.
    pub line: usize,
    /// A child or a further step of the decoder that took the event.
    pub is_child: bool,
    /// What failed; `None`: it fits.
    pub failed: Option<Condition>,
    /// Names to which its pattern gave values.
    pub fields: Vec<String>,
}

/// Where the parts of the log begin that offsets name.
struct Places {
    parent: usize,
    prematch: usize,
    previous: Option<usize>,
}

impl Engine {
    /// The decoders that an event is tried on, in order. Empty for events of built-in decoders.
    pub fn explain_decoders(&self, event: &Decoded) -> Vec<DecoderTrial> {
        if event.is_builtin {
            return Vec::new();
        }
        let mut trials = Vec::new();
        let decoders = &self.decoders;
        let roots = match event.program_name() {
            Some(_) => &decoders.with_program,
            None => &decoders.without_program,
        };
        let mut captures = Captures::new();
        for root in roots.iter().filter_map(|&index| decoders.get(index)) {
            let matched = root_end(root, event, &mut captures);
            let (end, failed) = match matched {
                Ok(end) => (Some(end), None),
                Err(failed) => (None, Some(failed)),
            };
            trials.push(self.trial(root, false, failed));
            if let Some(end) = end {
                self.descend(root, end, event, &mut captures, &mut trials);
                break;
            }
        }
        trials
    }

    fn trial(&self, decoder: &Decoder, is_child: bool, failed: Option<Condition>) -> DecoderTrial {
        DecoderTrial {
            name: self.name(decoder.own_name).unwrap_or_default().to_owned(),
            file: decoder.file.clone(),
            line: decoder.line,
            is_child,
            failed,
            fields: Vec::new(),
        }
    }

    fn descend(
        &self,
        root: &Decoder,
        matched: usize,
        event: &Decoded,
        captures: &mut Captures,
        trials: &mut Vec<DecoderTrial>,
    ) {
        let mut places = Places { parent: matched, prematch: matched, previous: None };
        if root.children.is_empty() {
            let found = self.step(root, &mut places, event, captures);
            if let (Ok(fields), Some(trial)) = (found, trials.last_mut()) {
                trial.fields = fields;
            }
            return;
        }
        let child = |at: usize| {
            root.children.get(at).and_then(|&index: &DecoderIndex| self.decoders.get(index))
        };
        let mut at = 0;
        while let Some(decoder) = child(at) {
            if let Some(prematch) = &decoder.prematch {
                let from = if decoder.prematch_after_parent { matched } else { 0 };
                let text = event.log().get(from..).unwrap_or_default();
                let Some(end) = prematch.find(text, captures) else {
                    let tag = tag("prematch", prematch);
                    let failed = pattern_failed(tag, prematch, text);
                    trials.push(self.trial(decoder, true, Some(failed)));
                    while child(at).is_some_and(|child| child.has_next) {
                        at += 1;
                    }
                    at += 1;
                    continue;
                };
                places.prematch = from + end;
            }
            break;
        }
        while let Some(decoder) = child(at) {
            let found = self.step(decoder, &mut places, event, captures);
            let mut trial = self.trial(decoder, true, None);
            match found {
                Ok(fields) => trial.fields = fields,
                Err(failed) => trial.failed = Some(failed),
            }
            trials.push(trial);
            if decoder.plugin.is_some() || decoder.pattern.is_none() || !decoder.has_next {
                return;
            }
            at += 1;
        }
    }

    /// Runs a decoder's own pattern; gives the names that get a value.
    fn step(
        &self,
        decoder: &Decoder,
        places: &mut Places,
        event: &Decoded,
        captures: &mut Captures,
    ) -> Result<Vec<String>, Condition> {
        let Some(pattern) = &decoder.pattern else { return Ok(Vec::new()) };
        let base = match decoder.base {
            Base::Log => 0,
            Base::AfterParent => places.parent,
            Base::AfterPrematch => places.prematch,
            Base::AfterRegex => places.previous.unwrap_or(places.prematch),
        };
        let text = event.log().get(base..).unwrap_or_default();
        let found = pattern.find(text, captures);
        places.previous = found.map(|end| base + end);
        if found.is_none() {
            return Err(pattern_failed(tag("regex", pattern), pattern, text));
        }
        let named = decoder.order.iter().zip(captures.iter());
        Ok(named.map(|(item, _)| item.label().to_owned()).collect())
    }
}

/// Where a root's own tests end in the log, or the one that fails.
fn root_end(root: &Decoder, event: &Decoded, captures: &mut Captures) -> Result<usize, Condition> {
    let mut end = 0;
    if let Some(program) = &root.program {
        let name = event.program_name().unwrap_or_default();
        if !program.is_match(name) {
            return Err(pattern_failed(tag("program_name", program), program, name));
        }
    }
    if let Some(prematch) = &root.prematch {
        let found = prematch.find(event.log(), captures);
        end = found
            .ok_or_else(|| pattern_failed(tag("prematch", prematch), prematch, event.log()))?;
    }
    Ok(end)
}

fn pattern_failed(name: String, pattern: &Text, text: &[u8]) -> Condition {
    Condition { name, wanted: pattern.as_written().to_vec(), tried_on: Some(cut(text)) }
}

fn tag(name: &str, pattern: &Text) -> String {
    match (name, pattern.language()) {
        ("regex", Language::Pcre) => "pcre2".to_owned(),
        (name, Language::Pcre) => format!("{name}_pcre2"),
        (name, _) => name.to_owned(),
    }
}
