//! What judging an event came to.

use crate::rule::RuleIndex;

/// The outcome for one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The selected rule, if any: also one of level 0, silenced or ignored.
    pub rule: Option<RuleIndex>,
    /// What becomes of the event.
    pub fate: Fate,
    /// The alert is written; false for rules below the log level, or with `no_log`.
    pub log: bool,
    /// The alert carries the mail flag.
    pub mail: bool,
    /// How often the rule was selected since start, this time included.
    pub fired: u64,
    /// Earlier lines that explain a correlation, newest first.
    pub samples: Vec<Vec<u8>>,
}

impl Judgement {
    pub(crate) fn without_rule(fate: Fate) -> Self {
        Self { rule: None, fate, log: false, mail: false, fired: 0, samples: Vec::new() }
    }

    /// Whether the event goes to the archives.
    pub fn is_archived(&self) -> bool {
        !matches!(self.fate, Fate::Repeated | Fate::IncompleteFirewall)
    }
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// One of the last three different lines again: no rules, no archive.
    Repeated,
    /// A firewall event without the parts of a firewall event, dropped because the options say so.
    IncompleteFirewall,
    /// No rule was selected.
    NoRule,
    /// The selected rule has level 0.
    LevelZero,
    /// The selected rule is within its silence window.
    Silenced,
    /// The selected rule found the event on the ignore list.
    Ignored,
    /// An alert, to be written if [`Judgement::log`] says so; active responses run in any case.
    Alert,
}

/// One step of judging, for those who watch ([`Engine::judge_traced`](crate::Engine::judge_traced)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The rule's conditions are looked at.
    Trying(RuleIndex),
    /// They all hold.
    Matched(RuleIndex),
    /// It has children, which come next.
    Children(RuleIndex),
}
