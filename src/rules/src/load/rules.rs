//! Reads rule files: `<group name="syslog,sshd,"><rule id="5716" level="5">...</rule></group>`.

use std::collections::HashMap;
use std::sync::Arc;

use super::attributes::{attributes, number};
use super::draft::{Draft, Slot};
use super::patterns::Pieces;
use super::responses::{response_groups, responses};
use super::tree::TreeBuilder;
use super::{Names, Notes, Source};
use crate::address::Entry;
use crate::condition::CompiledRule;
use crate::decoder::FtsMask;
use crate::event::Field;
use crate::lists::{KeyList, ListField, ListLookup, LookupKind};
use crate::options::Options;
use crate::rule::{Category, Info, InfoKind, Rule};
use crate::schedule::{DayTime, Weekdays};
use crate::text::{Language, Text};

/// Longest pattern of a rule.
const MAX_PATTERN: usize = 2048;
/// Details kept of one rule.
const MAX_INFOS: usize = 33;

/// What rules refer to.
pub(super) struct Context<'a> {
    pub(super) options: &'a Options,
    pub(super) names: &'a Names,
    pub(super) lists: HashMap<String, Arc<KeyList>>,
}

/// Reads all files in order.
pub(super) fn read(
    sources: &[Source<'_>],
    context: &Context<'_>,
    notes: &mut Notes,
) -> TreeBuilder {
    let bindings = response_groups(context.options, notes);
    let mut tree = TreeBuilder::default();
    for source in sources {
        for element in notes.parse(source) {
            group(&element, context, &bindings, &mut tree, notes);
        }
    }
    tree
}

fn group(
    element: &xml::Element,
    context: &Context<'_>,
    bindings: &[Option<Text>],
    tree: &mut TreeBuilder,
    notes: &mut Notes,
) {
    let name = match element.attributes.as_slice() {
        [attribute]
            if element.name.eq_ignore_ascii_case("group")
                && attribute.name.eq_ignore_ascii_case("name") =>
        {
            &attribute.value
        }
        _ => {
            notes.error(
                element.line,
                format!("<{}> is not known here; expected <group name=\"...\">", element.name),
            );
            return;
        }
    };
    for child in &element.children {
        if !child.name.eq_ignore_ascii_case("rule") {
            notes.error(
                child.line,
                format!("<{}> is not known in a group; expected <rule>", child.name),
            );
            continue;
        }
        let errors = notes.errors.len();
        let Some(draft) = attributes(child, name, context.options, notes) else { continue };
        let mut reader = RuleReader { draft, context, patterns: Default::default() };
        for tag in &child.children {
            reader.tag(tag, notes);
        }
        let mut draft = reader.finish(child.line, notes);
        if notes.errors.len() > errors {
            continue;
        }
        draft.rule.responses = responses(&draft, context.options, bindings);
        if let Err(text) = tree.add(draft) {
            notes.error(child.line, text);
        }
    }
}

struct RuleReader<'a> {
    draft: Draft,
    context: &'a Context<'a>,
    patterns: Patterns,
}

/// Patterns whose pieces are still being joined.
#[derive(Default)]
struct Patterns {
    plain: [Pieces; Slot::ALL.len()],
    pcre: [Pieces; Slot::ALL.len()],
    matched_regex: Pieces,
    matched_group: Pieces,
    if_group: Pieces,
}

