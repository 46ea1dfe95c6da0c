//! The conditions of a rule that depend on the event alone.
//!
//! They have no side effects, so they are asked in order of cost, not in the order of the language.

use crate::address::AddressList;
use crate::decoder::{Decoders, NameId, OrderItem};
use crate::event::{Decoded, Field, Span};
use crate::lists::ListLookup;
use crate::schedule::{DayTime, Weekdays};
use crate::text::Text;

/// One condition. A condition on a field that the event lacks does not hold.
#[derive(Debug, Clone)]
pub(crate) enum Check {
    /// `decoded_as`
    Decoder(NameId),
    /// `match`, `regex`, `pcre2`
    Log(Text),
    /// `program_name`
    Program(Text),
    /// `hostname`
    Hostname(Text),
    /// `id`, `url`, `status`, ports, `extra_data`
    Field(Field, Text),
    /// `user`: the destination user, else the source user.
    User(Text),
    /// `field name="..."`
    Dynamic(String, Text),
    /// `action`
    Action(Vec<u8>),
    /// `srcip`, `dstip`
    Address(Field, AddressList),
    /// `compiled_rule`
    Compiled(CompiledRule),
    /// `maxsize`: the least length of the log.
    MinLength(usize),
    /// `time`
    Time(DayTime),
    /// `weekday`
    Weekday(Weekdays),
    /// `list`
    List(ListLookup),
    /// A country: this build knows none.
    Never,
}

impl Check {
    /// Whether the condition holds.
    pub(crate) fn holds(&self, event: &Decoded, decoders: &Decoders) -> bool {
        match self {
            Self::Decoder(name) => event.decoder_name == *name,
            Self::Log(text) => text.is_match(event.log()),
            Self::Program(text) => event.program_name().is_some_and(|value| text.is_match(value)),
            Self::Hostname(text) => text.is_match(event.hostname()),
            Self::Field(field, text) => {
                event.field(*field).is_some_and(|value| text.is_match(value))
            }
            Self::User(text) => event
                .field(Field::DstUser)
                .or_else(|| event.field(Field::SrcUser))
                .is_some_and(|value| text.is_match(value)),
            Self::Dynamic(name, text) => {
                dynamic(event, decoders, name).is_some_and(|value| text.is_match(value))
            }
            Self::Action(word) => event.field(Field::Action) == Some(word),
            Self::Address(field, list) => {
                event.field(*field).is_some_and(|value| list.contains(value))
            }
            Self::Compiled(rule) => rule.holds(event),
            Self::MinLength(length) => event.log().len() >= *length,
            Self::Time(time) => time.contains(event.moment.minute_of_day()),
            Self::Weekday(days) => days.contains(event.moment.weekday),
            Self::List(lookup) => lookup.holds(event),
            Self::Never => false,
        }
    }

    /// Rank among the conditions of a rule.
    pub(crate) fn cost(&self) -> u8 {
        match self {
            Self::Decoder(_) | Self::Never | Self::MinLength(_) => 0,
            Self::Time(_) | Self::Weekday(_) | Self::Action(_) => 1,
            Self::Program(_) | Self::Hostname(_) | Self::Field(..) | Self::User(_) => 2,
            Self::Dynamic(..) | Self::Address(..) | Self::List(_) => 3,
            Self::Log(text) => text.cost(),
            Self::Compiled(_) => 6,
        }
    }

    /// Literals of which a line must contain one for the condition to hold.
    pub(crate) fn required_literals(&self) -> Option<&[Vec<u8>]> {
        match self {
            // Values of these are pieces of the line; a host name need not be.
            Self::Log(text) | Self::Program(text) | Self::Field(_, text) | Self::User(text) => {
                text.required_literals()
            }
            Self::Dynamic(_, text) => text.required_literals(),
            _ => None,
        }
    }
}

/// The value that the final decoder's `<order>` has under this name, or that the line itself names so.
pub(crate) fn dynamic<'a>(event: &'a Decoded, decoders: &Decoders, name: &str) -> Option<&'a [u8]> {
    dynamic_span(event, decoders, name).of(&event.bytes)
}

/// Where that value lies.
pub(crate) fn dynamic_span(event: &Decoded, decoders: &Decoders, name: &str) -> Span {
    let decoder = event.decoder.and_then(|index| decoders.get(index));
    let ordered = decoder.and_then(|decoder| {
        let position = decoder.order.iter().position(
            |item| matches!(item, OrderItem::Dynamic(known) if known.eq_ignore_ascii_case(name)),
        )?;
        event.dynamic.get(position).copied().filter(|value| value.is_some())
    });
    ordered
        .or_else(|| {
            let called = |known: Span| {
                known.of(&event.bytes).is_some_and(|n| n.eq_ignore_ascii_case(name.as_bytes()))
            };
            event.named.iter().find(|(known, _)| called(*known)).map(|(_, value)| *value)
        })
        .unwrap_or(Span::NONE)
}

/// Conditions that are code, by the name that `<compiled_rule>` gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CompiledRule {
    SameUserBothSides,
    LongId,
    OtherCaller,
    SimpleRequest,
    Crawler,
}

impl CompiledRule {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "comp_srcuser_dstuser" => Self::SameUserBothSides,
            "check_id_size" => Self::LongId,
            "comp_mswin_targetuser_calleruser_diff" => Self::OtherCaller,
            "is_simple_http_request" => Self::SimpleRequest,
            "is_valid_crawler" => Self::Crawler,
            _ => return None,
        })
    }

    fn holds(self, event: &Decoded) -> bool {
        match self {
            Self::SameUserBothSides => {
                match (event.field(Field::SrcUser), event.field(Field::DstUser)) {
                    (Some(source), Some(target)) => source == target,
                    _ => true,
                }
            }
            Self::LongId => event.field(Field::Id).is_some_and(|id| id.len() >= 10),
            Self::OtherCaller => {
                let target = windows_name(event.log(), b"Target Account Name:");
                let caller = windows_name(event.log(), b"Caller User Name:");
                matches!((target, caller), (Some(target), Some(caller)) if target != caller)
            }
            Self::SimpleRequest => {
                let get = event
                    .field(Field::Action)
                    .is_none_or(|action| action.eq_ignore_ascii_case(b"GET"));
                get && event
                    .field(Field::Url)
                    .is_some_and(|url| url == b"/" || !url.contains(&b'?'))
            }
            // By its address alone: asking name servers would let a slow one stop all analysis.
            Self::Crawler => {
                const NETWORKS: [&[u8]; 7] =
                    [b"72.14.", b"209.85.", b"65.55.", b"207.46.", b"74.6.", b"72.30.", b"67.195."];
                NETWORKS.iter().any(|network| event.log().starts_with(network))
            }
        }
    }
}

/// The value behind a label, up to a tab or two blanks.
fn windows_name<'a>(log: &'a [u8], label: &[u8]) -> Option<&'a [u8]> {
    let at = log.windows(label.len()).position(|window| window == label)? + label.len();
    let rest = log.get(at..)?.trim_ascii_start();
    let end = (0..rest.len())
        .find(|&index| {
            rest.get(index) == Some(&b'\t')
                || rest.get(index..index + 2).is_some_and(|pair| pair == b"  ")
        })
        .unwrap_or(rest.len());
    rest.get(..end)
}
