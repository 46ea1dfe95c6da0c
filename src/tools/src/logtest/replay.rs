//! `--replay`: judges archives and logs of the past, in order, by the times in their lines.
//!
//! One thread reads lines and gives them their time, one a core decodes, this one judges in order and writes. What is read
//! ahead is bounded: each batch needs a permit, which comes back when the batch is judged.

mod compare;
mod input;
mod record;
mod time;

use std::collections::{BTreeMap, HashSet};
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::tz::TimeZone;
use rules::{Builtin, Decoded, Engine, Fate, Judgement, MemoryWorld, Mode, RawEvent, State};

use super::arguments::Arguments;
use super::script::DecodedBy;
use super::session::{MAX_LINE, file_of};
use compare::Differences;
use input::Input;
use record::{Kind, Record};
use time::Times;

/// Events of one batch at most.
const BATCH_EVENTS: usize = 256;
/// Bytes of one batch at most, but for its last event.
const BATCH_BYTES: usize = 256 << 10;
/// Batches under way for each worker.
const AHEAD: usize = 4;
/// Texts of rootcheck that are remembered.
const MAX_FINDINGS: usize = 100_000;
/// Rules in the summary.
const TOP_RULES: usize = 20;

/// Replays the files that the command line names; `drop_rights` is called once they are open.
pub(super) fn run(
    engine: Engine,
    other: Option<Engine>,
    arguments: &Arguments,
    drop_rights: impl FnOnce() -> Result<(), String>,
) -> Result<u8, String> {
    let read = Arc::new(AtomicU64::new(0));
    let (inputs, size) = input::open(&arguments.files, &read)?;
    drop_rights()?;
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let job = Job {
        engine: engine.with_mode(Mode::Daemon),
        other: other.map(|other| other.with_mode(Mode::Daemon)),
        json: arguments.json,
        reference: arguments.at,
        zone: TimeZone::try_system().unwrap_or(TimeZone::UTC),
    };
    let show = io::stderr().is_terminal() && !arguments.quiet;
    let bar = show.then(|| Bar::new(size, read));
    let mut output = io::BufWriter::new(io::stdout().lock());
    let odd = job.run(inputs, workers, bar.as_ref(), &mut output).and_then(|odd| {
        output.flush()?;
        Ok(odd)
    });
    if let Some(bar) = bar {
        bar.bar.finish_and_clear();
    }
    match odd {
        Ok(odd) if odd.is_empty() => Ok(0),
        Ok(odd) => Err(odd.join("\n")),
        // Who reads has had enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        Err(error) => Err(super::broken(&error)),
    }
}

/// What is to be done with each line.
struct Job {
    engine: Engine,
    other: Option<Engine>,
    json: bool,
    /// In the place of the files' own time.
    reference: Option<i64>,
    zone: TimeZone,
}

/// Records on their way to a worker, with their place in the order.
struct Batch {
    number: u64,
    records: Vec<Record>,
}

/// Events on their way to the judge.
struct Done {
    number: u64,
    events: Vec<(Decoded, Option<Decoded>)>,
}

impl Job {
    /// Judges all lines; gives what could not be read.
    fn run(
        &self,
        inputs: Vec<Input>,
        workers: usize,
        bar: Option<&Bar>,
        output: &mut impl Write,
    ) -> io::Result<Vec<String>> {
        let depth = workers * AHEAD;
        let (permits, permit) = bounded(depth);
        for _ in 0..depth {
            // As many as there is room for.
            let _ = permits.send(());
        }
        let (to_workers, tasks) = bounded(depth);
        let (to_judge, done) = bounded(depth);
        thread::scope(|scope| {
            let reader = scope.spawn(|| self.read(inputs, &permit, to_workers));
            for _ in 0..workers {
                let (tasks, to_judge) = (tasks.clone(), to_judge.clone());
                scope.spawn(move || self.decode(&tasks, &to_judge));
            }
            drop((tasks, to_judge));
            let judged = self.judge(done, permits, bar, output);
            let odd = reader.join().unwrap_or_else(|_| vec!["reading ended too early".to_owned()]);
            judged.map(|()| odd)
        })
    }

