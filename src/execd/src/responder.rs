//! The daemon's work between its socket, its table, its ledger and its scripts.
//!
//! The order of things is what makes it safe: an order is written to the journal before its script runs, and
//! crossed out after the script that takes it back has ended. Whatever dies in between, the next start undoes it.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use log::Level;

use crate::complaints::Complaints;
use crate::journal::{Journal, Line};
use crate::ledger::{Held, Ledger, MAX_HELD, Verdict};
use crate::message::Message;
use crate::runner::{Action, Finished, Job, RunError, Runner};
use crate::table::{self, Entry, FaultKind, MAX_ENTRIES};

/// The table of responses, below the install root.
pub const TABLE: &str = "etc/shared/ar.conf";
/// The scripts, below the install root.
pub const SCRIPTS: &str = "active-response/bin";
/// The responses in force, below the install root.
pub const JOURNAL: &str = "queue/execd/pending";

/// Far more than 64 lines need.
const MAX_TABLE_BYTES: u64 = 1 << 20;

/// Everything that execd knows.
#[derive(Debug)]
pub struct Responder {
    table_path: PathBuf,
    table: Vec<Entry>,
    table_version: Option<(u64, u64, i64, i64)>,
    said_missing: HashSet<String>,
    ledger: Ledger,
    journal: Journal,
    runner: Runner,
    started: Instant,
    /// Tests turn the clock forward with this; zero otherwise.
    ahead: Duration,
    complaints: Complaints,
    accounts: Accounts,
}

/// What became of the orders: `received = forwarded + filtered + dropped_* + pending`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Accounts {
    /// Datagrams.
    pub received: u64,
    /// Their script has run.
    pub forwarded: u64,
    /// In force already, or not available on this host.
    pub filtered: u64,
    /// Not an order at all, or without user and address.
    pub dropped_malformed: u64,
    /// The name is not in ar.conf.
    pub dropped_unknown: u64,
    /// Too many scripts wait, or too many responses are in force.
    pub dropped_full: u64,
    /// Their script runs or waits.
    pub pending: u64,
    /// Runs of scripts that ended with an error, those that take back included.
    pub failed_scripts: u64,
}

impl Accounts {
    /// As lines of the state file.
    pub fn lines(&self) -> [(&'static str, u64); 8] {
        [
            ("received", self.received),
            ("forwarded", self.forwarded),
            ("filtered", self.filtered),
            ("dropped_malformed", self.dropped_malformed),
            ("dropped_unknown", self.dropped_unknown),
            ("dropped_full", self.dropped_full),
            ("pending", self.pending),
            ("failed_scripts", self.failed_scripts),
        ]
    }
}

impl Responder {
    /// Opens the journal below `root` and takes over what an earlier run has left in force.
    ///
    /// # Errors
    /// The journal cannot be read or written: then nothing could be undone after a crash.
    pub fn open(root: &Path, script_time_limit: Duration) -> io::Result<Self> {
        let (journal, lines, unreadable) = Journal::open(&root.join(JOURNAL))?;
        if unreadable > 0 {
            log::warn!(
                "{unreadable} lines of '{}' are not readable and are ignored",
                root.join(JOURNAL).display()
            );
        }
        let mut responder = Self {
            table_path: root.join(TABLE),
            table: Vec::new(),
            table_version: None,
            said_missing: HashSet::new(),
            ledger: Ledger::default(),
            journal,
            runner: Runner::new(root.join(SCRIPTS), script_time_limit),
            started: Instant::now(),
            ahead: Duration::ZERO,
            complaints: Complaints::default(),
            accounts: Accounts::default(),
        };
        responder.take_over(lines);
        Ok(responder)
    }

    /// Sets how long repeated offenders stay out, in minutes.
    pub fn set_repeated_offenders(&mut self, minutes: &[u32]) {
        for (index, minutes) in minutes.iter().enumerate() {
            log::info!("Adding offenders timeout: {minutes} (for #{})", index + 1);
        }
        let timeouts = minutes.iter().map(|&minutes| Duration::from_secs(60 * u64::from(minutes)));
        self.ledger.set_repeated_offenders(timeouts.collect());
    }

