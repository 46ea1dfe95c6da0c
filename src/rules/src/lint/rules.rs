//! Rules as written: tags and attributes that do less, or more, than they say.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{Finding, Findings, patterns, short, tree};
use crate::engine::Engine;
use crate::load::Source;
use crate::text::{Language, Text};

/// Conditions whose `*_pcre2` form is not looked at beside the plain one.
const HIDING: [(&str, &str); 12] = [
    ("match", "match_pcre2"),
    ("regex", "pcre2"),
    ("id", "id_pcre2"),
    ("srcport", "srcport_pcre2"),
    ("dstport", "dstport_pcre2"),
    ("status", "status_pcre2"),
    ("hostname", "hostname_pcre2"),
    ("extra_data", "extra_data_pcre2"),
    ("program_name", "program_name_pcre2"),
    ("user", "user_pcre2"),
    ("srcgeoip", "srcgeoip_pcre2"),
    ("dstgeoip", "dstgeoip_pcre2"),
];

/// What an overwriting rule says in vain.
const NOT_OVERWRITTEN: [&str; 8] =
    ["field", "list", "if_sid", "if_group", "if_level", "category", "ignore", "check_if_ignored"];

/// One rule as written.
struct Written<'s> {
    file: &'s str,
    group: &'s [u8],
    element: &'s xml::Element,
    id: u32,
}