    /// Reads all files in order; gives what was odd. Ends early when the judge has ended.
    fn read(&self, inputs: Vec<Input>, permit: &Receiver<()>, tasks: Sender<Batch>) -> Vec<String> {
        let mut odd = Vec::new();
        let first = inputs.first().map_or(0, |input| input.written);
        let mut times = Times::new(self.zone.clone(), self.reference.unwrap_or(first));
        let (records, findings) = (Vec::new(), HashSet::new());
        let mut batches = Batches { permit, tasks, number: 0, records, bytes: 0, findings };
        for mut input in inputs {
            times.next_file(self.reference.unwrap_or(input.written));
            match read_file(&mut input, &mut times, &mut batches) {
                Ok(true) => {}
                Ok(false) => return odd,
                Err(error) => {
                    odd.push(format!("cannot read on in '{}': {error}", input.path.display()));
                }
            }
        }
        batches.send();
        odd
    }

    fn decode(&self, tasks: &Receiver<Batch>, to_judge: &Sender<Done>) {
        for Batch { number, records } in tasks {
            let events = records.iter().map(|record| {
                let there = self.other.as_ref().map(|other| decode(other, record));
                (decode(&self.engine, record), there)
            });
            if to_judge.send(Done { number, events: events.collect() }).is_err() {
                return;
            }
        }
    }

    /// Judges batches in their order and writes what comes of it.
    fn judge(
        &self,
        done: Receiver<Done>,
        permits: Sender<()>,
        bar: Option<&Bar>,
        output: &mut impl Write,
    ) -> io::Result<()> {
        let mut here = Judge::new(&self.engine);
        let mut there = self.other.as_ref().map(Judge::new);
        let mut differences = Differences::default();
        let mut summary = Summary::default();
        let (mut waiting, mut next) = (BTreeMap::new(), 0);
        let mut out = Vec::new();
        for batch in done {
            waiting.insert(batch.number, batch.events);
            while let Some(events) = waiting.remove(&next) {
                next += 1;
                for (mut event, other) in events {
                    let judgement = here.judge(&mut event);
                    summary.take(&self.engine, &event, &judgement);
                    if let (Some(there), Some(mut other)) = (&mut there, other) {
                        let theirs = there.judge(&mut other);
                        differences.take(
                            compare::alert(here.engine, &judgement),
                            compare::alert(there.engine, &theirs),
                            event.full_log(),
                        );
                    } else {
                        here.write(&event, &judgement, self.json, &mut out);
                    }
                }
                output.write_all(&out)?;
                out.clear();
                if let Some(bar) = bar {
                    bar.show(summary.events);
                }
                // The reader may have ended.
                let _ = permits.try_send(());
            }
        }
        let differences = there.is_some().then_some(differences);
        if self.json {
            let mut last = summary.json();
            if let (Some(found), Some(last)) = (&differences, last.as_object_mut()) {
                last.insert("against".to_owned(), found.json());
            }
            return writeln!(output, "{}", serde_json::json!({ "summary": last }));
        }
        output.write_all(summary.text(&self.engine).as_bytes())?;
        match differences {
            Some(found) => write!(output, "\n{}", found.text()),
            None => Ok(()),
        }
    }
}

/// Reads one file to its end; false when nobody wants more.
fn read_file(input: &mut Input, times: &mut Times, batches: &mut Batches<'_>) -> io::Result<bool> {
    let file = input.path.display().to_string().into_bytes();
    let mut kind = None;
    let mut line = Vec::new();
    // Held back while it may go on in the next line.
    let mut last: Option<Record> = None;
    while input.line(&mut line)? {
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if line.is_empty() && kind != Some(Kind::Archive) {
            continue;
        }
        let kind = *kind.get_or_insert_with(|| Kind::of(&line, times));
        match (kind.record(&line, &file, times), &mut last) {
            (Some(record), _) => {
                if let Some(before) = last.replace(record)
                    && !batches.add(before)
                {
                    return Ok(false);
                }
            }
            (None, Some(before)) if before.payload.len() + line.len() < MAX_LINE => {
                before.payload.push(b'\n');
                before.payload.extend_from_slice(&line);
            }
            (None, _) => {}
        }
    }
    Ok(last.is_none_or(|last| batches.add(last)))
}

/// Gathers records for the workers.
struct Batches<'a> {
    permit: &'a Receiver<()>,
    tasks: Sender<Batch>,
    number: u64,
    records: Vec<Record>,
    bytes: usize,
    /// Texts of rootcheck so far: archives do not say what was new.
    findings: HashSet<Vec<u8>>,
}