impl RuleReader<'_> {
    fn tag(&mut self, element: &xml::Element, notes: &mut Notes) {
        let name = element.name.to_ascii_lowercase();
        let negated = self.negation(element, notes);
        if let Some(pieces) = self.pattern(&name) {
            pieces.add_negatable(element, negated, MAX_PATTERN, notes);
        } else if !self.relation(&name, element, notes)
            && !self.output(&name, element, notes)
            && !self.position(&name, element, notes)
        {
            self.condition(&name, element, negated, notes);
        }
    }

    /// Whether a tag says `negate="yes"`; a compatible engine does not look.
    fn negation(&self, element: &xml::Element, notes: &mut Notes) -> bool {
        const KNOWING: [&str; 6] = ["field", "srcip", "dstip", "action", "time", "weekday"];
        let Some(value) = element.attribute("negate") else { return false };
        if self.context.options.strict_compat {
            return false;
        }
        let name = element.name.to_ascii_lowercase();
        let stem = name.strip_suffix("_pcre2").unwrap_or(&name);
        let slots = Slot::ALL.into_iter().filter(|(_, known)| !known.ends_with("geoip"));
        let known = KNOWING.contains(&name.as_str())
            || name == "pcre2"
            || slots.into_iter().any(|(_, known)| known == stem);
        match value {
            b"yes" if known => true,
            b"no" => false,
            b"yes" => {
                notes.error(element.line, format!("<{name}> cannot be negated"));
                false
            }
            _ => {
                notes.error(element.line, "negate is yes or no");
                false
            }
        }
    }

    fn pattern(&mut self, name: &str) -> Option<&mut Pieces> {
        match name {
            "pcre2" => return self.patterns.pcre.get_mut(Slot::Regex as usize),
            "regex_pcre2" => return None,
            "if_matched_regex" => return Some(&mut self.patterns.matched_regex),
            "if_matched_group" => return Some(&mut self.patterns.matched_group),
            "if_group" => return Some(&mut self.patterns.if_group),
            _ => {}
        }
        let (stem, table) = match name.strip_suffix("_pcre2") {
            Some(stem) => (stem, &mut self.patterns.pcre),
            None => (name, &mut self.patterns.plain),
        };
        let (slot, _) = Slot::ALL.into_iter().find(|(_, known)| *known == stem)?;
        table.get_mut(slot as usize)
    }

    /// Tags that relate the events of a correlation.
    fn relation(&mut self, name: &str, element: &xml::Element, notes: &mut Notes) -> bool {
        let options = self.context.options;
        let (relation, what) = if let Some(what) = name.strip_prefix("not_same_") {
            (Relation::NotSame, what)
        } else if let Some(what) = name.strip_prefix("same_") {
            (Relation::Same, what)
        } else if let Some(what) = name.strip_prefix("different_") {
            (Relation::Different, what)
        } else {
            return false;
        };
        self.draft.has_relations = true;
        if what == "field" {
            self.related_field(relation, element, notes);
            return true;
        }
        if relation == Relation::Different && what == "srcip" && !options.different_srcip {
            // Known, without effect: as in the original.
            return true;
        }
        let relations = &mut self.draft.relations;
        match what {
            "location" | "agent" => match relation {
                Relation::Same => relations.same_location = true,
                Relation::Different => relations.different_location = true,
                Relation::NotSame => {
                    relations.same_location = false;
                    relations.different_location = !options.strict_compat;
                }
            },
            "srcgeoip" | "dstgeoip" => relations.country = relation != Relation::NotSame,
            _ => match related_field(what) {
                Some(field) => self.relate(relation, field),
                None => return false,
            },
        }
        true
    }

    fn relate(&mut self, relation: Relation, field: Field) {
        let relations = &mut self.draft.relations;
        match relation {
            Relation::Same => relations.same.insert(field),
            Relation::Different => relations.different.insert(field),
            Relation::NotSame => {
                relations.same.remove(field);
                if !self.context.options.strict_compat {
                    relations.different.insert(field);
                }
            }
        }
    }

    /// `<same_field>name</same_field>`, also with the name as an attribute.
    fn related_field(&mut self, relation: Relation, element: &xml::Element, notes: &mut Notes) {
        let text = element.text();
        let name = match element.attribute("name") {
            Some(name) => String::from_utf8_lossy(name).into_owned(),
            None => text.trim().to_owned(),
        };
        if name.is_empty() {
            let tag = &element.name;
            notes.error(
                element.line,
                format!("{tag} needs the name of a field: <{tag}>name</{tag}>"),
            );
        } else if let Some(field) = Field::from_order(&name) {
            self.relate(relation, field);
        } else {
            self.draft.related_names.push((name.to_ascii_lowercase(), relation == Relation::Same));
        }
    }

    /// Tags that say what an alert looks like.
    fn output(&mut self, name: &str, element: &xml::Element, notes: &mut Notes) -> bool {
        let Draft { rule, no_response, .. } = &mut self.draft;
        match name {
            "description" => {
                let mut text = element.content.clone();
                if let Some(newline) = text.iter_mut().find(|byte| **byte == b'\n') {
                    *newline = b' ';
                }
                rule.description.extend_from_slice(&text);
            }
            "group" => rule.groups.extend_from_slice(&element.content),
            "cve" => {
                rule.cve.get_or_insert_default().extend_from_slice(&element.content);
                push_info(rule, InfoKind::Cve, &element.content);
            }
            "info" => info(rule, element, notes),
            "mitre" => mitre(rule, element, notes),
            "options" => {
                for option in element.text().split([',', ' ', '\n']).filter(|word| !word.is_empty())
                {
                    match option {
                        "alert_by_email" => rule.mail = true,
                        "no_email_alert" => rule.mail = false,
                        "log_alert" => rule.log = true,
                        "no_log" => rule.log = false,
                        "no_ar" => *no_response = true,
                        other => notes.error(
                            element.line,
                            format!("unknown option {other:?}; expected alert_by_email, no_email_alert, log_alert, no_log or no_ar"),
                        ),
                    }
                }
            }
            _ => return false,
        }
        true
    }

    /// Tags that say where in the tree the rule stands, and what it correlates.
    fn position(&mut self, name: &str, element: &xml::Element, notes: &mut Notes) -> bool {
        let text = element.text();
        match name {
            "if_sid" => {
                let words =
                    text.split([',', ' ', '\n', '\t', '\r']).filter(|word| !word.is_empty());
                let ids: Option<Vec<u32>> = words.map(|word| number(word.as_bytes(), 10)).collect();
                match ids {
                    Some(ids) if !ids.is_empty() => self.draft.if_sid.extend(ids),
                    _ => notes
                        .error(element.line, format!("if_sid is a list of rule ids, not {text:?}")),
                }
            }
            "if_level" => match number(text.trim().as_bytes(), 4) {
                Some(level) => self.draft.if_level = Some(level),
                None => notes.error(element.line, format!("if_level is a number, not {text:?}")),
            },
            "if_matched_sid" => match number(text.trim().as_bytes(), 10) {
                Some(id) => self.draft.matched_sid = Some(id),
                None => notes
                    .error(element.line, format!("if_matched_sid is one rule id, not {text:?}")),
            },
            "if_fts" => self.draft.if_fts = true,
            "check_diff" => self.draft.check_diff = true,
            "ignore" => self.draft.ignore_mask = mask(element, notes),
            "check_if_ignored" => self.draft.check_ignored_mask = mask(element, notes),
            "category" => match Category::from_name(&text) {
                Some(category) => self.draft.category = category,
                None => notes.error(element.line, format!("unknown category {text:?}")),
            },
            _ => return false,
        }
        true
    }

    /// The remaining conditions.
    fn condition(&mut self, name: &str, element: &xml::Element, negated: bool, notes: &mut Notes) {
        let draft = &mut self.draft;
        let text = element.text();
        match name {
            "decoded_as" => match self.context.names.get(&text) {
                Some(id) => draft.decoded_as = Some(id),
                None => notes.error(element.line, format!("there is no decoder {text:?}")),
            },
            "action" if negated => {
                let pattern = [b"^", element.content.as_slice(), b"$"].concat();
                match Text::with_negation(Language::Match, &pattern, true) {
                    Ok(text) if !element.content.iter().any(|byte| b"|!^$".contains(byte)) => {
                        draft.not_action = Some(text);
                    }
                    _ => notes.error(element.line, "a negated action is a plain word"),
                }
            }
            "action" => draft.action.get_or_insert_default().extend_from_slice(&element.content),
            "srcip" | "dstip" => {
                let list = if name == "srcip" { &mut draft.srcip } else { &mut draft.dstip };
                let content = element.content.trim_ascii();
                let content = if negated { [b"!", content].concat() } else { content.to_vec() };
                match Entry::parse(&content) {
                    Some(entry) => list.get_or_insert_default().push(entry),
                    None => notes.error(
                        element.line,
                        format!(
                            "{name} is no address: {text:?}; expected [!]address[/prefix] or any"
                        ),
                    ),
                }
            }
            "time" => match DayTime::parse(&element.content) {
                Some(time) => draft.time = Some(if negated { time.inverted() } else { time }),
                None => notes.error(
                    element.line,
                    format!(
                        "time is no span of the day: {text:?}; expected for instance 6 pm - 8:30 am"
                    ),
                ),
            },
            "weekday" => match Weekdays::parse(&element.content) {
                Some(days) => draft.weekdays = Some(if negated { days.inverted() } else { days }),
                None => notes.error(element.line, format!("weekday is no list of days: {text:?}")),
            },
            "compiled_rule" => match CompiledRule::from_name(text.trim()) {
                Some(rule) => draft.compiled = Some(rule),
                None => notes.error(element.line, format!("there is no compiled rule {text:?}")),
            },
            "field" => self.dynamic_field(element, negated, notes),
            "list" => self.list(element, notes),
            other => notes.error(element.line, format!("<{other}> is not known in a rule")),
        }
    }

    fn dynamic_field(&mut self, element: &xml::Element, negated: bool, notes: &mut Notes) {
        let Some(name) = element.attribute("name").filter(|name| !name.is_empty()) else {
            notes.error(element.line, "field needs the attribute name");
            return;
        };
        let mut pieces = Pieces::default();
        pieces.add_negatable(element, negated, MAX_PATTERN, notes);
        if let Some(text) = pieces.compile(Language::Regex, "field", notes) {
            self.draft.fields.push((String::from_utf8_lossy(name).into_owned(), text));
        }
    }

    fn list(&mut self, element: &xml::Element, notes: &mut Notes) {
        let attribute = |name: &str| element.attribute(name).map(String::from_utf8_lossy);
        let field = attribute("field").unwrap_or_default();
        let Some(field) = ListField::from_name(&field) else {
            notes.error(element.line, format!("a list has no field {field:?}; expected srcip, srcport, dstip, dstport, user, url, id, hostname, program_name, status or action"));
            return;
        };
        let value = element.attribute("check_value").map(|text| Text::new(Language::Match, text));
        let lookup = attribute("lookup").unwrap_or("match_key".into());
        let kind = match (&*lookup, value) {
            ("match_key", _) => LookupKind::Key,
            ("not_match_key", _) => LookupKind::NotKey,
            ("address_match_key", _) => LookupKind::Address,
            ("not_address_match_key", _) => LookupKind::NotAddress,
            ("match_key_value", Some(Ok(text))) => LookupKind::KeyValue(text),
            ("address_match_key_value", Some(Ok(text))) => LookupKind::AddressValue(text),
            ("match_key_value" | "address_match_key_value", Some(Err(error))) => {
                notes.error(element.line, format!("check_value is no pattern: {error}"));
                return;
            }
            ("match_key_value" | "address_match_key_value", None) => {
                notes.error(element.line, format!("lookup {lookup:?} needs a check_value"));
                return;
            }
            _ => {
                notes.error(element.line, format!("unknown lookup {lookup:?}"));
                return;
            }
        };
        let path = element.text();
        let path = path.trim();
        let list = self.context.lists.get(path.strip_suffix(".cdb").unwrap_or(path)).cloned();
        if list.is_none() {
            notes.warning(
                element.line,
                format!("list {path:?} is not configured: this condition never holds"),
            );
        }
        self.draft.lists.push(ListLookup { path: path.to_string(), field, kind, list });
    }

    /// Compiles the patterns and checks what belongs together.
    fn finish(mut self, line: usize, notes: &mut Notes) -> Draft {
        for (slot, name) in Slot::ALL {
            let language = if slot == Slot::Regex { Language::Regex } else { Language::Match };
            if let (Some(pieces), Some(text)) =
                (self.patterns.plain.get(slot as usize), self.draft.plain.get_mut(slot as usize))
            {
                *text = pieces.compile(language, name, notes);
            }
            if let (Some(pieces), Some(text)) =
                (self.patterns.pcre.get(slot as usize), self.draft.pcre.get_mut(slot as usize))
            {
                let name = if slot == Slot::Regex { "pcre2" } else { name };
                *text = pieces.compile(Language::Pcre, name, notes);
            }
        }
        let Patterns { matched_regex, matched_group, if_group, .. } = self.patterns;
        let mut draft = self.draft;
        draft.matched_regex = matched_regex.compile(Language::Regex, "if_matched_regex", notes);
        draft.matched_group = matched_group.is_given().then_some(matched_group.text);
        draft.if_group = if_group.is_given().then_some(if_group.text);
        let counts = draft.is_correlated() || draft.check_diff;
        if !counts && (draft.rule.frequency > 0 || draft.has_relations) {
            notes.error(
                line,
                format!("rule {}: frequency and same_* need an if_matched_sid, if_matched_group, if_matched_regex or check_diff", draft.rule.id),
            );
        }
        draft
    }
}

