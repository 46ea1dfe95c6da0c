//! The contents of a recorded run, as far as it tells them.
//!
//! Each content has the name that its recorded digests give it. Diffs tell lines of the content before and after; lines that did not change
//! are the same in both, so that what is known of one spreads to the others. A content whose lines are all known, and one
//! that is guessed (few bytes, words of its path), counts as recovered only when it has the recorded digests. For
//! others stands one of the recorded size, with those lines that are known in their places.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use syscheckd::hash::{self, Wanted};

use super::recording::{Recording, Row};

/// Each content under `md5:sha1:sha256` as recorded.
pub(super) struct Contents {
    bytes: BTreeMap<String, Vec<u8>>,
    /// Stand-ins.
    stood_in: BTreeSet<String>,
    /// Stand-ins without regard to known lines, since those do not fit into the size.
    shapeless: BTreeSet<String>,
    /// Contents before and after each recorded row, by path and sum.
    before: BTreeMap<(String, String), BTreeSet<String>>,
}

/// What is known of one content.
#[derive(Default)]
struct Known {
    size: Option<usize>,
    /// With their newlines; counted from 1.
    lines: BTreeMap<usize, Vec<u8>>,
    /// There are at least so many.
    count: usize,
    paths: BTreeSet<String>,
    /// Its change was told without lines.
    is_binary: bool,
}

/// One recorded diff.
struct Change {
    before: String,
    after: String,
    hunks: Vec<Hunk>,
    /// What lies behind the last hunk is not known to be the same.
    is_cut: bool,
}

/// Lines `old.0..old.1` were replaced by `new.0..new.1`.
#[derive(Default)]
struct Hunk {
    old: (usize, usize),
    new: (usize, usize),
    removed: Vec<Vec<u8>>,
    added: Vec<Vec<u8>>,
}

impl Contents {
    pub(super) fn recover(recording: &Recording) -> Self {
        let (mut known, changes, before) = gather(recording);
        let mut contents = Self {
            bytes: BTreeMap::new(),
            stood_in: BTreeSet::new(),
            shapeless: BTreeSet::new(),
            before,
        };
        spread(&mut known, &changes);
        for (name, known) in &mut known {
            let found = candidates(known).find(|bytes| has_digests(name, bytes));
            if let Some(bytes) = found {
                known.lines = numbered(&bytes);
                contents.bytes.insert(name.clone(), bytes);
            }
        }
        spread(&mut known, &changes);
        let names: Vec<String> = known.keys().cloned().collect();
        for (number, name) in names.iter().enumerate() {
            if contents.bytes.contains_key(name) {
                continue;
            }
            let one = known.entry(name.clone()).or_default();
            let whole = whole(one).filter(|bytes| has_digests(name, bytes));
            let bytes = whole.or_else(|| {
                contents.stood_in.insert(name.clone());
                stand_in(one, number)
            });
            if bytes.is_none() {
                contents.shapeless.insert(name.clone());
            }
            let bytes = bytes.unwrap_or_else(|| line(one.size.unwrap_or(0), number));
            one.lines = numbered(&bytes);
            contents.bytes.insert(name.clone(), bytes);
            spread(&mut known, &changes);
        }
        contents
    }

    /// The content of that name.
    pub(super) fn get(&self, name: &str) -> &[u8] {
        self.bytes.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// The row that ours has to tell where contents are stood in for.
    pub(super) fn translate(&self, row: &Row) -> Row {
        let mut row = row.clone();
        let key = (row.path.clone(), row.sum.clone());
        let mut names = self.before.get(&key).into_iter().flatten();
        row.any_diff = names.any(|name| self.shapeless.contains(name));
        let name = row.content().to_owned();
        if self.stood_in.contains(&name) {
            let ours = digests(&name, self.get(&name));
            row.sum = row.sum.replace(&name, &ours);
        }
        row
    }
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (all, without) = (self.bytes.len(), self.stood_in.len());
        write!(f, "{} of {all} contents recovered, {without} stood in for", all - without)?;
        self.stood_in.iter().try_for_each(|name| write!(f, ", {name}"))
    }
}

type Gathered =
    (BTreeMap<String, Known>, Vec<Change>, BTreeMap<(String, String), BTreeSet<String>>);

