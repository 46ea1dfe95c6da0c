//! Conditions of the event alone: what they are called, what they want, what they were tried on.

use super::{Condition, cut};
use crate::condition::{Check, CompiledRule, dynamic};
use crate::engine::{Compiled, Engine};
use crate::event::{Decoded, Field};
use crate::lists::{ListField, ListLookup, LookupKind};
use crate::text::{Language, Text};

impl Engine {
    /// The first of a rule's conditions, in the order of the language, that does not hold.
    pub(super) fn first_failing(&self, rule: &Compiled, event: &Decoded) -> Option<Condition> {
        let failing = rule.checks.iter().filter(|check| !check.holds(event, &self.decoders));
        let first = failing.min_by_key(|check| rank(check))?;
        Some(self.condition(first, event))
    }

    fn condition(&self, check: &Check, event: &Decoded) -> Condition {
        let (name, wanted, tried_on): (&str, Vec<u8>, Option<&[u8]>) = match check {
            Check::Decoder(name) => {
                let wanted = self.name(*name).unwrap_or_default();
                let got = self.name(event.decoder_name);
                ("decoded_as", wanted.into(), got.map(str::as_bytes))
            }
            Check::Log(text) => (log_tag(text), text.as_written().into(), Some(event.log())),
            Check::Program(text) => {
                ("program_name", text.as_written().into(), event.program_name())
            }
            Check::Hostname(text) => ("hostname", text.as_written().into(), Some(event.hostname())),
            Check::Field(field, text) => {
                (field_tag(*field), text.as_written().into(), event.field(*field))
            }
            Check::User(text) => {
                let user = event.field(Field::DstUser).or_else(|| event.field(Field::SrcUser));
                ("user", text.as_written().into(), user)
            }
            Check::Dynamic(name, text) => {
                let value = dynamic(event, &self.decoders, name);
                let name = format!("field name=\"{name}\"");
                return Condition {
                    name,
                    wanted: text.as_written().into(),
                    tried_on: value.map(cut),
                };
            }
            Check::Action(word) => ("action", word.clone(), event.field(Field::Action)),
            Check::Address(field, list) => {
                (field_tag(*field), list.to_string().into(), event.field(*field))
            }
            Check::Compiled(rule) => {
                ("compiled_rule", compiled_name(*rule).into(), Some(event.log()))
            }
            Check::MinLength(length) => {
                let got = event.log().len();
                return Condition {
                    name: "maxsize".to_owned(),
                    wanted: format!("at least {length} bytes").into(),
                    tried_on: Some(format!("{got} bytes").into()),
                };
            }
            Check::Time(time) => {
                let (hour, minute) = (event.moment.hour, event.moment.minute);
                return Condition {
                    name: "time".to_owned(),
                    wanted: time.to_string().into(),
                    tried_on: Some(format!("{hour:02}:{minute:02}").into()),
                };
            }
            Check::Weekday(days) => {
                let day = crate::schedule::day_name(event.moment.weekday);
                ("weekday", days.to_string().into(), Some(day.as_bytes()))
            }
            Check::List(lookup) => return list_condition(lookup, event),
            Check::Never => ("srcgeoip", b"a country; none is ever known here".to_vec(), None),
        };
        Condition { name: name.to_owned(), wanted, tried_on: tried_on.map(cut) }
    }
}

/// A list look-up as a condition.
pub(super) fn list_condition(lookup: &ListLookup, event: &Decoded) -> Condition {
    let kind = match &lookup.kind {
        LookupKind::Key => "match_key",
        LookupKind::NotKey => "not_match_key",
        LookupKind::KeyValue(_) => "match_key_value",
        LookupKind::Address => "address_match_key",
        LookupKind::NotAddress => "not_address_match_key",
        LookupKind::AddressValue(_) => "address_match_key_value",
    };
    let mut wanted = format!("{kind} in {}", lookup.path).into_bytes();
    if lookup.list.is_none() {
        wanted.extend_from_slice(b" (not configured)");
    }
    if let LookupKind::KeyValue(text) | LookupKind::AddressValue(text) = &lookup.kind {
        wanted.extend_from_slice(b" with a value like ");
        wanted.extend_from_slice(text.as_written());
    }
    let field = match lookup.field {
        ListField::Field(field) => field_tag(field),
        ListField::User => "user",
        ListField::Hostname => "hostname",
        ListField::ProgramName => "program_name",
    };
    let tried_on = lookup.field.of(event).map(cut);
    Condition { name: format!("list field=\"{field}\""), wanted, tried_on }
}

/// The tag of a pattern on the log.
fn log_tag(text: &Text) -> &'static str {
    match text.language() {
        Language::Match => "match",
        Language::Regex => "regex",
        Language::Pcre => "pcre2",
    }
}

/// As rules call a field; labels of the test tool differ for one.
fn field_tag(field: Field) -> &'static str {
    field.label()
}

fn compiled_name(rule: CompiledRule) -> &'static str {
    match rule {
        CompiledRule::SameUserBothSides => "comp_srcuser_dstuser",
        CompiledRule::LongId => "check_id_size",
        CompiledRule::OtherCaller => "comp_mswin_targetuser_calleruser_diff",
        CompiledRule::SimpleRequest => "is_simple_http_request",
        CompiledRule::Crawler => "is_valid_crawler",
    }
}

/// Place among conditions in the order in which the language asks them.
fn rank(check: &Check) -> u8 {
    match check {
        Check::Decoder(_) => 1,
        Check::Program(_) => 2,
        Check::Field(Field::Id, _) => 3,
        Check::Log(text) if text.language() == Language::Match => 4,
        Check::Log(_) => 5,
        Check::Action(_) => 6,
        Check::Field(Field::Url, _) => 7,
        Check::Dynamic(..) => 8,
        Check::Address(..) | Check::Field(Field::SrcPort | Field::DstPort, _) => 9,
        Check::Compiled(_) => 10,
        Check::User(_) => 11,
        Check::Never => 12,
        Check::MinLength(_) => 13,
        Check::Time(_) => 14,
        Check::Weekday(_) => 15,
        Check::Field(Field::Data, _) => 16,
        Check::Hostname(_) => 17,
        Check::Field(..) => 18,
        Check::List(_) => 21,
    }
}
