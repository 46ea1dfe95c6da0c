//! The judge: one thread that takes decoded batches in arrival order, applies everything that has a memory, and writes.
//!
//! A *commit* makes what was judged final, in this order: what is intended (`ended`), the outputs, the memory on disk, the end
//! (`ended` again); then the producers are acknowledged and the responses leave. A disk that is full stops the commit, and
//! with it all reading: it is tried again each second, said once, and nothing is lost.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use alerts::{Alert, AlertId, Moment, Rule};
use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};
use ipc::Ended;
use ipc::ended::Mark;
use ipc::receiver::Source;
use rules::{
    Builtin, Decoded, Fate, FileAttributes, FileChange, FileDetails, RawEvent, RuleIndex, State,
};
use wire::{Event, Kind};

use crate::accounts::{Accounts, Totals};
use crate::fim_store::{FimEvent, FimKind, FimStore, Outcome};
use crate::finding_store::FindingStore;
use crate::host_store::{HostNews, HostStore};
use crate::numbering::Numbering;
use crate::often::Often;
use crate::output::Outputs;
use crate::pipeline::{DecodedBatch, Used};
use crate::questions::Questions;
use crate::response::Responder;
use crate::setup::Setup;
use crate::statistics::{self, Counted, Statistics};
use crate::storm::{Alarm, Happened, Storms};
use crate::world::Files;

/// Bytes of output after which a commit is due though more events are waiting.
const COMMIT_BYTES: usize = 1 << 20;
/// Events after which a commit is due though more are waiting.
const COMMIT_EVENTS: u64 = 4096;
/// How often the clock is looked at while no event comes: an hour may have ended.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(60);
/// How often a disk that takes nothing is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often it is tried before a stop gives up.
const TRIES_AT_STOP: u32 = 3;

/// All that judging remembers and writes.
pub(crate) struct Judge {
    /// The engine's memory, for the rules in `setup`.
    pub state: State,
    /// The rules in force.
    pub setup: Arc<Setup>,
    /// Alerts, archives, firewall log.
    pub outputs: Outputs,
    /// First-seen keys, the ignore list, outputs that are compared.
    pub files: Files,
    /// Baselines of watched files.
    pub fim: FimStore,
    /// Findings of rootcheck.
    pub findings: FindingStore,
    /// Open ports of hosts.
    pub hosts: HostStore,
    /// Hosts with more file events than anybody reads.
    pub storms: Storms,
    /// Files that change often.
    pub often: Often,
    /// What hosts are asked about their files.
    pub questions: Questions,
    /// The way to execd.
    pub responder: Responder,
    /// Alert numbers.
    pub numbering: Numbering,
    /// Events of each hour.
    pub statistics: Statistics,
    /// What has reached its end, on disk.
    pub ended: Ended,
    /// What was counted.
    pub accounts: Arc<Accounts>,
    /// The daemon is to stop.
    pub stopping: Arc<AtomicBool>,
    /// The clock, for when no event tells the time.
    pub now: fn() -> Moment,
    /// Wakes the intake, which acknowledges.
    pub wake: Box<dyn Fn() + Send>,
}

/// What was judged since the last commit.
#[derive(Default)]
struct Open {
    totals: Totals,
    marks: Vec<(Arc<Source>, u64)>,
    /// Of the last batch.
    latest: Moment,
    /// Events that could not be written at the stop.
    given_up: Option<u64>,
}

impl Judge {
    /// Judges until the workers are gone, then commits the rest.
    pub(crate) fn run(mut self, input: &Receiver<DecodedBatch>, used: &Used) {
        let mut early = BTreeMap::new();
        let mut next = 0;
        let mut open = Open::default();
        while let Some(decoded) = self.next_batch(input, &mut open) {
            early.insert(decoded.batch.index, decoded);
            while let Some(mut decoded) = early.remove(&next) {
                next += 1;
                self.judge_batch(&mut decoded, &mut open);
                used.give_back(decoded);
                if self.outputs.waiting() >= COMMIT_BYTES || open.totals.ended >= COMMIT_EVENTS {
                    self.commit(&mut open);
                }
            }
        }
        self.sum_up(open.latest, i64::MAX, &mut open.totals);
        self.commit(&mut open);
        if let Some(lost) = open.given_up {
            log::error!(
                "stopped before {lost} events could be written; those of the acknowledged queue will come again."
            );
        }
        if let Err(error) = self.statistics.flush(true) {
            log::warn!("{error}; some events of this hour are not counted");
        }
        if let Err(error) = self.numbering.close() {
            log::warn!("alert numbers: {error}; some numbers will be left out");
        }
    }

