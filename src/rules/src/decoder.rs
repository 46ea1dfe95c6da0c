//! Decoders: which program wrote a line, and the values in it.
//!
//! Two lists: decoders that test the program name see only events that have one, the others only events that have none.
//! The first root that fits takes the event; of its children the first that fits goes on. Children of one name are
//! steps: each adds what its own pattern captures.

use std::ops::Range;

use pattern::Captures;

use crate::event::{Assigned, Decoded, Field, Span};
use crate::plugin::Plugin;
use crate::prefilter::OpenGates;
use crate::rule::Category;
use crate::text::Text;

/// Position of a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct DecoderIndex(pub(crate) u32);

impl DecoderIndex {
    pub(crate) fn at(self) -> usize {
        self.0 as usize
    }
}

/// A decoder's name, numbered; rules compare numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NameId(pub(crate) u16);

impl NameId {
    /// No decoder took the event.
    pub(crate) const NULL: Self = Self(0);
}

/// One decoder, checked and compiled.
#[derive(Debug, Clone)]
pub(crate) struct Decoder {
    /// Its name as written, and where: for explanations.
    pub(crate) own_name: NameId,
    pub(crate) file: String,
    pub(crate) line: usize,
    /// Its name for rules and outputs: the parent's, for most children.
    pub(crate) name: NameId,
    /// The parent's name.
    pub(crate) parent: Option<NameId>,
    pub(crate) category: Category,
    pub(crate) program: Option<Text>,
    pub(crate) prematch: Option<Text>,
    pub(crate) prematch_after_parent: bool,
    pub(crate) pattern: Option<Text>,
    pub(crate) base: Base,
    pub(crate) order: Vec<OrderItem>,
    pub(crate) fts: FtsMask,
    pub(crate) accumulate: bool,
    pub(crate) plugin: Option<Plugin>,
    /// A later sibling of the same name follows as a further step.
    pub(crate) has_next: bool,
    pub(crate) children: Vec<DecoderIndex>,
}

/// Where a decoder's pattern begins to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base {
    Log,
    AfterParent,
    AfterPrematch,
    AfterRegex,
}

/// One name of an `<order>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OrderItem {
    Field(Field),
    Dynamic(String),
}

impl OrderItem {
    pub(crate) fn label(&self) -> &str {
        match self {
            Self::Field(field) => field.label(),
            Self::Dynamic(name) => name,
        }
    }
}

/// Which fields make an event a first-seen one, in the numbering of the original's JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct FtsMask(pub(crate) u32);

impl FtsMask {
    pub(crate) const ID: u32 = 0o10;
    pub(crate) const DATA: u32 = 0o20;
    pub(crate) const SYSTEM_NAME: u32 = 0o40;
    pub(crate) const SRC_IP: u32 = 0o100;
    pub(crate) const DST_IP: u32 = 0o200;
    pub(crate) const LOCATION: u32 = 0o400;
    pub(crate) const NAME: u32 = 0o1000;
    pub(crate) const DST_USER: u32 = 0o4000;
    pub(crate) const DONE: u32 = 0o10000;

    pub(crate) fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }
}

/// All decoders of an engine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Decoders {
    pub(crate) all: Vec<Decoder>,
    /// Roots with a program test.
    pub(crate) with_program: Vec<DecoderIndex>,
    /// Roots without.
    pub(crate) without_program: Vec<DecoderIndex>,
}

/// Where a step stands: offsets into the log.
#[derive(Clone, Copy)]
struct Offsets {
    parent: usize,
    prematch: usize,
    previous: Option<usize>,
}

impl Decoders {
    pub(crate) fn get(&self, index: DecoderIndex) -> Option<&Decoder> {
        self.all.get(index.at())
    }

    /// All roots, in the order of their gates.
    pub(crate) fn roots(&self) -> impl Iterator<Item = DecoderIndex> {
        self.with_program.iter().chain(&self.without_program).copied()
    }

    /// Decodes a pre-decoded event; `open` tells which decoders can match at all.
    pub(crate) fn decode(
        &self,
        event: &mut Decoded,
        open: &OpenGates<'_>,
        captures: &mut Captures,
    ) {
        let programs = self.with_program.len();
        let (roots, first) = match event.program_name.is_some() {
            true => (&self.with_program, 0),
            false => (&self.without_program, programs),
        };
        let root = open.roots(first..first + roots.len()).find_map(|place| {
            let index = *roots.get(place - first)?;
            let root = self.get(index)?;
            Some((index, root, self.root_end(root, event, captures)?))
        });
        if let Some((index, root, matched)) = root {
            let plugin = self.descend(index, root, matched, event, captures);
            self.settle(event);
            event.plugin = plugin;
        }
    }