fn gather(recording: &Recording) -> Gathered {
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    let (mut changes, mut involved) = (Vec::new(), BTreeMap::new());
    let mut last: BTreeMap<&str, &str> = BTreeMap::new();
    for row in recording.steps.iter().flat_map(|step| &step.rows).filter(|row| !row.is_gone()) {
        let content = known.entry(row.content().to_owned()).or_default();
        content.paths.insert(row.path.clone());
        if !row.is_link() && row.number(0) > 0 {
            content.size = usize::try_from(row.number(0)).ok();
        }
        let before =
            last.insert(&row.path, row.content()).filter(|before| *before != row.content());
        let Some(before) = before else { continue };
        let names = BTreeSet::from([before.to_owned(), row.content().to_owned()]);
        involved.insert((row.path.clone(), row.sum.clone()), names);
        if row.diff.is_empty() && recording.reports_changes(&row.path) {
            content.is_binary = true;
            known.entry(before.to_owned()).or_default().is_binary = true;
        }
        let start = shown(&row.diff);
        let is_whole =
            |(path, diff): &&(String, String)| *path == row.path && diff.starts_with(start);
        let whole = recording.diffs.iter().find(is_whole).map(|(_, diff)| diff.as_str());
        let is_cut = whole.is_none() && row.diff.ends_with("...");
        let hunks = hunks(whole.unwrap_or(start));
        let (before, after) = (before.to_owned(), row.content().to_owned());
        for hunk in &hunks {
            for (name, end) in [(&before, hunk.old.1), (&after, hunk.new.1)] {
                let one = known.entry(name.clone()).or_default();
                one.count = one.count.max(end - 1);
            }
        }
        if !hunks.is_empty() {
            changes.push(Change { before, after, hunks, is_cut });
        }
    }
    (known, changes, involved)
}

/// The whole lines of a diff: one that was cut for its bytes ends within a line.
fn shown(diff: &str) -> &str {
    let Some((shown, _)) = diff.split_once("\n... ") else { return diff };
    let is_whole = shown.split('\n').count() == fim::diff::MAX_LINES;
    let end = shown.rfind('\n').filter(|_| !is_whole);
    end.and_then(|end| shown.get(..end)).unwrap_or(shown)
}

/// Reads the normal format of diff.
fn hunks(diff: &str) -> Vec<Hunk> {
    let mut hunks: Vec<Hunk> = Vec::new();
    let mut was_added = false;
    for line in diff.split('\n') {
        let Some(hunk) =
            hunks.last_mut().filter(|_| !line.starts_with(|c: char| c.is_ascii_digit()))
        else {
            hunks.extend(command(line));
            continue;
        };
        let text = |line: &str| format!("{line}\n").into_bytes();
        if let Some(line) = line.strip_prefix("< ") {
            hunk.removed.push(text(line));
            was_added = false;
        } else if let Some(line) = line.strip_prefix("> ") {
            hunk.added.push(text(line));
            was_added = true;
        } else if line.starts_with('\\') {
            let lines = if was_added { &mut hunk.added } else { &mut hunk.removed };
            lines.last_mut().and_then(Vec::pop);
        }
    }
    hunks
}

/// `5a6`, `2,3d1`, `2c2,3`.
fn command(line: &str) -> Option<Hunk> {
    let at = line.find(['a', 'c', 'd'])?;
    let range = |text: &str| {
        let (first, last) = text.split_once(',').unwrap_or((text, text));
        Some((first.parse().ok()?, last.parse::<usize>().ok()? + 1))
    };
    let (mut old, mut new): ((usize, usize), _) = (range(&line[..at])?, range(&line[at + 1..])?);
    match line.as_bytes()[at] {
        b'a' => old = (old.1, old.1),
        b'd' => new = (new.1, new.1),
        _ => {}
    }
    Some(Hunk { old, new, ..Hunk::default() })
}

/// Lines that a diff shows, and lines that it says are the same.
fn spread(known: &mut BTreeMap<String, Known>, changes: &[Change]) {
    let count =
        |known: &BTreeMap<String, Known>| known.values().map(|one| one.lines.len()).sum::<usize>();
    loop {
        let before = count(known);
        for change in changes {
            for hunk in &change.hunks {
                put(known, &change.before, hunk.old.0, &hunk.removed);
                put(known, &change.after, hunk.new.0, &hunk.added);
            }
            let old = known.get(&change.before).map(|one| one.lines.clone()).unwrap_or_default();
            for (number, line) in old {
                if let Some(number) = same_line(change, number, |hunk| (hunk.old, hunk.new)) {
                    put(known, &change.after, number, &[line]);
                }
            }
            let new = known.get(&change.after).map(|one| one.lines.clone()).unwrap_or_default();
            for (number, line) in new {
                if let Some(number) = same_line(change, number, |hunk| (hunk.new, hunk.old)) {
                    put(known, &change.before, number, &[line]);
                }
            }
        }
        if count(known) == before {
            return;
        }
    }
}

type Lines = (usize, usize);

/// Where a line stands on the other side, if it is the same there.
fn same_line(
    change: &Change,
    number: usize,
    sides: impl Fn(&Hunk) -> (Lines, Lines),
) -> Option<usize> {
    let mut there = number;
    for hunk in &change.hunks {
        let (from, to) = sides(hunk);
        if number < from.0 {
            return Some(there);
        }
        if number < from.1 {
            return None;
        }
        there = number - from.1 + to.1;
    }
    (!change.is_cut).then_some(there)
}

