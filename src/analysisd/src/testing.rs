//! What the daemon's own tests share: an install root, and its pipeline with a clock of the test's.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use alerts::Moment;
use ipc::Ended;
use rules::State;
use settings::InternalOptions;
use wire::Event;

use crate::accounts::Accounts;
use crate::batch::Batch;
use crate::fim_store::FimStore;
use crate::finding_store::FindingStore;
use crate::host_store::HostStore;
use crate::judge::Judge;
use crate::numbering::Numbering;
use crate::often::Often;
use crate::output::Outputs;
use crate::pipeline;
use crate::questions::Questions;
use crate::response::Responder;
use crate::setup::Setup;
use crate::statistics::Statistics;
use crate::storm::Storms;
use crate::world::Files;

const FOLDERS: &[&str] = &[
    "etc/shared",
    "rules",
    "logs",
    "queue/ossec",
    "queue/alerts",
    "queue/fts",
    "queue/syscheck",
    "queue/fim-history",
    "queue/rootcheck",
    "queue/diff",
    "stats",
];

/// Makes the folders of an install root.
pub(crate) fn folders(root: &Path) {
    for folder in FOLDERS {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
}

/// Loads the configuration of a root.
pub(crate) fn setup(root: &Path, hostname: &str) -> Arc<Setup> {
    let options = InternalOptions::load(root).unwrap();
    let setup = Setup::load(root, &root.join("etc/ossec.conf"), &options, hostname);
    Arc::new(setup.unwrap_or_else(|trouble| panic!("{trouble:?}")))
}

/// Judges datagrams, each received at its time (UTC); those that are no events end here, as they do at the intake.
pub(crate) fn judge(
    root: &Path,
    setup: Arc<Setup>,
    workers: usize,
    messages: impl Iterator<Item = (i64, String)>,
) {
    let judge = Judge {
        state: State::new(&setup.engine),
        setup: Arc::clone(&setup),
        outputs: Outputs::new(root),
        files: Files::new(root),
        fim: FimStore::open(&root.join("queue/syscheck"), setup.fim.clone()).unwrap(),
        findings: FindingStore::new(&root.join("queue/rootcheck")),
        hosts: HostStore::open(&root.join("queue/fts/hostinfo")),
        storms: Storms::default(),
        often: Often::default(),
        questions: Questions::new(root),
        responder: Responder::new(root.join("queue/alerts/execq")),
        numbering: Numbering::open(&root.join("queue/ossec/alert-number")).unwrap(),
        statistics: Statistics::open(&root.join("stats")),
        now: || Moment::utc(0),
        ended: Ended::open(&root.join("queue/ossec/ended")).unwrap(),
        accounts: Arc::new(Accounts::default()),
        stopping: Arc::new(AtomicBool::new(false)),
        wake: Box::new(|| {}),
    };
    let pipeline = pipeline::start(workers).unwrap();
    let (output, used) = (pipeline.output, pipeline.used);
    let judge = std::thread::spawn(move || judge.run(&output, &used));
    let mut open: Option<Batch> = None;
    let mut index = 0;
    for (time, message) in messages {
        let Ok(event) = Event::parse(message.as_bytes()) else { continue };
        if let Some(full) = open.take_if(|batch| batch.is_full() || batch.moment.epoch != time) {
            pass(&pipeline.input, full);
        }
        let batch = open.get_or_insert_with(|| {
            index += 1;
            Batch::new(index - 1, Arc::clone(&setup), Moment::utc(time))
        });
        batch.push(&event, None);
    }
    open.into_iter().for_each(|last| pass(&pipeline.input, last));
    drop(pipeline.input);
    judge.join().unwrap();
}

/// Small batches as the intake passes them, others to the workers: both ways are tried.
fn pass(input: &pipeline::Input, batch: Batch) {
    if let Err(batch) = input.pass(batch) {
        input.pass_in_time(batch).unwrap();
    }
}

/// A file's content; empty when there is none.
pub(crate) fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