    /// The next batch; whatever is judged is committed before waiting for one.
    fn next_batch(
        &mut self,
        input: &Receiver<DecodedBatch>,
        open: &mut Open,
    ) -> Option<DecodedBatch> {
        match input.try_recv() {
            Ok(decoded) => Some(decoded),
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => {
                self.commit(open);
                self.wait(input, open)
            }
        }
    }

    /// Waits for a batch; an hour that ends meanwhile ends on time.
    fn wait(&mut self, input: &Receiver<DecodedBatch>, open: &mut Open) -> Option<DecodedBatch> {
        loop {
            match input.recv_timeout(LOOK_AT_CLOCK) {
                Ok(decoded) => return Some(decoded),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    let now = (self.now)();
                    self.statistics.turn(&now, &self.setup.stats);
                    self.sum_up(now, now.epoch, &mut open.totals);
                    self.commit(open);
                }
            }
        }
    }

    fn judge_batch(&mut self, decoded: &mut DecodedBatch, open: &mut Open) {
        let batch = &decoded.batch;
        let is_next_day = (open.latest.year, open.latest.month, open.latest.day)
            != (batch.moment.year, batch.moment.month, batch.moment.day);
        if is_next_day {
            self.commit(open);
        }
        open.latest = batch.moment;
        if !Arc::ptr_eq(&self.setup, &batch.setup) {
            self.setup = Arc::clone(&batch.setup);
            self.state.adopt(&self.setup.engine);
            self.fim.set_policy(self.setup.fim.clone());
        }
        self.statistics.turn(&batch.moment, &self.setup.stats);
        self.sum_up(batch.moment, batch.moment.epoch, &mut open.totals);
        let setup = Arc::clone(&self.setup);
        for (event, slot) in batch.events().zip(&mut decoded.events) {
            match slot {
                Some(decoded) => {
                    self.judge_event(&setup, event.kind, None, decoded, &mut open.totals);
                }
                None => self.judge_builtin(&setup, &event, batch.moment, &mut open.totals),
            }
        }
        open.totals.ended += batch.len() as u64;
        for (source, upto) in batch.marks() {
            match open.marks.iter_mut().find(|(known, _)| Arc::ptr_eq(known, source)) {
                Some(mark) => mark.1 = upto,
                None => open.marks.push((Arc::clone(source), upto)),
            }
        }
    }

    fn judge_builtin(
        &mut self,
        setup: &Setup,
        event: &Event<'_>,
        moment: Moment,
        totals: &mut Totals,
    ) {
        let news = match event.kind {
            Kind::FileIntegrity => return self.judge_files(setup, event, moment, totals),
            Kind::Rootcheck => {
                match self.findings.process(event.location, event.payload, moment.epoch) {
                    Some(is_new) => {
                        Some((Builtin::Rootcheck { is_new }, event.payload.to_vec(), None))
                    }
                    None => invalid(totals, event, &"its location cannot name a file"),
                }
            }
            _ => match self.hosts.process(event.payload) {
                Ok(Some(HostNews::New)) => Some((Builtin::HostNew, event.payload.to_vec(), None)),
                Ok(Some(HostNews::Modified)) => {
                    Some((Builtin::HostModified, event.payload.to_vec(), None))
                }
                Ok(None) => {
                    totals.filtered += 1;
                    None
                }
                Err(why) => invalid(totals, event, &why),
            },
        };
        if let Some((builtin, text, details)) = news {
            let raw = RawEvent { moment, location: event.location, payload: &text };
            let mut decoded = setup.engine.decode_builtin(builtin, &raw, details);
            self.judge_event(setup, event.kind, None, &mut decoded, totals);
        }
    }

    /// One integrity message: mostly no event, mostly one otherwise.
    fn judge_files(
        &mut self,
        setup: &Setup,
        event: &Event<'_>,
        moment: Moment,
        totals: &mut Totals,
    ) {
        match self.file_outcome(event, moment) {
            Some(Outcome::Event(news)) => self.judge_file(setup, event, moment, *news, totals),
            Some(Outcome::Events(all)) => {
                // The message itself is accounted for as one, whatever it led to.
                totals.filtered += 1;
                let mut of_message = Totals::default();
                for news in all {
                    self.judge_file(setup, event, moment, news, &mut of_message);
                }
                totals.alerts += of_message.alerts;
            }
            Some(Outcome::Swallowed(_)) => totals.filtered += 1,
            Some(Outcome::Invalid(why)) => {
                log::error!(
                    "(1755) Invalid syscheck message received. From '{}': {why}.",
                    show(event.location)
                );
                totals.invalid += 1;
            }
            None => totals.unwritten += 1,
        }
    }

    /// `None`: the baselines can't be read, and the daemon is stopping.
    fn file_outcome(&mut self, event: &Event<'_>, moment: Moment) -> Option<Outcome> {
        loop {
            match self.fim.process(event.location, event.payload, moment.epoch) {
                Ok(outcome) => return Some(outcome),
                Err(error) => {
                    log::error!("file integrity: {error}; trying again");
                    if self.is_stopping_after_pause() {
                        return None;
                    }
                }
            }
        }
    }

    fn judge_file(
        &mut self,
        setup: &Setup,
        event: &Event<'_>,
        moment: Moment,
        news: FimEvent,
        totals: &mut Totals,
    ) {
        let happened = match news.kind {
            FimKind::Changed | FimKind::ChangedAgain | FimKind::ChangedThird => Happened::Changed,
            FimKind::New | FimKind::ReAdded => Happened::New,
            FimKind::Deleted => Happened::Deleted,
        };
        let often = news.often;
        let (builtin, text, details) = builtin(news);
        let raw = RawEvent { moment, location: event.location, payload: &text };
        let mut decoded = setup.engine.decode_builtin(builtin, &raw, Some(details));
        self.judge_event(setup, event.kind, Some((happened, often)), &mut decoded, totals);
    }

    /// `happened`: what, when it is an integrity event, which may be held back, and whether it does so often with that file.
    fn judge_event(
        &mut self,
        setup: &Setup,
        kind: Kind,
        happened: Option<(Happened, bool)>,
        decoded: &mut Decoded,
        totals: &mut Totals,
    ) {
        let engine = &setup.engine;
        let judgement = engine.judge(&mut self.state, decoded, &mut self.files);
        if !judgement.is_archived() {
            totals.filtered += 1;
            return;
        }
        totals.forwarded += 1;
        if let Some(text) = self.statistics.count(&setup.stats) {
            self.too_many(setup, decoded, &text, totals);
        }
        let is_alert = judgement.fate == Fate::Alert;
        self.statistics.add(Counted {
            rule: judgement.rule.map(|at| engine.rule(at)).map(|rule| (rule.id, rule.level)),
            alert: is_alert && judgement.log,
            file: kind == Kind::FileIntegrity,
            firewall: decoded.is_firewall(),
        });
        if !is_alert && !setup.switches.archives() && !decoded.is_firewall() {
            return;
        }
        let is_held_back = is_alert && self.is_held_back(setup, happened, judgement.rule, decoded);
        let is_logged = judgement.log && !is_held_back;
        let number = if is_alert && is_logged { self.number() } else { 0 };
        let alert = judgement.alert(engine, decoded, number);
        if let (Some(alert), Some(index), false) = (&alert, judgement.rule, is_held_back) {
            if is_logged {
                self.outputs.alert(alert, &setup.switches);
                totals.alerts += 1;
            }
            self.responder.prepare(&setup.responses, &engine.rule(index).responses, alert);
        }
        if decoded.is_firewall() || setup.switches.archives() {
            let rule = alert.as_ref().map(|alert| &alert.rule);
            let event = alert.as_ref().map_or_else(
                || Cow::Owned(engine.facts(decoded)),
                |alert| Cow::Borrowed(&alert.event),
            );
            if decoded.is_firewall() {
                self.outputs.firewall(&event, &setup.switches);
            }
            self.outputs.archive(&event, rule, &setup.switches);
        }
    }

    /// Whether an alert is one of too many of its host, or of its file, to be summed up with others.
    fn is_held_back(
        &mut self,
        setup: &Setup,
        happened: Option<(Happened, bool)>,
        rule: Option<RuleIndex>,
        decoded: &Decoded,
    ) -> bool {
        let (Some((happened, often)), Some(rule)) = (happened, rule) else { return false };
        let event = setup.engine.facts(decoded);
        let path = event.file.map_or(&b""[..], |file| file.path);
        let (now, level) = (event.moment.epoch, setup.engine.rule(rule).level);
        let one = Alarm { location: event.location, happened, path, level, now };
        let is_one_too_many = match often && level <= setup.storm.level {
            true => self.often.hold(event.location, path, now),
            false => self.storms.holds_back(&one, &setup.storm),
        };
        if is_one_too_many {
            self.fim.list_held_back(now, event.location, happened.word(), path);
        }
        is_one_too_many
    }

    /// The alerts that sum up what was held back in windows that end before `until`, epoch seconds.
    fn sum_up(&mut self, moment: Moment, until: i64, totals: &mut Totals) {
        let setup = Arc::clone(&self.setup);
        let mut summaries = self.storms.due(until, &setup.storm);
        summaries.extend(self.often.due(until, setup.fim.often));
        for summary in summaries {
            let rule = Rule {
                id: summary.rule,
                level: summary.level,
                comment: summary.comment,
                groups: b"ossec,syscheck,",
                ..Rule::default()
            };
            let raw = RawEvent { moment, location: &summary.location, payload: &summary.text };
            let changed = Builtin::FileChanged(FileChange::First);
            let decoded = setup.engine.decode_builtin(changed, &raw, None);
            let event = setup.engine.facts(&decoded);
            let mail = rule.level >= setup.settings.alerts.email;
            let id = AlertId { epoch: moment.epoch, number: self.number() };
            let alert = Alert { id, mail, rule, event, samples: Vec::new() };
            self.outputs.alert(&alert, &setup.switches);
            totals.alerts += 1;
        }
    }

    /// The alert of an hour with too many events, of which this is one.
    fn too_many(&mut self, setup: &Setup, decoded: &Decoded, text: &str, totals: &mut Totals) {
        let (level, levels) = (setup.stats.level, &setup.settings.alerts);
        if level < levels.log {
            return;
        }
        let mut event = setup.engine.facts(decoded);
        event.full_log = text.as_bytes();
        let rule = Rule {
            id: statistics::RULE,
            level,
            comment: b"Excessive number of events (above normal).",
            groups: b"stats,",
            ..Rule::default()
        };
        let id = AlertId { epoch: event.moment.epoch, number: self.number() };
        let mail = level >= levels.email;
        let alert = Alert { id, mail, rule, event, samples: Vec::new() };
        self.outputs.alert(&alert, &setup.switches);
        totals.alerts += 1;
    }

    fn number(&mut self) -> u64 {
        let result = self.numbering.next();
        result.unwrap_or_else(|(number, error)| {
            log::warn!("alert numbers: {error}; numbers may repeat after a restart");
            number
        })
    }

    fn commit(&mut self, open: &mut Open) {
        let waits = self.statistics.is_due() || self.outputs.waiting() > 0;
        if open.totals.ended == 0 && !waits {
            return;
        }
        // What was given up waits in the outputs still: written now, and not noted as ended, it would come twice.
        if open.given_up.is_some() {
            return self.give_up(open);
        }
        let mut tries = 0;
        while let Err(error) = self.write(open) {
            if tries == 0 {
                log::error!(
                    "{error}. Nothing is acknowledged and nothing is lost: events wait where they come from. Make room, or make it writable for this daemon's user."
                );
            }
            tries += 1;
            if self.is_stopping_after_pause() && tries >= TRIES_AT_STOP {
                self.give_up(open);
                return;
            }
        }
        if tries > 0 {
            log::info!("outputs are written again; going on.");
        }
        for (source, upto) in open.marks.drain(..) {
            source.end(upto);
        }
        for (location, request) in self.fim.take_requests() {
            self.questions.ask(&location, &request);
        }
        let (sent, lost) = self.responder.flush();
        (open.totals.responses, open.totals.responses_lost) = (sent, lost);
        self.accounts.add(&open.totals, self.state.counts());
        open.totals = Totals::default();
        (self.wake)();
    }

    fn write(&mut self, open: &Open) -> Result<(), Box<dyn Display>> {
        let failed = |error: std::io::Error| -> Box<dyn Display> {
            Box::new(format!("'{}' could not be written: {error}", ipc::paths::ENDED))
        };
        let marks: Vec<Mark<'_>> = open
            .marks
            .iter()
            .map(|(source, upto)| Mark {
                name: source.name(),
                stream: source.stream(),
                upto: *upto,
            })
            .collect();
        if !marks.is_empty() {
            self.ended.intend(&marks).map_err(failed)?;
        }
        self.outputs.flush(&open.latest).map_err(boxed)?;
        self.files.flush().map_err(boxed)?;
        self.fim.flush().map_err(boxed)?;
        self.findings.flush().map_err(boxed)?;
        self.hosts.flush().map_err(boxed)?;
        self.statistics.flush(false).map_err(boxed)?;
        if !marks.is_empty() {
            self.ended.end(&marks).map_err(failed)?;
        }
        Ok(())
    }

    /// The daemon stops and the disk takes nothing: producers will send their events again; datagrams are lost, and said.
    fn give_up(&mut self, open: &mut Open) {
        let lost = open.totals.ended;
        let given_up = Some(open.given_up.unwrap_or(0) + lost);
        let unwritten = Totals { ended: lost, unwritten: lost, ..Totals::default() };
        self.accounts.add(&unwritten, self.state.counts());
        *open = Open { latest: open.latest, given_up, ..Open::default() };
    }

    fn is_stopping_after_pause(&self) -> bool {
        // The intake unparks this thread when it stops.
        if !self.stopping.load(Ordering::Acquire) {
            thread::park_timeout(RETRY);
        }
        self.stopping.load(Ordering::Acquire)
    }
}