/// Looks at all rules in order.
pub(super) fn look(sources: &[Source<'_>], engine: &Engine, found: &mut Vec<Finding>) {
    let files: Vec<(&str, Vec<xml::Element>)> = sources
        .iter()
        .map(|source| (source.name, xml::parse_with_variables(source.text).unwrap_or_default()))
        .collect();
    let mut rules = Vec::new();
    for (file, groups) in &files {
        for group in groups {
            let name = group.attribute("name").unwrap_or_default();
            let elements = group.children.iter();
            rules.extend(elements.filter_map(|element| {
                let id = element.attribute("id")?;
                let id = std::str::from_utf8(id).ok()?.parse().ok()?;
                Some(Written { file, group: name, element, id })
            }));
        }
    }
    let mut first: HashMap<u32, usize> = HashMap::new();
    for (at, rule) in rules.iter().enumerate() {
        let mut found = Findings { found, file: rule.file, rule: Some(rule.id) };
        rule.attributes(&mut found);
        rule.patterns(&mut found);
        rule.relations(&mut found);
        rule.times(&mut found);
        rule.placing(&mut found);
        rule.group_commas(&mut found);
        let earlier = *first.entry(rule.id).or_insert(at);
        if let Some(earlier) = rules.get(earlier).filter(|_| earlier != at) {
            rule.again(earlier, &mut found);
        }
    }
    groups(&rules, engine, found);
}

impl Written<'_> {
    fn tags<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e xml::Element> {
        self.element.children.iter().filter(move |tag| tag.name.eq_ignore_ascii_case(name))
    }

    fn has(&self, name: &str) -> bool {
        self.tags(name).next().is_some()
    }

    fn number(&self, attribute: &str) -> Option<u32> {
        std::str::from_utf8(self.element.attribute(attribute)?).ok()?.parse().ok()
    }

    fn is_correlated(&self) -> bool {
        ["if_matched_sid", "if_matched_group", "if_matched_regex"].iter().any(|tag| self.has(tag))
    }

    fn attributes(&self, found: &mut Findings<'_>) {
        let line = self.element.line;
        if self.is_correlated() {
            let frequency = self.number("frequency").unwrap_or(0);
            found.note(
                "frequency",
                line,
                format!(
                    "frequency=\"{frequency}\" fires at event {} of the timeframe: that many earlier ones, plus one, plus the one that fires",
                    u64::from(frequency) + 2
                ),
            );
            if self.number("timeframe") == Some(0) {
                found.warn(
                    "timeframe",
                    line,
                    "timeframe=\"0\" counts only events of the very same second",
                );
            } else if self.element.attribute("timeframe").is_none() {
                found.note("timeframe", line, "there is no timeframe: that of internal_options.conf holds (analysisd.default_timeframe)");
            }
        } else if self.element.attribute("timeframe").is_some() && !self.has("check_diff") {
            found.warn("timeframe", line, "timeframe has no effect without an if_matched_sid, if_matched_group or if_matched_regex");
        }
        if let Some(seconds) = self.number("ignore").filter(|&seconds| seconds > 0) {
            found.note(
                "silence",
                line,
                format!("ignore=\"{seconds}\" silences the rule, not a source: after one alert nobody else's event alerts for {seconds} s"),
            );
        }
        if self.element.attribute("maxsize").is_some() {
            found.note(
                "maxsize",
                line,
                "maxsize is a least size: the rule holds for lines of at least so many bytes",
            );
        }
        let noalert = self.element.attribute("noalert");
        if let Some(value) = noalert.filter(|value| matches!(*value, b"0" | b"no" | b"")) {
            found.warn(
                "noalert",
                line,
                format!("noalert=\"{}\" is on, whatever its value; leave it out", short(value)),
            );
        }
    }

    fn patterns(&self, found: &mut Findings<'_>) {
        let mut seen = HashSet::new();
        for tag in &self.element.children {
            let name = tag.name.to_ascii_lowercase();
            if name == "field" {
                patterns::regex("field", &tag.content, tag.line, found);
                continue;
            }
            if !seen.insert(name.clone()) {
                continue;
            }
            let joined: Vec<u8> = self.tags(&name).flat_map(|tag| tag.content.clone()).collect();
            if name.ends_with("pcre2") {
                patterns::pcre(&name, &joined, tag.line, found);
            } else if matches!(name.as_str(), "regex" | "if_matched_regex") {
                patterns::regex(&name, &joined, tag.line, found);
            }
        }
        for (plain, pcre) in HIDING {
            if let (true, Some(hidden)) = (self.has(plain), self.tags(pcre).next()) {
                found.warn(
                    "hidden-pattern",
                    hidden.line,
                    format!("<{pcre}> is not looked at, since the rule has <{plain}>"),
                );
            }
        }
    }

    fn relations(&self, found: &mut Findings<'_>) {
        if self.has("if_matched_regex")
            && !self.has("if_matched_sid")
            && !self.has("if_matched_group")
        {
            for tag in ["same_src_port", "same_dst_port", "same_location"] {
                for tag in self.tags(tag) {
                    found.warn(
                        "no-effect",
                        tag.line,
                        format!("<{}> is not looked at with if_matched_regex", tag.name),
                    );
                }
            }
        }
        for tag in self.tags("list") {
            let lookup = tag.attribute("lookup").unwrap_or_default();
            if lookup == b"address_match_key_value" {
                found.warn(
                    "inverted-lookup",
                    tag.line,
                    "address_match_key_value holds when the address is missing or its value does not match",
                );
            }
        }
    }

    fn times(&self, found: &mut Findings<'_>) {
        for tag in self.tags("time") {
            let text = tag.text().to_ascii_lowercase();
            let squeezed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
            let mut ends = squeezed.trim_start_matches('!').split('-');
            if ends.any(|end| end.starts_with("12") && end.ends_with("am")) {
                found.warn("noon", tag.line, "12 am is noon here; midnight is 0:00");
            }
            let negated = squeezed.starts_with('!');
            let plain =
                crate::schedule::DayTime::parse(squeezed.trim_start_matches('!').as_bytes());
            let same = crate::schedule::DayTime::parse(tag.content.as_slice()) == plain;
            if negated && same {
                found.warn(
                    "lost-negation",
                    tag.line,
                    "the ! has no effect on a time over midnight; write the other part of the day instead",
                );
            }
        }
    }

    fn placing(&self, found: &mut Findings<'_>) {
        for tag in self.tags("if_level") {
            found.warn(
                "if-level",
                tag.line,
                "if_level takes rules of level 0 for parents, too, whatever the level asked for",
            );
        }
        let modes: Vec<&str> =
            ["if_sid", "if_level", "if_group"].into_iter().filter(|tag| self.has(tag)).collect();
        if let [first, rest @ ..] = modes.as_slice() {
            for ignored in rest.iter().flat_map(|tag| self.tags(tag)) {
                found.warn(
                    "no-effect",
                    ignored.line,
                    format!("<{}> does not place the rule, since <{first}> does", ignored.name),
                );
            }
        }
    }

    /// Groups are joined without anything between them.
    fn group_commas(&self, found: &mut Findings<'_>) {
        let mut before = self.group.trim_ascii();
        for tag in self.tags("group") {
            let joined = tag.content.trim_ascii();
            let apart = before.is_empty() || before.ends_with(b",") || joined.starts_with(b",");
            if !apart && !joined.is_empty() {
                found.warn(
                    "joined-groups",
                    tag.line,
                    format!(
                        "group '{}' and what stands before it become one name, '{}{}': end each with a comma",
                        short(joined),
                        short(before.rsplit(|&byte| byte == b',').next().unwrap_or_default()),
                        short(joined.split(|&byte| byte == b',').next().unwrap_or_default())
                    ),
                );
            }
            before = joined;
        }
    }

    /// The id is there already.
    fn again(&self, first: &Self, found: &mut Findings<'_>) {
        let line = self.element.line;
        let place = format!("{}:{}", first.file, first.element.line);
        if self.element.attribute("overwrite") != Some(b"yes") || self.id < 10 {
            found.warn(
                "duplicate-id",
                line,
                format!("rule {} exists already ({place}); both are tried", self.id),
            );
            return;
        }
        for tag in &self.element.children {
            let name = tag.name.to_ascii_lowercase();
            if name.ends_with("pcre2") || NOT_OVERWRITTEN.contains(&name.as_str()) {
                found.warn(
                    "overwrite",
                    tag.line,
                    format!("<{name}> of an overwriting rule has no effect: that of the first rule ({place}) stays"),
                );
            }
        }
        let kept = first.element.children.iter().find(|tag| {
            let name = tag.name.to_ascii_lowercase();
            let plain = if name == "pcre2" { "regex" } else { name.trim_end_matches("_pcre2") };
            name.ends_with("pcre2") && !self.has(plain)
        });
        if let Some(kept) = kept {
            found.warn(
                "overwrite",
                line,
                format!(
                    "<{}> of the first rule ({}:{}) stays in force",
                    kept.name, first.file, kept.line
                ),
            );
        }
        if self.is_correlated() && !first.is_correlated() {
            found.warn(
                "overwrite",
                line,
                format!("the first rule ({place}) counts nothing, and an overwriting rule cannot begin to: this one matches always"),
            );
        }
        if self.tags("if_matched_sid").next().map(|tag| tag.text().trim().to_owned())
            != first.tags("if_matched_sid").next().map(|tag| tag.text().trim().to_owned())
            && first.has("if_matched_sid")
        {
            found.warn(
                "overwrite",
                line,
                format!("what is counted stays that of the first rule ({place}), whatever if_matched_sid says here"),
            );
        }
    }
}

