//! A rule while files are read: what was written, before it becomes conditions.

use crate::address::AddressList;
use crate::condition::{Check, CompiledRule};
use crate::correlate::Relations;
use crate::decoder::{FtsMask, NameId};
use crate::event::Field;
use crate::lists::ListLookup;
use crate::rule::{Category, Rule};
use crate::schedule::{DayTime, Weekdays};
use crate::text::Text;

/// The conditions that exist in two languages: as OS_Match or OS_Regex, and as PCRE2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Match,
    Regex,
    Id,
    SrcPort,
    DstPort,
    Status,
    Hostname,
    ExtraData,
    ProgramName,
    User,
    Url,
    SrcCountry,
    DstCountry,
}

impl Slot {
    pub(super) const ALL: [(Self, &'static str); 13] = [
        (Self::Match, "match"),
        (Self::Regex, "regex"),
        (Self::Id, "id"),
        (Self::SrcPort, "srcport"),
        (Self::DstPort, "dstport"),
        (Self::Status, "status"),
        (Self::Hostname, "hostname"),
        (Self::ExtraData, "extra_data"),
        (Self::ProgramName, "program_name"),
        (Self::User, "user"),
        (Self::Url, "url"),
        (Self::SrcCountry, "srcgeoip"),
        (Self::DstCountry, "dstgeoip"),
    ];

    fn check(self, text: Text) -> Check {
        match self {
            Self::Match | Self::Regex => Check::Log(text),
            Self::Id => Check::Field(Field::Id, text),
            Self::SrcPort => Check::Field(Field::SrcPort, text),
            Self::DstPort => Check::Field(Field::DstPort, text),
            Self::Status => Check::Field(Field::Status, text),
            Self::Hostname => Check::Hostname(text),
            Self::ExtraData => Check::Field(Field::Data, text),
            Self::ProgramName => Check::Program(text),
            Self::User => Check::User(text),
            Self::Url => Check::Field(Field::Url, text),
            Self::SrcCountry | Self::DstCountry => Check::Never,
        }
    }
}

/// How a rule's correlation is wired into the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wiring {
    Sid(usize),
    Group(usize),
    Pattern,
}

/// One rule as written.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) rule: Rule,
    pub(super) least_length: usize,
    pub(super) accurate: bool,
    pub(super) noalert: bool,
    pub(super) overwrite: bool,
    /// Starts no active response, whatever is configured.
    pub(super) no_response: bool,
    pub(super) category: Category,
    pub(super) decoded_as: Option<NameId>,
    pub(super) plain: [Option<Text>; Slot::ALL.len()],
    pub(super) pcre: [Option<Text>; Slot::ALL.len()],
    pub(super) fields: Vec<(String, Text)>,
    pub(super) action: Option<Vec<u8>>,
    pub(super) not_action: Option<Text>,
    pub(super) srcip: Option<AddressList>,
    pub(super) dstip: Option<AddressList>,
    pub(super) time: Option<DayTime>,
    pub(super) weekdays: Option<Weekdays>,
    pub(super) compiled: Option<CompiledRule>,
    pub(super) lists: Vec<ListLookup>,
    pub(super) if_fts: bool,
    pub(super) check_diff: bool,
    pub(super) if_sid: Vec<u32>,
    pub(super) if_level: Option<u32>,
    pub(super) if_group: Option<Vec<u8>>,
    pub(super) matched_sid: Option<u32>,
    pub(super) matched_group: Option<Vec<u8>>,
    pub(super) matched_regex: Option<Text>,
    pub(super) relations: Relations,
    /// Fields that decoders named, which must be the same (true), or different.
    pub(super) related_names: Vec<(String, bool)>,
    /// A tag that means something only in a correlation.
    pub(super) has_relations: bool,
    pub(super) ignore_mask: FtsMask,
    pub(super) check_ignored_mask: FtsMask,
    pub(super) wiring: Option<Wiring>,
}