/// What a relation asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Same,
    Different,
    /// Takes back an earlier `same_*`, and asks for a difference.
    NotSame,
}

/// The field of a `same_*`, by all the names that users know it by.
fn related_field(what: &str) -> Option<Field> {
    Some(match what {
        "id" => Field::Id,
        "source_ip" | "src_ip" | "srcip" => Field::SrcIp,
        "dst_ip" | "dstip" | "destination_ip" => Field::DstIp,
        "src_port" | "srcport" => Field::SrcPort,
        "dst_port" | "dstport" => Field::DstPort,
        "user" | "dstuser" | "dst_user" => Field::DstUser,
        "srcuser" | "src_user" => Field::SrcUser,
        "url" => Field::Url,
        "protocol" => Field::Protocol,
        "action" => Field::Action,
        "status" => Field::Status,
        "data" | "extra_data" => Field::Data,
        "system_name" => Field::SystemName,
        "filename" => Field::FileName,
        _ => return None,
    })
}

/// `<mitre><id>T1110</id><id>T1078</id></mitre>`
fn mitre(rule: &mut Rule, element: &xml::Element, notes: &mut Notes) {
    const MAX_TECHNIQUES: usize = 32;
    for child in &element.children {
        let id = child.content.trim_ascii();
        let is_id = child.name.eq_ignore_ascii_case("id")
            && !id.is_empty()
            && id.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'.');
        if !is_id || rule.mitre.len() >= MAX_TECHNIQUES {
            notes.error(child.line, "mitre holds at most 32 <id>T1110</id>");
            return;
        }
        rule.mitre.push(id.to_vec());
    }
}