impl Batches<'_> {
    /// False when nobody wants more.
    fn add(&mut self, mut record: Record) -> bool {
        if record.by == DecodedBy::Rootcheck {
            let is_new =
                self.findings.len() < MAX_FINDINGS && self.findings.insert(record.payload.clone());
            record.by = DecodedBy::Builtin(Builtin::Rootcheck { is_new });
        }
        self.bytes += record.payload.len();
        self.records.push(record);
        let is_full = self.records.len() >= BATCH_EVENTS || self.bytes >= BATCH_BYTES;
        !is_full || self.send()
    }

    fn send(&mut self) -> bool {
        let records = std::mem::take(&mut self.records);
        self.bytes = 0;
        let batch = Batch { number: self.number, records };
        self.number += 1;
        self.permit.recv().is_ok() && self.tasks.send(batch).is_ok()
    }
}

fn decode(engine: &Engine, record: &Record) -> Decoded {
    let Record { moment, location, payload, by } = record;
    let payload = payload.get(..MAX_LINE).unwrap_or(payload);
    let raw = RawEvent { moment: *moment, location, payload };
    match by {
        DecodedBy::Decoders => engine.decode(&raw),
        DecodedBy::Builtin(builtin) => engine.decode_builtin(*builtin, &raw, file_of(payload)),
        // The reader has answered this.
        DecodedBy::Rootcheck => {
            engine.decode_builtin(Builtin::Rootcheck { is_new: false }, &raw, None)
        }
    }
}

/// One rule set with what it remembers.
struct Judge<'e> {
    engine: &'e Engine,
    state: State,
    world: MemoryWorld,
    alerts: u64,
}

impl<'e> Judge<'e> {
    fn new(engine: &'e Engine) -> Self {
        Self { engine, state: State::new(engine), world: MemoryWorld::default(), alerts: 0 }
    }

    fn judge(&mut self, event: &mut Decoded) -> Judgement {
        let judgement = self.engine.judge(&mut self.state, event, &mut self.world);
        self.alerts += u64::from(judgement.log);
        // Nobody reads these here, and a replay may be long.
        self.world.first_seen.clear();
        self.world.ignored.clear();
        judgement
    }

    fn write(&self, event: &Decoded, judgement: &Judgement, json: bool, out: &mut Vec<u8>) {
        let Some(alert) = judgement.alert(self.engine, event, self.alerts) else { return };
        match (judgement.log, json) {
            (false, _) => {}
            (true, true) => alerts::write_json(&alert, out),
            (true, false) => alerts::write_text(&alert, out),
        }
    }
}

/// What a replay came to.
#[derive(Debug, Default)]
struct Summary {
    events: u64,
    alerts: u64,
    repeated: u64,
    span: Option<(alerts::Moment, alerts::Moment)>,
    levels: BTreeMap<u8, u64>,
    rules: BTreeMap<u32, u64>,
}

impl Summary {
    fn take(&mut self, engine: &Engine, event: &Decoded, judgement: &Judgement) {
        self.events += 1;
        let now = event.moment();
        let (first, last) = self.span.get_or_insert((now, now));
        if now.epoch < first.epoch {
            *first = now;
        }
        if now.epoch > last.epoch {
            *last = now;
        }
        self.repeated += u64::from(judgement.fate == Fate::Repeated);
        if let Some(index) = judgement.rule.filter(|_| judgement.log) {
            let rule = engine.rule(index);
            self.alerts += 1;
            *self.levels.entry(rule.level).or_default() += 1;
            *self.rules.entry(rule.id).or_default() += 1;
        }
    }

    fn top(&self) -> Vec<(u32, u64)> {
        let mut rules: Vec<(u32, u64)> =
            self.rules.iter().map(|(&id, &count)| (id, count)).collect();
        rules.sort_by_key(|&(id, count)| (std::cmp::Reverse(count), id));
        rules
    }