impl Draft {
    pub(super) fn new(rule: Rule) -> Self {
        Self {
            rule,
            least_length: 0,
            accurate: true,
            noalert: false,
            overwrite: false,
            no_response: false,
            category: Category::Syslog,
            decoded_as: None,
            plain: Default::default(),
            pcre: Default::default(),
            fields: Vec::new(),
            action: None,
            not_action: None,
            srcip: None,
            dstip: None,
            time: None,
            weekdays: None,
            compiled: None,
            lists: Vec::new(),
            if_fts: false,
            check_diff: false,
            if_sid: Vec::new(),
            if_level: None,
            if_group: None,
            matched_sid: None,
            matched_group: None,
            matched_regex: None,
            relations: Relations::default(),
            related_names: Vec::new(),
            has_relations: false,
            ignore_mask: FtsMask::default(),
            check_ignored_mask: FtsMask::default(),
            wiring: None,
        }
    }

    /// Rank among siblings: level 0 first, then from high to low, inaccurate ones last.
    pub(super) fn weight(&self) -> u32 {
        match (self.accurate, self.rule.level) {
            (false, level) => level.into(),
            (true, 0) => 9900,
            (true, level) => u32::from(level) * 100,
        }
    }

    pub(super) fn is_correlated(&self) -> bool {
        self.matched_sid.is_some() || self.matched_group.is_some() || self.matched_regex.is_some()
    }

    /// Takes over what an `overwrite="yes"` replaces. Its place in the tree and all that is not named here stay.
    pub(super) fn overwrite_with(&mut self, new: Self) {
        let mut rule = new.rule;
        // Typed details stay those of the first rule.
        rule.infos = std::mem::take(&mut self.rule.infos);
        self.rule = rule;
        self.least_length = new.least_length;
        let geo = [Slot::SrcCountry as usize, Slot::DstCountry as usize];
        for (slot, (old, new)) in self.plain.iter_mut().zip(new.plain).enumerate() {
            if !geo.contains(&slot) {
                *old = new;
            }
        }
        self.time = new.time;
        self.weekdays = new.weekdays;
        self.srcip = new.srcip;
        self.dstip = new.dstip;
        self.action = new.action;
        self.not_action = new.not_action;
        self.matched_regex = new.matched_regex;
        self.matched_group = new.matched_group;
        self.matched_sid = new.matched_sid;
        self.relations = new.relations;
        self.related_names = new.related_names;
        self.decoded_as = new.decoded_as;
        self.compiled = new.compiled;
    }

    /// The conditions that depend on the event alone, lists apart, cheap ones first.
    pub(super) fn checks(&self) -> Vec<Check> {
        let mut checks: Vec<Check> = self.decoded_as.map(Check::Decoder).into_iter().collect();
        for (slot, _) in Slot::ALL {
            let plain = self.plain.get(slot as usize).and_then(Option::as_ref);
            let pcre = self.pcre.get(slot as usize).and_then(Option::as_ref);
            // A plain form hides the other one; of `url` alone both count.
            let shown = if slot == Slot::Url { [plain, pcre] } else { [plain.or(pcre), None] };
            checks.extend(shown.into_iter().flatten().map(|text| slot.check(text.clone())));
        }
        checks.extend(self.action.clone().map(Check::Action));
        checks.extend(self.not_action.clone().map(|text| Check::Field(Field::Action, text)));
        let fields = self.fields.iter();
        checks.extend(fields.map(|(name, text)| Check::Dynamic(name.clone(), text.clone())));
        checks.extend(self.srcip.clone().map(|list| Check::Address(Field::SrcIp, list)));
        checks.extend(self.dstip.clone().map(|list| Check::Address(Field::DstIp, list)));
        checks.extend(self.compiled.map(Check::Compiled));
        checks.extend((self.least_length > 0).then_some(Check::MinLength(self.least_length)));
        checks.extend(self.time.map(Check::Time));
        checks.extend(self.weekdays.map(Check::Weekday));
        checks.sort_by_key(Check::cost);
        checks
    }
}