    /// Where the root's own tests end in the log, if they hold.
    fn root_end(&self, root: &Decoder, event: &Decoded, captures: &mut Captures) -> Option<usize> {
        let mut end = None;
        if let Some(program) = &root.program {
            if !program.is_match(event.program_name()?) {
                return None;
            }
            end = Some(0);
        }
        if let Some(prematch) = &root.prematch {
            end = Some(prematch.find(event.log(), captures)?);
        }
        end
    }

    fn descend(
        &self,
        index: DecoderIndex,
        root: &Decoder,
        matched: usize,
        event: &mut Decoded,
        captures: &mut Captures,
    ) -> Option<Plugin> {
        event.decoder = Some(index);
        let mut offsets = Offsets { parent: matched, prematch: matched, previous: None };
        if root.children.is_empty() {
            return self.steps(&[index], offsets, event, captures);
        }
        let mut at = 0;
        while let Some(&child) = root.children.get(at) {
            let decoder = self.get(child)?;
            if let Some(prematch) = &decoder.prematch {
                let from = if decoder.prematch_after_parent { matched } else { 0 };
                match prematch.find(event.log().get(from..).unwrap_or_default(), captures) {
                    Some(end) => {
                        offsets.prematch = from + end;
                        event.decoder = Some(child);
                    }
                    None => {
                        at = self.behind_steps(&root.children, at);
                        continue;
                    }
                }
            }
            return self.steps(root.children.get(at..)?, offsets, event, captures);
        }
        None
    }

    /// Past a child that does not fit, with the steps that belong to it.
    fn behind_steps(&self, children: &[DecoderIndex], at: usize) -> usize {
        let has_next = |at: usize| {
            children.get(at).and_then(|&child| self.get(child)).is_some_and(|child| child.has_next)
        };
        let mut at = at;
        while has_next(at) {
            at += 1;
        }
        at + 1
    }

    /// Runs the pattern of the first of `steps`, then of those that follow it as steps; a plug-in is left to the caller.
    fn steps(
        &self,
        steps: &[DecoderIndex],
        mut offsets: Offsets,
        event: &mut Decoded,
        captures: &mut Captures,
    ) -> Option<Plugin> {
        for &index in steps {
            let step = self.get(index)?;
            if step.plugin.is_some() {
                return step.plugin;
            }
            let pattern = step.pattern.as_ref()?;
            let base = match step.base {
                Base::Log => 0,
                Base::AfterParent => offsets.parent,
                Base::AfterPrematch => offsets.prematch,
                Base::AfterRegex => offsets.previous.unwrap_or(offsets.prematch),
            };
            let found = pattern.find(event.log().get(base..).unwrap_or_default(), captures);
            offsets.previous = found.map(|end| base + end);
            if found.is_some() {
                event.decoder = Some(index);
                let start = event.log.start() + base;
                assign(index, step, start, captures, event);
            }
            if !step.has_next {
                return None;
            }
        }
        None
    }

    /// Takes over what the final decoder says of the event.
    fn settle(&self, event: &mut Decoded) {
        if let Some(decoder) = event.decoder.and_then(|index| self.get(index)) {
            event.decoder_name = decoder.name;
            event.printed_name = decoder.name;
            event.category = decoder.category;
        }
    }
}

/// Gives the captures to the fields, the n-th to the n-th; what is too many is dropped.
fn assign(
    index: DecoderIndex,
    step: &Decoder,
    start: usize,
    captures: &Captures,
    event: &mut Decoded,
) {
    for (position, (item, range)) in step.order.iter().zip(captures.iter()).enumerate() {
        let Range { start: from, end: to } = range;
        let value = Span::new(start + from, start + to);
        match item {
            OrderItem::Field(field) => event.set(*field, value),
            OrderItem::Dynamic(_) => {
                if event.dynamic.len() <= position {
                    event.dynamic.resize(position + 1, Span::NONE);
                }
                if let Some(slot) = event.dynamic.get_mut(position) {
                    *slot = value;
                }
            }
        }
        let position = u32::try_from(position).unwrap_or(u32::MAX);
        event.assigned.push(Assigned { decoder: index, position, value });
    }
}