    fn text(&self, engine: &Engine) -> String {
        use std::fmt::Write as _;
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = write!(out, "{} events, {} alerts", self.events, self.alerts);
        if self.repeated > 0 {
            let _ = write!(out, ", {} repeated lines passed over", self.repeated);
        }
        if let Some((first, last)) = &self.span {
            let _ = write!(out, ", {} to {}", date(first), date(last));
        }
        out.push('\n');
        for (level, count) in self.levels.iter().rev() {
            let _ = writeln!(out, "    {count:8} of level {level}");
        }
        for (id, count) in self.top().into_iter().take(TOP_RULES) {
            let text = engine.rule_by_id(id).map(|index| engine.rule(index).description.clone());
            let text = text.unwrap_or_default();
            let _ = writeln!(out, "    {count:8} rule {id} {}", String::from_utf8_lossy(&text));
        }
        out
    }

    fn json(&self) -> serde_json::Value {
        let levels = self.levels.iter().map(|(level, count)| (level.to_string(), (*count).into()));
        let rules = self.rules.iter().map(|(id, count)| (id.to_string(), (*count).into()));
        serde_json::json!({
            "events": self.events, "alerts": self.alerts, "repeated": self.repeated,
            "first": self.span.as_ref().map(|(first, _)| first.epoch),
            "last": self.span.as_ref().map(|(_, last)| last.epoch),
            "levels": levels.collect::<serde_json::Map<_, _>>(),
            "rules": rules.collect::<serde_json::Map<_, _>>(),
        })
    }
}

