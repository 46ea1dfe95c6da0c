//! A recorded run: `ossec.conf`, `queue_messages.jsonl` (`{"step": ..., "msg": "8:syscheck:<sum> <path>\n<diff>\u0000"}`), `ossec.log`, and
//! where they are there `diff_tree.txt` (whole diffs) and `db_snapshots.txt` (names of steps of which nothing was told).

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use fim::note::Notes;
use serde_json::Value;
use settings::Syscheck;

/// What a finished scan sends.
pub(super) const COMPLETED: &str = "8:syscheck:syscheck-db-completed";
/// In front of what is told of files.
const FILES: &str = "8:syscheck:";

pub(super) struct Recording {
    pub(super) steps: Vec<Step>,
    /// What one scan says besides rows.
    pub(super) marks: Vec<String>,
    /// What the original's syscheckd logged, without time and name.
    pub(super) logged: BTreeSet<String>,
    /// Whole diffs, each under the path that it is of.
    pub(super) diffs: Vec<(String, String)>,
    /// Paths as recorded.
    pub(super) syscheck: Syscheck,
    conf: String,
}

pub(super) struct Step {
    pub(super) name: String,
    pub(super) rows: Vec<Row>,
}

impl Recording {
    pub(super) fn read(folder: &Path) -> Self {
        let read = |name: &str| {
            let bytes = fs::read(folder.join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let conf = read("ossec.conf");
        let start = conf.find("<syscheck>").expect("<syscheck>");
        let end = conf.find("</syscheck>").expect("</syscheck>");
        let conf = format!(
            "<ossec_config>{}</syscheck><rootcheck><disabled>yes</disabled></rootcheck></ossec_config>",
            &conf[start..end]
        );
        let settings = settings::parse(conf.as_bytes(), &folder.join("ossec.conf"));
        let mut steps: Vec<Step> = Vec::new();
        let mut marks = Vec::new();
        for line in read("queue_messages.jsonl").lines() {
            let message: Value = serde_json::from_str(line).expect("JSON");
            let (name, text) = (text(&message, "step"), text(&message, "msg"));
            let text = text.trim_end_matches('\0');
            if steps.last().is_none_or(|step| step.name != name) {
                steps.push(Step { name: name.to_owned(), rows: Vec::new() });
            }
            let step = steps.last_mut().expect("one was pushed");
            if is_row(text) {
                step.rows.push(Row::parse(text));
            } else if !marks.contains(&text.to_owned()) {
                marks.push(text.to_owned());
            }
        }
        for name in
            read("db_snapshots.txt").lines().filter_map(|line| line.strip_prefix("--- after "))
        {
            if steps.iter().all(|step| step.name != name) {
                steps.push(Step { name: name.to_owned(), rows: Vec::new() });
            }
        }
        // They are numbered.
        steps.sort_by(|one, other| one.name.cmp(&other.name));
        let said = |line: &str| {
            let (_, said) = line.split_once(" ossec-syscheckd: ")?;
            let text = said.split_once(": ")?.1.trim_end();
            (!text.starts_with("Started (pid")).then(|| text.to_owned())
        };
        let logged = read("ossec.log").lines().filter_map(said).collect();
        let syscheck = settings.unwrap_or_else(|errors| panic!("{errors:?}")).syscheck;
        Self { steps, marks, logged, diffs: whole_diffs(&read("diff_tree.txt")), syscheck, conf }
    }

    /// `ossec.conf` with the paths that are watched, ignored or not shown moved below a folder.
    pub(super) fn conf_below(&self, folder: &Path) -> String {
        let folder = folder.display();
        let element = |part: &str| {
            let moved =
                ["directories", "ignore", "nodiff"].iter().any(|name| part.starts_with(name));
            let (tag, text) = part.split_once('>').filter(|_| moved)?;
            let paths = text.split(',').map(|path| match path.trim_start() {
                path if path.starts_with('/') => format!("{folder}{path}"),
                path if path.starts_with("^/") => format!("^{folder}{}", &path[1..]),
                path => path.to_owned(),
            });
            Some(format!("{tag}>{}", paths.collect::<Vec<_>>().join(",")))
        };
        let parts =
            self.conf.split('<').map(|part| element(part).unwrap_or_else(|| part.to_owned()));
        parts.collect::<Vec<_>>().join("<")
    }

    pub(super) fn has_realtime(&self) -> bool {
        self.syscheck.directories.iter().any(|directory| directory.options.realtime)
    }

    /// Whether the changed lines of a path are told, where it is a text.
    pub(super) fn reports_changes(&self, path: &str) -> bool {
        let mut directories = self.syscheck.directories.iter();
        directories.any(|dir| dir.options.report_changes && Path::new(path).starts_with(&dir.path))
    }

    /// Files that are there before a step and not heard of in it or later, the newest last; those that links point to are heard of by them.
    pub(super) fn never_heard_after(&self, step: &str) -> Vec<String> {
        let (before, after): (Vec<&Step>, Vec<&Step>) =
            self.steps.iter().partition(|other| other.name.as_str() < step);
        let rows = || before.iter().flat_map(|step| &step.rows);
        let links: BTreeSet<&str> = rows().filter(|row| row.is_link()).map(Row::content).collect();
        let later: BTreeSet<&str> =
            after.iter().flat_map(|step| &step.rows).map(|row| row.path.as_str()).collect();
        let quiet = |row: &&Row| {
            !row.is_gone() && !links.contains(row.content()) && !later.contains(row.path.as_str())
        };
        rows().filter(quiet).map(|row| row.path.clone()).collect()
    }
}

/// `== ./local/<path>/diff.<time>` and the diff, an empty line in between.
fn whole_diffs(text: &str) -> Vec<(String, String)> {
    let sections = text.split("\n== ./local").skip(1);
    let section = |section: &str| {
        let (place, diff) = section.split_once('\n')?;
        let (path, _) = place.split_once("/diff.")?;
        Some((path.to_owned(), diff.trim_end_matches('\n').to_owned() + "\n"))
    };
    sections.filter_map(section).collect()
}

fn text<'a>(message: &'a Value, key: &str) -> &'a str {
    message[key].as_str().expect("a text")
}