fn info(rule: &mut Rule, element: &xml::Element, notes: &mut Notes) {
    let mut kind = InfoKind::Text;
    for attribute in &element.attributes {
        let known = match &*attribute.text().to_ascii_lowercase() {
            "text" => Some(InfoKind::Text),
            "link" => Some(InfoKind::Link),
            "cve" => Some(InfoKind::Cve),
            "osvdb" => Some(InfoKind::Osvdb),
            _ => None,
        };
        match known.filter(|_| attribute.name.eq_ignore_ascii_case("type")) {
            Some(known) => kind = known,
            None => notes.error(
                element.line,
                format!(
                    "info has no {}={:?}; expected type=\"text|link|cve|osvdb\"",
                    attribute.name,
                    attribute.text()
                ),
            ),
        }
    }
    rule.info.get_or_insert_default().extend_from_slice(&element.content);
    push_info(rule, kind, &element.content);
}

fn push_info(rule: &mut Rule, kind: InfoKind, text: &[u8]) {
    if rule.infos.len() < MAX_INFOS {
        rule.infos.push(Info { kind, text: text.to_vec() });
    }
}

/// The fields that an ignore entry is made of: words anywhere in the content.
fn mask(element: &xml::Element, notes: &mut Notes) -> FtsMask {
    const WORDS: [(&str, u32); 7] = [
        ("user", FtsMask::DST_USER),
        ("srcip", FtsMask::SRC_IP),
        ("dstip", FtsMask::DST_IP),
        ("id", FtsMask::ID),
        ("location", FtsMask::LOCATION),
        ("data", FtsMask::DATA),
        ("name", FtsMask::NAME),
    ];
    let text = element.text();
    let bits = WORDS.iter().filter(|(word, _)| text.contains(word));
    let mask = bits.fold(0, |mask, (_, bit)| mask | bit);
    if mask == 0 {
        notes.error(
            element.line,
            format!("<{}> names no field: {text:?}; expected user, srcip, dstip, id, location, data or name", element.name),
        );
    }
    FtsMask(mask)
}
