//! Decoders: children that are never tried, types that are not inherited, captures that shift.

use std::collections::HashSet;

use super::{Finding, Findings, patterns};
use crate::load::Source;

/// One decoder as written.
struct Written<'s> {
    file: &'s str,
    line: usize,
    name: String,
    element: xml::Element,
}

/// Looks at all decoders in order.
pub(super) fn look(sources: &[Source<'_>], found: &mut Vec<Finding>) {
    let mut decoders = Vec::new();
    for source in sources {
        for element in xml::parse_with_variables(source.text).unwrap_or_default() {
            let name = element.attribute("name").map(String::from_utf8_lossy);
            let name = name.unwrap_or_default().into_owned();
            decoders.push(Written { file: source.name, line: element.line, name, element });
        }
    }
    for decoder in &decoders {
        let mut found = Findings { found, file: decoder.file, rule: None };
        decoder.patterns(&mut found);
        decoder.first_seen(&mut found);
        decoder.kind(&decoders, &mut found);
    }
    blocked(&decoders, found);
}

impl Written<'_> {
    fn tags<'e>(&'e self, name: &str) -> impl Iterator<Item = &'e xml::Element> {
        let name = name.to_owned();
        self.element.children.iter().filter(move |tag| tag.name.eq_ignore_ascii_case(&name))
    }

    fn text(&self, name: &str) -> Option<String> {
        self.tags(name).last().map(|tag| tag.text().into_owned())
    }

    fn joined(&self, name: &str) -> Option<(usize, Vec<u8>)> {
        let mut pieces = self.tags(name).peekable();
        let line = pieces.peek()?.line;
        Some((line, pieces.flat_map(|tag| tag.content.clone()).collect()))
    }

    fn patterns(&self, found: &mut Findings<'_>) {
        for tag in ["program_name_pcre2", "prematch_pcre2", "pcre2"] {
            if let Some((line, text)) = self.joined(tag) {
                patterns::pcre(tag, &text, line, found);
            }
        }
        for tag in ["prematch", "regex"] {
            if let Some((line, text)) = self.joined(tag) {
                patterns::regex(tag, &text, line, found);
            }
        }
        let order = self.text("order").map_or(0, |order| order.split(',').count());
        for tag in ["regex", "pcre2"] {
            let Some((line, text)) = self.joined(tag) else { continue };
            let groups = patterns::groups_by_branch(&text);
            let most = groups.iter().copied().max().unwrap_or(0);
            let branches = groups.iter().filter(|&&groups| groups > 0).count();
            if branches > 1 && order > most {
                found.warn(
                    "captures-shift",
                    line,
                    format!(
                        "whichever branch of <{tag}> matches, its first group goes to the first name of <order>: \
                         use decoders of one name, each with a pattern of its own"
                    ),
                );
            }
        }
    }

    fn first_seen(&self, found: &mut Findings<'_>) {
        for tag in self.tags("fts").filter(|tag| tag.text().contains("srcuser")) {
            found.warn(
                "fts-srcuser",
                tag.line,
                "srcuser in <fts> means the destination user; no first-seen key holds the source user",
            );
        }
    }

    fn kind(&self, all: &[Self], found: &mut Findings<'_>) {
        let Some(parent) = self.text("parent").filter(|_| self.text("type").is_none()) else {
            return;
        };
        // A child without anything of its own never becomes the final decoder.
        if !["prematch", "prematch_pcre2", "regex", "pcre2"]
            .iter()
            .any(|tag| self.text(tag).is_some())
        {
            return;
        }
        let is_parent = |other: &&Self| other.name == parent && other.text("parent").is_none();
        let types = all.iter().filter(is_parent).filter_map(|parent| parent.text("type"));
        if let Some(kind) = types.into_iter().find(|kind| kind.trim() != "syslog") {
            found.warn(
                "child-type",
                self.line,
                format!(
                    "decoder '{}' has no <type>, so its events are of type syslog: the type '{}' of its parent '{parent}' is not inherited",
                    self.name,
                    kind.trim()
                ),
            );
        }
    }

    fn has_prematch(&self) -> bool {
        self.text("prematch").is_some() || self.text("prematch_pcre2").is_some()
    }
}

/// A child without prematch is taken whenever it is come to: those behind it are never tried.
fn blocked(decoders: &[Written<'_>], found: &mut Vec<Finding>) {
    let (mut reached, mut blocked_by) = (HashSet::new(), Vec::new());
    for (at, root) in decoders.iter().enumerate() {
        if root.text("parent").is_some() {
            continue;
        }
        let children: Vec<usize> = (at + 1..decoders.len())
            .filter(|&child| {
                decoders.get(child).is_some_and(|d| d.text("parent").as_ref() == Some(&root.name))
            })
            .collect();
        let blocker = reach(decoders, &children, &mut reached);
        blocked_by.extend(children.into_iter().filter_map(|child| Some((child, blocker?))));
    }
    let mut told = HashSet::new();
    for (child, blocker) in blocked_by {
        if reached.contains(&child) || !told.insert(child) {
            continue;
        }
        let (Some(child), Some(blocker)) = (decoders.get(child), decoders.get(blocker)) else {
            continue;
        };
        Findings { found, file: child.file, rule: None }.warn(
            "blocked-sibling",
            child.line,
            format!(
                "decoder '{}' is never tried: '{}' ({}:{}) stands before it and has no <prematch>, so it is taken for all that its parent takes",
                child.name, blocker.name, blocker.file, blocker.line
            ),
        );
    }
}

/// Adds the children that a search, or the steps of a child, can come to; gives the one that ends every search.
fn reach(
    decoders: &[Written<'_>],
    children: &[usize],
    reached: &mut HashSet<usize>,
) -> Option<usize> {
    let child = |at: usize| children.get(at).and_then(|&child| decoders.get(child));
    let has_next = |at: usize| {
        let later = children.get(at + 1..).unwrap_or_default();
        child(at).is_some_and(|d| {
            later.iter().any(|&other| decoders.get(other).is_some_and(|o| o.name == d.name))
        })
    };
    let mut at = 0;
    while let Some(decoder) = child(at) {
        let mut step = at;
        reached.extend(children.get(step));
        while has_next(step) {
            step += 1;
            reached.extend(children.get(step));
        }
        if !decoder.has_prematch() {
            return children.get(at).copied();
        }
        at = step + 1;
    }
    None
}