fn boxed<E: Display + 'static>(error: E) -> Box<dyn Display> {
    Box::new(error)
}

fn invalid<T>(totals: &mut Totals, event: &Event<'_>, why: &dyn Display) -> Option<T> {
    log::error!("(1222) Invalid msg: {} from '{}'.", why, show(event.location));
    totals.invalid += 1;
    None
}

fn show(location: &[u8]) -> String {
    location.escape_ascii().take(120).map(char::from).collect()
}

fn builtin(news: FimEvent) -> (Builtin, Vec<u8>, FileDetails) {
    let builtin = match news.kind {
        FimKind::Changed => Builtin::FileChanged(FileChange::First),
        FimKind::ChangedAgain => Builtin::FileChanged(FileChange::Second),
        FimKind::ChangedThird => Builtin::FileChanged(FileChange::Third),
        FimKind::Deleted => Builtin::FileDeleted,
        FimKind::New | FimKind::ReAdded => Builtin::FileNew,
    };
    let details = FileDetails {
        path: news.path,
        before: attributes(news.before),
        after: attributes(news.after),
        fields: news.fields,
    };
    (builtin, news.text, details)
}

fn attributes(values: fim::report::Values) -> FileAttributes {
    FileAttributes {
        md5: values.md5,
        sha1: values.sha1,
        sha256: values.sha256,
        owner: values.owner,
        group: values.group,
        mode: values.mode,
        more: values.more,
    }
}