    /// Takes one datagram from the queue.
    pub fn receive(&mut self, datagram: &[u8]) {
        self.accounts.received += 1;
        let message = match Message::parse(datagram) {
            Ok(message) => message,
            Err(why) => {
                self.accounts.dropped_malformed += 1;
                let shown = shown(datagram);
                self.complain(
                    Level::Warn,
                    &format!(
                        "(1310) Invalid active response (execd) message '{shown}'. Not run: {why}."
                    ),
                );
                return;
            }
        };
        self.reload_table();
        let Some(entry) = self.table.iter().find(|entry| entry.name == message.name).cloned()
        else {
            self.accounts.dropped_unknown += 1;
            let (name, table) = (shown(message.name), self.table_path.display());
            let text = format!(
                "(1311) Invalid command name '{name}' provided. It has no line in '{table}'."
            );
            self.complain(Level::Error, &text);
            return;
        };
        if message.arguments.len() < 2 {
            self.accounts.dropped_malformed += 1;
            self.complain(
                Level::Warn,
                &format!(
                    "Invalid number of arguments. '{}' lacks a user or an address.",
                    shown(datagram)
                ),
            );
            return;
        }
        if !self.runner.path(&entry.executable).exists() {
            self.accounts.filtered += 1;
            log::debug!("'{}' is not on this system, nothing is run", entry.executable);
            return;
        }
        self.respond(&entry, &message);
    }

    fn respond(&mut self, entry: &Entry, message: &Message<'_>) {
        if !self.runner.has_room() {
            self.accounts.dropped_full += 1;
            self.complain(
                Level::Error,
                &format!(
                    "Too many active responses wait for '{}': the order '{}' is dropped.",
                    entry.executable,
                    shown(message.name)
                ),
            );
            return;
        }
        let number = match self.ledger.judge(entry, &message.arguments, self.now()) {
            Verdict::Run => None,
            Verdict::Hold { number, changed } => {
                self.write_down(&changed);
                Some(number)
            }
            Verdict::Refreshed(changed) => {
                self.accounts.filtered += 1;
                self.write_down(&changed);
                return;
            }
            Verdict::Full => {
                self.accounts.dropped_full += 1;
                self.complain(
                    Level::Error,
                    &format!("{MAX_HELD} active responses are in force: no further one is begun."),
                );
                return;
            }
        };
        self.accounts.pending += 1;
        log::debug!("runs '{}' add {}", entry.executable, joined(&message.arguments));
        self.runner.push(Job {
            action: Action::Add,
            executable: entry.executable.clone(),
            arguments: message.arguments.iter().map(|argument| argument.to_vec()).collect(),
            number,
        });
    }

    /// Does what is due: collects scripts that have ended, takes back what has run out, starts what waits.
    pub fn turn(&mut self) {
        while self.runner.has_room() {
            let Some(held) = self.ledger.take_due(self.now()) else { break };
            self.take_back(held);
        }
        for finished in self.runner.turn(Instant::now()) {
            self.settle(finished);
        }
        if self.journal.has_grown() {
            let lines = self.lines_of(self.ledger.in_force());
            if let Err(error) = self.journal.compact(&lines) {
                log::error!(
                    "cannot write '{JOURNAL}' anew ({error}); make room, it keeps growing until then"
                );
            }
        }
        if let Some(text) = self.complaints.summary(self.now()) {
            log::warn!("{text}");
        }
    }

    /// How long the caller may wait before the next [`Responder::turn`]; `None`: until something happens.
    pub fn time_to_next_turn(&self) -> Option<Duration> {
        let due = self.ledger.next_due().filter(|_| self.runner.has_room());
        let due = due.map(|due| due.saturating_sub(self.now()));
        let kill = self.runner.deadline().map(|at| at.saturating_duration_since(Instant::now()));
        [due, kill, self.complaints.due(self.now())].into_iter().flatten().min()
    }

    /// Begins to take back everything, due or not, as far as there is room; to be repeated after each
    /// [`Responder::turn`].
    pub fn begin_to_take_all_back(&mut self) {
        while self.runner.has_room() {
            let Some(held) = self.ledger.take_oldest() else { break };
            self.take_back(held);
        }
    }

    /// Whether something is still in force, or a script that takes it back has not ended yet.
    pub fn takes_back(&self) -> bool {
        !self.ledger.in_force().is_empty() || self.runner.takes_back()
    }

    /// Responses in force.
    pub fn in_force(&self) -> usize {
        self.ledger.in_force().len()
    }

    /// The accounts now.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    fn take_back(&mut self, held: Held) {
        log::debug!("runs '{}' delete {}", held.executable, joined(&held.arguments));
        self.runner.push(Job {
            action: Action::Delete,
            executable: held.executable,
            arguments: held.arguments,
            number: Some(held.number),
        });
    }

    fn settle(&mut self, finished: Finished) {
        let Finished { job, outcome } = finished;
        if let Err(error) = outcome {
            self.accounts.failed_scripts += 1;
            let path = self.runner.path(&job.executable);
            let who = joined(&job.arguments);
            log::error!(
                "(1312) Error executing '{}': {error} (with: {} {who})",
                path.display(),
                job.action.word()
            );
            // A script that could not even be started has changed nothing: nothing is to be taken back.
            if let (Action::Add, Some(number), RunError::Unsafe(_) | RunError::Start(_)) =
                (job.action, job.number, error)
            {
                self.ledger.forget(number);
                self.cross_out(number);
            }
        }
        match job.action {
            Action::Add => {
                self.accounts.pending = self.accounts.pending.saturating_sub(1);
                self.accounts.forwarded += 1;
            }
            Action::Delete => {
                if let Some(number) = job.number {
                    self.cross_out(number);
                }
            }
        }
    }

