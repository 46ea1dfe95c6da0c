//! The engine: phase 1, and the tree that both phases walk.

use std::collections::HashMap;
use std::sync::Arc;

use crate::builtin;
use crate::condition::{Check, dynamic_span};
use crate::correlate::Correlation;
use crate::decoder::{Decoders, FtsMask, NameId};
use crate::event::{Builtin, Decoded, Field, FileDetails, Pruned, RawEvent, Span};
use crate::forwarded;
use crate::gates::{DecoderMasks, prefilter};
use crate::json;
use crate::lists::ListLookup;
use crate::memory::ListPlan;
use crate::modern::{self, Modern};
use crate::options::{EventTime, Mode, Options};
use crate::plugin::{self, Plugin};
use crate::predecode::{Header, predecode};
use crate::prefilter::{OpenGates, Prefilter};
use crate::rule::{Category, Rule, RuleIndex};
use crate::runs::Runs;

/// Decoders, rules and lists, checked and compiled. Immutable: share it between threads.
#[derive(Debug)]
pub struct Engine {
    pub(crate) options: Options,
    pub(crate) decoders: Decoders,
    names: Vec<String>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) compiled: Vec<Compiled>,
    pub(crate) nodes: Vec<Node>,
    /// The first nodes are the tops of the tree.
    pub(crate) roots: usize,
    by_id: HashMap<u32, usize>,
    /// The lists that correlation keeps.
    pub(crate) lists: Vec<ListPlan>,
    /// Fields of decoders' own naming that rules compare between events.
    tracked_names: Box<[Box<str>]>,
    pub(crate) runs: Runs,
    prefilter: Prefilter,
    masks: DecoderMasks,
    /// The name of JSON that no decoder took.
    json_name: NameId,
}

/// A node of the tree; its children are neighbours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    pub(crate) rule: u32,
    pub(crate) first_child: u32,
    pub(crate) end_child: u32,
}

/// What judging needs of a rule.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) category: Category,
    pub(crate) decoded_as: Option<NameId>,
    pub(crate) checks: Box<[Check]>,
    pub(crate) stateful: Option<Box<Stateful>>,
    pub(crate) noalert: bool,
    pub(crate) ignore_mask: FtsMask,
    pub(crate) check_ignored_mask: FtsMask,
    /// The lists that its events enter.
    pub(crate) lists: Arc<[usize]>,
}

/// The conditions that depend on what came before, in the order of the language.
#[derive(Debug)]
pub(crate) struct Stateful {
    pub(crate) check_diff: bool,
    pub(crate) if_fts: bool,
    /// Lists that stand behind a condition with an effect.
    pub(crate) lists: Vec<ListLookup>,
    pub(crate) correlation: Option<Correlation>,
}

impl Stateful {
    pub(crate) fn is_empty(&self) -> bool {
        !self.check_diff && !self.if_fts && self.lists.is_empty() && self.correlation.is_none()
    }
}

/// The finished rule tree.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) rules: Vec<Rule>,
    pub(crate) compiled: Vec<Compiled>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) roots: usize,
    pub(crate) by_id: HashMap<u32, usize>,
    /// The lists that correlation keeps.
    pub(crate) lists: Vec<ListPlan>,
    /// Fields of decoders' own naming that rules compare between events.
    pub(crate) tracked_names: Box<[Box<str>]>,
}

/// What an engine is made of.
pub(crate) struct Parts {
    pub(crate) decoders: Decoders,
    pub(crate) names: Vec<String>,
    pub(crate) json_name: NameId,
    pub(crate) tree: Tree,
    pub(crate) options: Options,
}