/// Whether a message is about a file.
pub(super) fn is_row(message: &str) -> bool {
    message.strip_prefix(FILES).is_some_and(|payload| payload.contains(' '))
}

/// One message about a file.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) path: String,
    /// `size:mode:uid:gid:md5:sha1:sha256`, or `-1`.
    pub(super) sum: String,
    /// Changed lines; empty when none are told.
    pub(super) diff: String,
    /// The changed lines follow from no recorded contents.
    pub(super) any_diff: bool,
}

impl Row {
    pub(super) fn parse(message: &str) -> Self {
        let payload = message.strip_prefix(FILES).expect("a row");
        let (sum, rest) = payload.split_once(' ').expect("a row");
        let (path, diff) = rest.split_once('\n').unwrap_or((rest, ""));
        let [path, sum, diff] = [path, sum, diff].map(str::to_owned);
        Self { path, sum, diff, any_diff: false }
    }

    pub(super) fn gone(path: &str) -> Self {
        Self::parse(&format!("{FILES}-1 {path}"))
    }

    /// Of ours: as it would be with the folder for `/`, and without saying who did it (docs/differences.md).
    pub(super) fn in_recorded_form(mut self, folder: &Path) -> Self {
        if let Some(path) = self.path.strip_prefix(&folder.display().to_string()) {
            self.path = path.to_owned();
        }
        let (_, diff) = Notes::split(self.diff.as_bytes());
        self.diff = String::from_utf8_lossy(diff.unwrap_or_default()).into_owned();
        self
    }

    pub(super) fn is_told_by(&self, told: &Self) -> bool {
        (&self.path, &self.sum) == (&told.path, &told.sum)
            && (self.any_diff || self.diff == told.diff)
    }

    pub(super) fn is_gone(&self) -> bool {
        self.sum == "-1"
    }

    pub(super) fn is_link(&self) -> bool {
        self.number(1) & 0o170_000 == 0o120_000
    }

    /// Field of the sum: size, mode, uid, gid; 0 is not checked.
    pub(super) fn number(&self, field: usize) -> u64 {
        self.sum.split(':').nth(field).and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// `md5:sha1:sha256`, which stands for the content.
    pub(super) fn content(&self) -> &str {
        let start = self.sum.match_indices(':').nth(3).map(|(at, _)| at + 1);
        start.and_then(|start| self.sum.get(start..)).unwrap_or_default()
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}\n{}", self.sum, self.path, self.diff)
    }
}

/// Folders of all paths that are told of.
pub(super) fn folders(recording: &Recording) -> BTreeSet<PathBuf> {
    let configured = recording.syscheck.directories.iter().map(|dir| dir.path.clone());
    configured.collect()
}