    fn take_over(&mut self, lines: Vec<Line>) {
        let (now, epoch) = (self.now(), epoch());
        let overdue = lines.iter().filter(|line| line.due_epoch <= epoch).count();
        if !lines.is_empty() {
            log::info!(
                "{} active responses of an earlier run are in force; {overdue} of them are overdue and are taken back now",
                lines.len()
            );
        }
        for Line { number, due_epoch, timeout, executable, arguments } in lines {
            // A clock that was set back must not make a block longer than it was meant to be.
            let left = Duration::from_secs(due_epoch.saturating_sub(epoch)).min(timeout);
            self.ledger.restore(Held { number, executable, arguments, due: now + left, timeout });
        }
    }

    fn write_down(&mut self, numbers: &[u64]) {
        let held: Vec<Held> =
            numbers.iter().filter_map(|&number| self.ledger.find(number)).cloned().collect();
        for line in self.lines_of(&held) {
            if let Err(error) = self.journal.hold(&line) {
                // Open rather than closed: an attack is answered even when the disk is full.
                let text = format!(
                    "cannot write to '{JOURNAL}' ({error}): if execd dies, a response stays in force for ever"
                );
                self.complain(Level::Error, &text);
            }
        }
    }

    fn cross_out(&mut self, number: u64) {
        if let Err(error) = self.journal.done(number) {
            self.complain(
                Level::Error,
                &format!("cannot write to '{JOURNAL}' ({error}): a response is taken back twice"),
            );
        }
    }

    fn lines_of(&self, held: &[Held]) -> Vec<Line> {
        let (now, epoch) = (self.now(), epoch());
        held.iter()
            .map(|held| Line {
                number: held.number,
                // Rounded up: after a restart rather a moment late than early.
                due_epoch: epoch + held.due.saturating_sub(now).as_millis().div_ceil(1000) as u64,
                timeout: held.timeout,
                executable: held.executable.clone(),
                arguments: held.arguments.clone(),
            })
            .collect()
    }

    /// Reads ar.conf if it has changed since it was read last.
    fn reload_table(&mut self) {
        let version =
            fs::metadata(&self.table_path).map(|m| (m.ino(), m.size(), m.mtime(), m.mtime_nsec()));
        if let (Ok(version), Some(known)) = (&version, &self.table_version)
            && version == known
        {
            return;
        }
        let mut text = Vec::new();
        let read = fs::File::open(&self.table_path)
            .and_then(|file| file.take(MAX_TABLE_BYTES).read_to_end(&mut text));
        if let Err(error) = read {
            let (path, errno) = (self.table_path.display(), runtime::errno(&error));
            let text = format!(
                "(1103) Could not open file '{path}' due to [{errno}]. analysisd writes it at its start."
            );
            self.complain(Level::Error, &text);
            return;
        }
        self.table_version = version.ok();
        let (table, faults) = table::parse(&text);
        self.table = table;
        self.say_missing();
        let path = self.table_path.display();
        for fault in faults {
            let line = fault.line;
            match fault.kind {
                FaultKind::Elsewhere(executable) => log::error!(
                    "Active response command '{executable}' vulnerable to directory transversal attack. Ignoring."
                ),
                FaultKind::Malformed => log::error!(
                    "(1313) Invalid active response config: '{path}'. Line {line} is not '<name> - <executable> - <timeout>', it is not used."
                ),
                FaultKind::TooMany => log::error!(
                    "(1313) Invalid active response config: '{path}'. From line {line} on nothing is used: {MAX_ENTRIES} is the limit."
                ),
            }
        }
    }

    fn say_missing(&mut self) {
        for entry in &self.table {
            let path = self.runner.path(&entry.executable);
            if !path.exists()
                && self.said_missing.len() < MAX_ENTRIES
                && self.said_missing.insert(entry.executable.clone())
            {
                log::info!(
                    "Active response command not present: '{}'. Not using it on this system.",
                    path.display()
                );
            }
        }
    }

    fn complain(&mut self, level: Level, text: &str) {
        let now = self.now();
        if self.complaints.may_speak(now) {
            log::log!(level, "{text}");
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed() + self.ahead
    }
}

fn epoch() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The beginning of outside bytes, fit for a log line.
fn shown(bytes: &[u8]) -> String {
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    text.get(..200).unwrap_or(text).escape_ascii().to_string()
}

fn joined<T: AsRef<[u8]>>(arguments: &[T]) -> String {
    let words: Vec<String> = arguments.iter().map(|argument| shown(argument.as_ref())).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests;