/// Who feeds an `if_matched_group`, and who does not.
fn groups(rules: &[Written<'_>], engine: &Engine, found: &mut Vec<Finding>) {
    let place: HashMap<u32, usize> =
        engine.rules().iter().enumerate().map(|(at, rule)| (rule.id, at)).collect();
    let of_rules = tree::lists_of_rules(engine);
    for rule in rules.iter().filter(|rule| !rule.has("if_matched_sid")) {
        let Some(tag) = rule.tags("if_matched_group").next() else { continue };
        let joined: Vec<u8> =
            rule.tags("if_matched_group").flat_map(|tag| tag.content.clone()).collect();
        let (Ok(pattern), Some(&at)) = (Text::new(Language::Match, &joined), place.get(&rule.id))
        else {
            continue;
        };
        let counts =
            |facts: &&crate::rule::Rule| facts.level > 0 && pattern.is_match(&facts.groups);
        let later: Vec<String> = engine
            .rules()
            .iter()
            .skip(at + 1)
            .filter(counts)
            .map(|facts| facts.id.to_string())
            .collect();
        let mut found = Findings { found, file: rule.file, rule: Some(rule.id) };
        if !later.is_empty() {
            found.warn(
                "loaded-later",
                tag.line,
                format!(
                    "rules that come later in the files have this group, and never count: {}",
                    some(&later)
                ),
            );
        }
        let hidden: Vec<String> = engine
            .rules()
            .iter()
            .take(at)
            .filter(counts)
            .filter(|facts| {
                engine.rule_by_id(facts.id).is_some_and(|index| feeds(engine, index, &of_rules))
            })
            .map(|facts| facts.id.to_string())
            .collect();
        if !hidden.is_empty() {
            found.note(
                "hidden-from-group",
                tag.line,
                format!(
                    "rules of this group that an if_matched_sid counts do not count here: {}",
                    some(&hidden)
                ),
            );
        }
        let twice: Vec<String> = engine
            .rules()
            .iter()
            .take(at)
            .filter(counts)
            .filter(|facts| {
                engine.rule_by_id(facts.id).is_some_and(|index| counts_twice(engine, index))
            })
            .map(|facts| facts.id.to_string())
            .collect();
        if !twice.is_empty() {
            found.note(
                "counts-twice",
                tag.line,
                format!(
                    "rules that stand at several places of the tree count as often: {}",
                    some(&twice)
                ),
            );
        }
    }
}

/// Whether the events of a rule enter one of these lists.
fn feeds(engine: &Engine, rule: crate::rule::RuleIndex, lists: &BTreeSet<usize>) -> bool {
    engine.compiled(rule).is_some_and(|rule| rule.lists.iter().any(|list| lists.contains(list)))
}

/// Whether one event of the rule enters a list more than once.
fn counts_twice(engine: &Engine, rule: crate::rule::RuleIndex) -> bool {
    let lists = engine.compiled(rule).map_or(&[][..], |rule| &rule.lists);
    let mut known = HashSet::new();
    lists.iter().any(|list| !known.insert(*list))
}

/// The first few of a list.
fn some(ids: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = ids.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match ids.len().checked_sub(SHOWN).filter(|&more| more > 0) {
        Some(more) => format!("{shown} and {more} more"),
        None => shown,
    }
}