fn date(moment: &alerts::Moment) -> String {
    let mut out = Vec::new();
    moment.write_date(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Progress on a terminal.
struct Bar {
    bar: ProgressBar,
    read: Arc<AtomicU64>,
    started: Instant,
}

impl Bar {
    fn new(size: u64, read: Arc<AtomicU64>) -> Self {
        let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr());
        let form = "{wide_bar} {bytes}/{total_bytes}, {msg}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style);
        }
        Self { bar, read, started: Instant::now() }
    }

    fn show(&self, events: u64) {
        let seconds = self.started.elapsed().max(Duration::from_millis(1)).as_secs_f64();
        self.bar.set_position(self.read.load(Ordering::Relaxed));
        self.bar.set_message(format!("{events} events, {:.0}/s", events as f64 / seconds));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::logtest::samples;

    /// Failed logins of two users, a second apart.
    fn log(lines: usize) -> String {
        let line = |n: usize| {
            let (minute, second) = (n / 60 % 60, n % 60);
            format!(
                "Nov 14 22:{minute:02}:{second:02} web1 app[7]: login failed for u{} from 10.0.0.{}\n",
                n,
                n % 2
            )
        };
        (0..lines).map(line).collect()
    }

    fn job(json: bool, other: Option<Engine>) -> Job {
        Job {
            engine: samples::engine().with_mode(Mode::Daemon),
            other,
            json,
            reference: Some(1_700_086_400),
            zone: TimeZone::UTC,
        }
    }

    fn replay(job: &Job, paths: &[PathBuf], workers: usize) -> (String, Vec<String>) {
        let (inputs, _) = input::open(paths, &Arc::default()).unwrap();
        let mut out = Vec::new();
        let odd = job.run(inputs, workers, None, &mut out).unwrap();
        (String::from_utf8_lossy(&out).into_owned(), odd)
    }

    fn file(folder: &Path, name: &str, text: &[u8]) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn alerts_come_in_order_by_the_times_of_the_lines_with_any_number_of_workers() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [file(folder.path(), "a.log", log(2000).as_bytes())];
        let (one, odd) = replay(&job(true, None), &paths, 1);
        assert_eq!(odd, Vec::<String>::new());
        assert_eq!(one, replay(&job(true, None), &paths, 5).0);
        let rows: Vec<serde_json::Value> =
            one.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
        // Five earlier ones from this address and this one.
        assert_eq!(rows[9]["rule"]["sidid"], 100_001);
        assert_eq!(rows[10]["rule"]["sidid"], 100_002);
        assert_eq!(rows[10]["timestamp"], "2023 Nov 14 22:00:10");
        let summary = &rows.last().unwrap()["summary"];
        assert_eq!((&summary["events"], &summary["alerts"]), (&2000.into(), &2000.into()));
        assert_eq!(summary["first"], 1_699_999_200);
        let fired = |rule: &str| summary["rules"][rule].as_u64().unwrap();
        assert!(fired("100002") > 100, "{summary}");
        assert_eq!(fired("100001") + fired("100002"), 2000);
    }

    #[test]
    fn compressed_files_and_archives_give_the_same_alerts() {
        let folder = tempfile::tempdir().unwrap();
        let text = log(50);
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(text.as_bytes()).unwrap();
        let archive: String =
            text.lines().map(|line| format!("2023 {} web1->/l {line}\n", &line[..15])).collect();
        let alerts = |name: &str, bytes: &[u8]| {
            let (out, odd) = replay(&job(true, None), &[file(folder.path(), name, bytes)], 2);
            assert_eq!(odd, Vec::<String>::new());
            let rows = out.lines().map(|row| {
                let row: serde_json::Value = serde_json::from_str(row).unwrap();
                (row["timestamp"].to_string(), row["rule"]["sidid"].to_string())
            });
            rows.collect::<Vec<_>>()
        };
        let plain = alerts("a.log", text.as_bytes());
        assert_eq!(plain.len(), 51);
        assert_eq!(plain, alerts("a.gz", &gz.finish().unwrap()));
        assert_eq!(plain, alerts("a.zst", &zstd::encode_all(text.as_bytes(), 1).unwrap()));
        assert_eq!(plain, alerts("archives.log", archive.as_bytes()));
    }

    #[test]
    fn two_rule_sets_are_compared() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [file(folder.path(), "a.log", log(20).as_bytes())];
        let rules = samples::RULES_TEXT
            .replace("level=\"5\"", "level=\"7\"")
            .replace("frequency=\"4\"", "frequency=\"40\"");
        let other = samples::engine_of(rules.as_bytes()).with_mode(Mode::Daemon);
        let (text, _) = replay(&job(false, Some(other)), &paths, 2);
        assert!(!text.contains("** Alert"), "{text}");
        assert!(text.contains("rule 100001 (level 5) -> rule 100001 (level 7)"), "{text}");
        assert!(text.contains("rule 100002 (level 10) -> rule 100001 (level 7)"), "{text}");
        let (same, _) =
            replay(&job(false, Some(samples::engine().with_mode(Mode::Daemon))), &paths, 2);
        assert!(same.contains("      20 the same"), "{same}");
    }

    #[test]
    fn a_broken_file_is_told_and_the_others_are_judged() {
        let folder = tempfile::tempdir().unwrap();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(log(5000).as_bytes()).unwrap();
        let gz = gz.finish().unwrap();
        let paths = [
            file(folder.path(), "torn.gz", &gz[..gz.len() / 2]),
            file(folder.path(), "no.zst", b"this is not compressed"),
            file(folder.path(), "a.log", log(3).as_bytes()),
        ];
        let (out, odd) = replay(&job(true, None), &paths, 2);
        assert_eq!(odd.len(), 2, "{odd:?}");
        assert!(odd[0].contains("torn.gz"), "{odd:?}");
        assert!(out.contains("10.0.0.0"));
    }

    #[test]
    fn what_is_no_log_is_refused_or_judged_in_bounds() {
        let folder = tempfile::tempdir().unwrap();
        assert!(input::open(&[folder.path().to_owned()], &Arc::default()).is_err());
        assert!(
            input::open(&vec![PathBuf::from("x"); input::MAX_FILES + 1], &Arc::default()).is_err()
        );
        let mut bytes = vec![b'x'; 3 << 20];
        let mut seed = 7_u32;
        for byte in bytes.iter_mut().skip(1 << 20) {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (seed >> 24) as u8;
        }
        // Lines that go on with the one before are bounded as well.
        let mut archive = b"2023 Nov 14 22:13:20 web1->syscheck New file 'x'\n".to_vec();
        archive.extend(b"y\n".repeat(100_000));
        let paths = [file(folder.path(), "a.log", &bytes), file(folder.path(), "b.log", &archive)];
        let (out, odd) = replay(&job(true, None), &paths, 2);
        assert_eq!(odd, Vec::<String>::new());
        assert!(out.ends_with("}\n"));
    }

    #[test]
    fn a_reader_that_goes_away_ends_the_replay() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let paths = [file(folder.path(), "a.log", log(20_000).as_bytes())];
        let (inputs, _) = input::open(&paths, &Arc::default()).unwrap();
        let ended = job(true, None).run(inputs, 2, None, &mut Gone);
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