impl Engine {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { decoders, names, json_name, tree, options } = parts;
        let Tree { rules, compiled, nodes, roots, by_id, lists, tracked_names } = tree;
        let prefilter = prefilter(&nodes, &compiled, &decoders);
        let runs = Runs::new(&nodes, &compiled);
        let masks = DecoderMasks::new(&nodes, &compiled, roots);
        Self {
            options,
            decoders,
            names,
            rules,
            compiled,
            nodes,
            roots,
            by_id,
            lists,
            tracked_names,
            runs,
            prefilter,
            masks,
            json_name,
        }
    }

    /// The same rules, in the service of the other program.
    pub fn with_mode(mut self, mode: Mode) -> Self {
        self.options.mode = mode;
        self
    }

    /// Phase 1 for a log line: pre-decodes, decodes and prunes the rule tree.
    pub fn decode(&self, event: &RawEvent<'_>) -> Decoded {
        let mut decoded = Decoded::default();
        self.decode_into(event, &mut decoded);
        decoded
    }

    /// As [`decode`](Self::decode), using the memory of an earlier event again.
    pub fn decode_into(&self, event: &RawEvent<'_>, decoded: &mut Decoded) {
        decoded.clear();
        decoded.moment = event.moment;
        self.take_text(event.location, event.payload, self.cleaning(event.payload), decoded);
        let base = decoded.full_log.start();
        let header = self.header(base, decoded);
        decoded.log = Span::within(base, header.log);
        decoded.program_name = header.program_name.map_or(Span::NONE, |at| Span::within(base, at));
        decoded.hostname = header.hostname.map_or(Span::NONE, |at| Span::within(base, at));
        decoded.time = self.time(decoded);
        let decodes_json = self.options.decode_json && !self.options.strict_compat;
        let from_journal = decodes_json && json::journal(decoded);
        self.settle_hostname(decoded);
        let mut open = std::mem::take(&mut decoded.open);
        self.prefilter.scan(decoded.full_log(), &mut open);
        if decoded.has_foreign_values {
            self.prefilter.open_all(&mut open);
        }
        let mut captures = std::mem::take(&mut decoded.captures);
        self.decoders.decode(decoded, &self.prefilter.gates(&open), &mut captures);
        decoded.captures = captures;
        if let Some(plugin) = decoded.plugin {
            self.run_plugin(plugin, decoded);
        } else if decodes_json && !from_journal && decoded.decoder.is_none() {
            self.decode_json(decoded);
        }
        self.track(decoded);
        self.settle_firewall(decoded);
        decoded.open = open;
        self.prune(decoded);
    }

    /// Phase 1 for an event of a built-in decoder, whose text and facts are ready.
    pub fn decode_builtin(
        &self,
        builtin: Builtin,
        event: &RawEvent<'_>,
        file: Option<FileDetails>,
    ) -> Decoded {
        let mut decoded =
            Decoded { moment: event.moment, time: event.moment.epoch, ..Decoded::default() };
        self.take_text(event.location, event.payload, Cleaning::KeepLines, &mut decoded);
        decoded.log = decoded.full_log;
        self.settle_hostname(&mut decoded);
        decoded.category = Category::Ossec;
        let (name, printed) = builtin::names(builtin);
        decoded.decoder_name = NameId(name);
        decoded.printed_name = NameId(printed);
        decoded.is_builtin = true;
        let mut file = file;
        if let Builtin::Rootcheck { is_new } = builtin {
            decoded.is_new = is_new;
            file = file.or_else(|| builtin::rootcheck_file(decoded.full_log()));
        }
        if matches!(builtin, Builtin::FileChanged(_) | Builtin::FileNew | Builtin::FileDeleted) {
            // The name is a copy of the location here, so records print both.
            decoded.hostname_is_location = false;
        }
        if let Some(file) = file {
            let path = decoded.append(&file.path);
            decoded.set(Field::FileName, path);
            for (name, value) in &file.fields {
                let name = decoded.append(name.as_bytes());
                let value = decoded.append(value);
                decoded.named.push((name, value));
                // The text has them in other words, or not at all.
                decoded.has_foreign_values = true;
            }
            decoded.file = Some(Box::new(file));
        }
        let mut open = std::mem::take(&mut decoded.open);
        self.prefilter.scan(decoded.full_log(), &mut open);
        decoded.open = open;
        self.prune(&mut decoded);
        decoded
    }

    /// The rule at an index; of another engine's index, the last rule.
    ///
    /// # Panics
    /// If the engine has no rules: then no index comes from it.
    pub fn rule(&self, index: RuleIndex) -> &Rule {
        self.rules
            .get(index.at())
            .or(self.rules.last())
            .expect("an index of this engine names one of its rules")
    }

    /// The rule of this number.
    pub fn rule_by_id(&self, id: u32) -> Option<RuleIndex> {
        self.by_id.get(&id).and_then(|&at| u32::try_from(at).ok()).map(RuleIndex)
    }

    /// All rules, in the order of the files.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Name of the decoder that took the event, as outputs print it; `None` if none did.
    pub fn decoder_name(&self, event: &Decoded) -> Option<&str> {
        self.name(event.printed_name)
    }

    /// Every value that a decoder assigned, in order, with the label of the test tool.
    pub fn assignments<'a>(
        &'a self,
        event: &'a Decoded,
    ) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        event.assigned.iter().filter_map(|assigned| {
            let item =
                self.decoders.get(assigned.decoder)?.order.get(assigned.position as usize)?;
            Some((item.label(), assigned.value.of(&event.bytes)?))
        })
    }

    /// Whether no decoder is of the kind that this event needs (with or without a program name).
    pub fn has_no_decoder_for(&self, event: &Decoded) -> bool {
        match event.program_name.is_some() {
            true => self.decoders.with_program.is_empty(),
            false => self.decoders.without_program.is_empty(),
        }
    }

    /// The settings that it was loaded with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn name(&self, id: NameId) -> Option<&str> {
        self.names.get(usize::from(id.0)).map(String::as_str).filter(|_| id != NameId::NULL)
    }

    pub(crate) fn compiled(&self, rule: RuleIndex) -> Option<&Compiled> {
        self.compiled.get(rule.at())
    }

    /// Whether all conditions of a node hold that depend on the event alone.
    pub(crate) fn holds(&self, rule: &Compiled, event: &Decoded) -> bool {
        rule.checks.iter().all(|check| check.holds(event, &self.decoders))
    }

    /// Takes location and line into the event's buffer.
    fn take_text(&self, location: &[u8], payload: &[u8], cleaning: Cleaning, event: &mut Decoded) {
        event.location = event.append(location);
        let start = event.bytes.len();
        match cleaning {
            Cleaning::All if has_control(payload) => {
                event.bytes.extend(payload.iter().filter(|byte| !byte.is_ascii_control()));
            }
            Cleaning::KeepLines => {
                let kept = |byte: &&u8| **byte == b'\n' || !byte.is_ascii_control();
                event.bytes.extend(payload.iter().filter(kept));
            }
            Cleaning::KeepLinesAndTabs => {
                let kept = |byte: &&u8| matches!(**byte, b'\n' | b'\t') || !byte.is_ascii_control();
                event.bytes.extend(payload.iter().filter(kept));
            }
            Cleaning::All => event.bytes.extend_from_slice(payload),
        }
        event.full_log = Span::new(start, event.bytes.len());
    }

    fn settle_hostname(&self, event: &mut Decoded) {
        if event.location().starts_with(b"(") {
            event.hostname = event.location;
            event.hostname_is_location = true;
        } else if !event.hostname.is_some() {
            event.hostname = event.append(&self.options.hostname);
        }
    }

    /// What is taken out of a payload: in outputs of commands lines stay lines.
    fn cleaning(&self, payload: &[u8]) -> Cleaning {
        if self.options.strict_compat {
            Cleaning::All
        } else if self.options.keep_lines {
            Cleaning::KeepLinesAndTabs
        } else if payload.starts_with(b"ossec: output: ") {
            Cleaning::KeepLines
        } else {
            Cleaning::All
        }
    }

    fn header(&self, base: usize, event: &mut Decoded) -> Header {
        let modern = self.options.modern_headers && !self.options.strict_compat;
        let Some(Modern { header, data }) =
            modern.then(|| modern::header(event.full_log())).flatten()
        else {
            return predecode(event.full_log());
        };
        if let Some(data) = data.filter(|_| self.options.structured_data) {
            for item in modern::items(event.full_log(), data) {
                let mut value = Span::within(base, item.value);
                if item.escaped {
                    let plain = modern::unescape(value.of(&event.bytes).unwrap_or_default());
                    event.has_foreign_values = true;
                    value = event.append(&plain);
                }
                let name = event.append(&item.name);
                event.named.push((name, value));
            }
        }
        header
    }

    /// The time that counts for correlation.
    fn time(&self, event: &Decoded) -> i64 {
        let received = event.moment.epoch;
        let EventTime::Logged { past, future } = self.options.event_time else { return received };
        let near = |time: &i64| {
            let behind = received.saturating_sub(*time);
            (-i64::from(future)..=i64::from(past)).contains(&behind)
        };
        modern::time(event.full_log(), &event.moment).filter(near).unwrap_or(received)
    }

    /// Decodes a line of JSON that no decoder took.
    fn decode_json(&self, event: &mut Decoded) {
        let log = event.log().trim_ascii();
        if log.first() == Some(&b'{') && log.last() == Some(&b'}') && json::decode(event) {
            event.decoder_name = self.json_name;
            event.printed_name = self.json_name;
        }
    }

    /// Notes the values of fields that rules compare between events.
    fn track(&self, event: &mut Decoded) {
        for name in &self.tracked_names {
            let value = dynamic_span(event, &self.decoders, name);
            event.tracked.push(value);
        }
    }

    fn run_plugin(&self, plugin: Plugin, event: &mut Decoded) {
        if plugin == Plugin::OssecAlert {
            forwarded::take(self, event);
        } else if plugin == Plugin::Json {
            json::decode(event);
        } else {
            plugin::run(plugin, event);
        }
    }

    /// Gives a firewall event the suite's word for its action, before rules see it.
    fn settle_firewall(&self, event: &mut Decoded) {
        let wanted = self.options.log_fw && self.options.mode == Mode::Daemon;
        if !wanted || event.category != Category::Firewall {
            return;
        }
        let needed = [Field::Action, Field::SrcIp, Field::DstIp, Field::Protocol];
        if needed.iter().any(|&field| event.field(field).is_none()) {
            event.is_incomplete_firewall = true;
            return;
        }
        event.is_firewall = true;
        if let Some(action) = event.field(Field::Action) {
            let normal = alerts::firewall::normal_action(action);
            let normal = event.append(normal);
            event.set(Field::Action, normal);
        }
    }

    /// Walks the rule tree by what the event alone answers; leaves what can still match.
    pub(crate) fn prune(&self, event: &mut Decoded) {
        let mut open = std::mem::take(&mut event.open);
        if event.has_foreign_values {
            self.prefilter.open_all(&mut open);
        }
        self.masks.close(event.decoder_name, event.category, &mut open);
        let mut pruned = std::mem::take(&mut event.pruned);
        pruned.clear();
        let gates = self.prefilter.gates(&open);
        let mut at = 0;
        while let Some(node) = gates.next_node(at, self.roots) {
            at = self.runs.behind(node);
            if self.prune_node(node, event, &gates, &mut pruned) {
                break;
            }
        }
        event.pruned = pruned;
        event.open = open;
    }

    /// Adds a node that holds, with its descendants; true if it is sure to select a rule.
    fn prune_node(
        &self,
        at: usize,
        event: &Decoded,
        gates: &OpenGates<'_>,
        pruned: &mut Vec<Pruned>,
    ) -> bool {
        if self.runs.at(at).is_some() {
            // One entry stands for the run.
            let end = u32::try_from(pruned.len() + 1).unwrap_or(u32::MAX);
            pruned.push(Pruned { node: u32::try_from(at).unwrap_or(u32::MAX), end });
            return false;
        }
        let Some(node) = self.nodes.get(at) else { return false };
        let Some(rule) = self.compiled.get(node.rule as usize) else { return false };
        if !self.holds(rule, event) {
            return false;
        }
        let place = pruned.len();
        pruned.push(Pruned { node: u32::try_from(at).unwrap_or(u32::MAX), end: 0 });
        let mut child_is_sure = false;
        let mut child = node.first_child as usize;
        while let Some(open) = gates.next_node(child, node.end_child as usize) {
            child = self.runs.behind(open);
            if self.prune_node(open, event, gates, pruned) {
                child_is_sure = true;
                break;
            }
        }
        let end = u32::try_from(pruned.len()).unwrap_or(u32::MAX);
        if let Some(entry) = pruned.get_mut(place) {
            entry.end = end;
        }
        rule.stateful.is_none() && (!rule.noalert || child_is_sure)
    }
}

/// Whether there is a control byte; looks at all bytes, which is faster than to stop at one, as there hardly ever is one.
fn has_control(text: &[u8]) -> bool {
    text.iter().fold(false, |seen, byte| seen | byte.is_ascii_control())
}

/// Which control bytes are taken out of a text.
#[derive(Clone, Copy)]
enum Cleaning {
    All,
    /// Newlines stay: the text is the suite's own.
    KeepLines,
    KeepLinesAndTabs,
}