fn put(known: &mut BTreeMap<String, Known>, name: &str, first: usize, lines: &[Vec<u8>]) {
    let one = known.entry(name.to_owned()).or_default();
    for (number, line) in (first..).zip(lines) {
        one.lines.entry(number).or_insert_with(|| line.clone());
    }
}

fn numbered(bytes: &[u8]) -> BTreeMap<usize, Vec<u8>> {
    (1..).zip(bytes.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec)).collect()
}

/// All lines, when they are known and have the recorded size.
fn whole(known: &Known) -> Option<Vec<u8>> {
    let bytes: Vec<u8> = known.lines.values().flatten().copied().collect();
    let is_gapless = known.lines.keys().copied().eq(1..=known.lines.len());
    let fits = known.size.is_none_or(|size| size == bytes.len());
    (is_gapless && fits && !bytes.is_empty()).then_some(bytes)
}

/// What it could be: its known lines, without or with a usual first one; a word of its path; all contents of three bytes; bytes that count.
fn candidates(known: &Known) -> impl Iterator<Item = Vec<u8>> {
    let size = known.size.unwrap_or(usize::MAX);
    let lines: Vec<u8> = known.lines.values().flatten().copied().collect();
    let mut guesses = vec![lines.clone()];
    for first in ["#!/bin/sh\n", "#!/bin/bash\n"] {
        guesses.push([first.as_bytes(), &lines].concat());
    }
    for path in &known.paths {
        let words = path.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        guesses.extend(words.map(|word| format!("{word}\n").into_bytes()));
    }
    if size <= 1 << 16 {
        guesses.push((0..=u8::MAX).cycle().take(size).collect());
    }
    let short = (size == 2 || size == 3).then(|| 0..1_u32 << (8 * (size - 1)));
    let short = short.into_iter().flatten().map(move |number| {
        let mut bytes: Vec<u8> = number.to_le_bytes().iter().copied().take(size - 1).collect();
        bytes.push(b'\n');
        bytes
    });
    guesses.into_iter().filter(move |bytes| size == usize::MAX || bytes.len() == size).chain(short)
}

/// A content of the recorded size with known lines in their places; `None` when they do not fit.
fn stand_in(known: &Known, number: usize) -> Option<Vec<u8>> {
    let size = known.size.unwrap_or_else(|| known.lines.values().map(Vec::len).sum());
    if known.is_binary {
        let start = u8::try_from(number % 256).unwrap_or(0);
        return Some((0..=u8::MAX).cycle().skip(usize::from(start)).take(size).collect());
    }
    let count = known.lines.keys().last().copied().unwrap_or(0).max(known.count);
    let mut missing: Vec<usize> =
        (1..=count).filter(|line| !known.lines.contains_key(line)).collect();
    let room = size.checked_sub(known.lines.values().map(Vec::len).sum())?;
    if missing.is_empty() && room > 0 {
        missing.push(count + 1);
    }
    let mut lines = known.lines.clone();
    if let Some(each) = room.checked_div(missing.len()) {
        let rest = room % missing.len();
        // The first one is the longest.
        let lengths = std::iter::once(each + rest).chain(std::iter::repeat(each));
        lines.extend(missing.into_iter().zip(lengths.map(|len| line(len, number))));
    }
    let has_all = lines.values().all(|line| !line.is_empty());
    has_all.then(|| lines.into_values().flatten().collect())
}

/// A line of so many bytes that no other number has.
fn line(len: usize, number: usize) -> Vec<u8> {
    let text = format!("{number}{}", "-".repeat(len));
    let mut line: Vec<u8> = text.into_bytes().into_iter().take(len.saturating_sub(1)).collect();
    line.extend((len > 0).then_some(b'\n'));
    line
}

fn has_digests(name: &str, bytes: &[u8]) -> bool {
    digests(name, bytes) == name
}

/// `md5:sha1:sha256`; what is no digest in `name` is none here.
fn digests(name: &str, bytes: &[u8]) -> String {
    let digest = |at| name.split(':').nth(at).is_some_and(|digest| digest.len() >= 32);
    let wanted = Wanted { md5: digest(0), sha1: digest(1), sha256: digest(2), blake3: false };
    let digests = hash::digest(&mut &*bytes, wanted, u64::MAX, None, &mut || true);
    let digests = digests.expect("memory can be read").expect("nobody stops it");
    let all = fim::Attributes {
        md5: digests.md5,
        sha1: digests.sha1,
        sha256: digests.sha256,
        ..fim::Attributes::default()
    };
    let sum = String::from_utf8(all.encode()).expect("a sum is ASCII");
    Row::parse(&format!("8:syscheck:{sum} /")).content().to_owned()
}
