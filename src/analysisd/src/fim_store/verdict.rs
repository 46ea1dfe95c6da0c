//! The judgement of one file: what its sum, compared with the known one, means, and what is remembered of it.
//!
//! Rules: host-daemons specification 6.7, analysis-engine specification 7.1.

use fim::change::changes;
use fim::history::Told;
use fim::note::Who;
use fim::report::{self, Values};
use fim::{Sum, who};

use super::database::Known;
use super::lines::Counter;
use super::{Outcome, Reason};

/// A file event for the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FimEvent {
    /// What happened.
    pub kind: FimKind,
    /// The alert's text.
    pub text: Vec<u8>,
    /// The file, control bytes escaped.
    pub path: Vec<u8>,
    /// Values for the JSON, as known before.
    pub before: Values,
    /// Values for the JSON, as they are now.
    pub after: Values,
    /// Who did it, for rules and the JSON.
    pub fields: Vec<(&'static str, Vec<u8>)>,
    /// The file changes often, which is not told each time.
    pub often: bool,
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FimKind {
    /// Changed, the first time (each time when `auto_ignore` is off).
    Changed,
    /// Changed the second time.
    ChangedAgain,
    /// Changed the third time, or more often.
    ChangedThird,
    /// Gone.
    Deleted,
    /// Appeared.
    New,
    /// Back after it was gone.
    ReAdded,
}

/// A file's sum as it came, parsed and as text.
pub(super) struct Seen<'a> {
    pub(super) sum: Sum<'a>,
    pub(super) text: &'a [u8],
    /// Who did it, if the sender knows.
    pub(super) who: Option<&'a Who>,
    pub(super) diff: Option<&'a [u8]>,
}

/// What of [`Policy`](super::Policy) a judgement needs.
#[derive(Clone, Copy)]
pub(super) struct Switches {
    pub(super) auto_ignore: bool,
    pub(super) often: i64,
    pub(super) alert_new_files: bool,
}

/// What to tell, and with which counter to remember; `None` leaves the baseline alone.
pub(super) struct Verdict {
    pub(super) outcome: Outcome,
    pub(super) remember: Option<Counter>,
}

impl Verdict {
    /// The new baseline, as if it had always been so.
    pub(super) fn silent(reason: Reason) -> Self {
        Self { outcome: Outcome::Swallowed(reason), remember: Some(Counter::NEVER) }
    }

    /// Whether a file that is still there changed: a deletion is never growth, whatever the sender says.
    pub(super) fn is_growth(&self, seen: &Seen<'_>) -> bool {
        self.is_news() && seen.sum != Sum::Deleted
    }

    /// What became of a change, for the history; `None` when it is none.
    pub(super) fn told(&self) -> Option<Told> {
        Some(match &self.outcome {
            Outcome::Event(event) if event.often => Told::AutoIgnored,
            Outcome::Event(_) => Told::Alert,
            Outcome::Swallowed(Reason::Maintenance) => Told::Maintenance,
            Outcome::Swallowed(Reason::Package) => Told::Package,
            Outcome::Swallowed(Reason::AutoIgnored) => Told::AutoIgnored,
            Outcome::Swallowed(Reason::NewFile) => Told::NewFile,
            _ => return None,
        })
    }

    /// Whether a file is not as it was, told or not.
    pub(super) fn is_news(&self) -> bool {
        !matches!(self.outcome, Outcome::Swallowed(Reason::Unchanged | Reason::OnlyPlaceholders))
    }
}

/// A path that was never seen. A deletion is told even so: the database may have been reset since the file was first seen.
pub(super) fn first_sight(path: &[u8], seen: &Seen<'_>, switches: Switches) -> Verdict {
    let remember = Some(Counter::NEVER);
    let event = match &seen.sum {
        Sum::Deleted => FimEvent::of(FimKind::Deleted, path, report::deleted(path), seen),
        Sum::Present(record) if switches.alert_new_files => FimEvent {
            after: report::values_of_new_file(record),
            ..FimEvent::of(FimKind::New, path, report::new_file(path, record), seen)
        },
        Sum::Present(_) => {
            return Verdict { outcome: Outcome::Swallowed(Reason::NewFile), remember };
        }
    };
    Verdict { outcome: Outcome::Event(Box::new(event)), remember }
}

/// A path that is known.
pub(super) fn judge(
    path: &[u8],
    known: &Known,
    seen: &Seen<'_>,
    switches: Switches,
    now: i64,
) -> Verdict {
    let silent = |reason, remember| Verdict { outcome: Outcome::Swallowed(reason), remember };
    if known.sum == seen.text {
        return silent(Reason::Unchanged, None);
    }
    let earlier = known.counter.earlier_changes();
    let kind = match earlier {
        1 if switches.auto_ignore => FimKind::ChangedAgain,
        2.. if switches.auto_ignore => FimKind::ChangedThird,
        _ => FimKind::Changed,
    };
    let is_one_more = switches.auto_ignore && earlier > 2;
    let event = match (Sum::parse(&known.sum), &seen.sum) {
        (_, Sum::Deleted) => FimEvent::of(FimKind::Deleted, path, report::deleted(path), seen),
        (Ok(Sum::Deleted), Sum::Present(_)) => {
            FimEvent::of(FimKind::ReAdded, path, report::re_added(path), seen)
        }
        (old, Sum::Present(new)) => {
            // A known sum that cannot be read differs, whatever it was.
            let changes = match &old {
                Ok(Sum::Present(old)) => changes(old, new),
                _ => Vec::new(),
            };
            if changes.is_empty() && old.is_ok() {
                return silent(Reason::OnlyPlaceholders, Some(Counter::NEVER));
            }
            let (before, after) = report::values_of_change(&changes);
            let text = report::changed(path, &changes, None);
            FimEvent { before, after, ..FimEvent::of(kind, path, text, seen) }
        }
    };
    if is_one_more && switches.often == 0 {
        return silent(Reason::AutoIgnored, None);
    }
    let often = is_one_more && now.saturating_sub(known.at) < switches.often;
    Verdict {
        outcome: Outcome::Event(Box::new(FimEvent { often, ..event })),
        remember: Some(known.counter.after_change()),
    }
}

impl FimEvent {
    /// Adds to a text who did it and, for a change, what changed in the file's text.
    fn of(kind: FimKind, path: &[u8], mut text: Vec<u8>, seen: &Seen<'_>) -> Self {
        let (before, after) = (Values::default(), Values::default());
        let said = seen.who.map(who::text).unwrap_or_default();
        if !said.is_empty() && text.last() != Some(&b'\n') {
            text.push(b'\n');
        }
        text.extend_from_slice(&said);
        let is_change =
            matches!(kind, FimKind::Changed | FimKind::ChangedAgain | FimKind::ChangedThird);
        if let Some(diff) = seen.diff.filter(|_| is_change) {
            text.extend([b"What changed:\n", diff].concat());
        }
        let fields = seen.who.map(who::fields).unwrap_or_default();
        Self { kind, text, path: path.to_vec(), before, after, fields, often: false }
    }
}
