//! The thread that closes past days and keeps the logs within their bounds; one [`pass`] at a time, on request.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use runtime::accounts::Counter;
use runtime::errno;

use crate::closing::{self, Step, Wishes};
use crate::daily::{Daily, Form};
use crate::date::Date;
use crate::pack::{self, PackError};
use crate::program_logs;
use crate::retention::{self, Limits, Space};
use crate::seal;
use crate::stop::Stop;
use crate::tree;
use crate::whole::rename_to_free_name;

/// Logs that got a `.sum`.
pub static SIGNED: Counter = Counter::new("signed");
/// Logs that were compressed.
pub static COMPRESSED: Counter = Counter::new("compressed");
/// Files that a limit has removed.
pub static DELETED: Counter = Counter::new("deleted");
/// Passes that could not do all they were to.
pub static INCOMPLETE: Counter = Counter::new("incomplete_passes");

/// What one pass is to work towards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// The local day.
    pub today: Date,
    /// The last day that nobody writes to any more.
    pub last_closed: Date,
    /// Checksums, compression.
    pub wishes: Wishes,
    /// When logs go.
    pub limits: Limits,
    /// How many rotated logs of the programs stay.
    pub keep_rotated: usize,
}

/// The thread; it ends, soon, when this is dropped.
#[derive(Debug)]
pub struct Keeper {
    orders: Option<SyncSender<Order>>,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts the thread for the logs below `root`.
    ///
    /// # Errors
    /// There can be no more threads.
    pub fn start(root: PathBuf) -> io::Result<Self> {
        let (orders, inbox) = sync_channel(1);
        let stop = Stop::default();
        let told = stop.clone();
        let thread = thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || work(&root, &inbox, &told))?;
        Ok(Self { orders: Some(orders), stop, thread: Some(thread) })
    }

    /// Asks for a pass; `false` when one waits already.
    pub fn order(&self, order: Order) -> bool {
        match self.orders.as_ref().map(|orders| orders.try_send(order)) {
            Some(Err(TrySendError::Full(_))) | None => false,
            Some(Ok(()) | Err(TrySendError::Disconnected(_))) => true,
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop.set();
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it has been logged and has ended the process.
            let _ = thread.join();
        }
    }
}

fn work(root: &Path, orders: &Receiver<Order>, stop: &Stop) {
    // Detection goes first: what is here may take as long as it takes.
    let _ = rustix::process::nice(10);
    while let Ok(order) = orders.recv() {
        if stop.is_set() {
            return;
        }
        if !pass(root, &order, stop) {
            INCOMPLETE.add(1);
        }
    }
}

/// Closes what is to be closed, deletes what is to go; says whether all of it went well. Each failure is logged.
pub fn pass(root: &Path, order: &Order, stop: &Stop) -> bool {
    let closed = close(root, order, stop);
    let retained = !stop.is_set() && retain(root, order);
    let tidied = !stop.is_set() && program_logs::tidy(root, order, stop);
    closed && retained && tidied
}

fn close(root: &Path, order: &Order, stop: &Stop) -> bool {
    let Some(found) = listed(root) else { return false };
    let mut failed = BTreeSet::new();
    for step in closing::steps(&found, order.last_closed, order.wishes) {
        let series = step.daily().series;
        if stop.is_set() || failed.contains(&series) {
            continue;
        }
        if !take(root, step, stop) {
            failed.insert(series);
        }
    }
    failed.is_empty() && !stop.is_set()
}

fn take(root: &Path, step: Step, stop: &Stop) -> bool {
    let done = match step {
        Step::Reconcile { daily, packed, aside } => reconcile(root, daily, packed, aside, stop),
        Step::Sign { daily, previous } => match seal::sign(root, daily, previous, stop) {
            Ok(()) => {
                SIGNED.add(1);
                Ok(())
            }
            Err(error) => {
                Err(format!("'{}' could not be signed: {error}", daily.shown(Form::Plain)))
            }
        },
        Step::Compress { daily, pack } => compress(root, daily, pack, stop),
    };
    match done {
        Ok(()) => true,
        // It will be done at the next start.
        Err(_) if stop.is_set() => false,
        Err(trouble) => {
            log::error!("{trouble}. The log stays as it is; trying again later.");
            false
        }
    }
}

fn compress(root: &Path, daily: Daily, form: Form, stop: &Stop) -> Result<(), String> {
    let shown = daily.shown(Form::Plain);
    let path = root.join(daily.path(Form::Plain));
    match pack::pack(&path, form, stop) {
        Ok(sha1) => {
            COMPRESSED.add(1);
            if seal::is_as_signed(root, daily, &sha1) == Some(false) {
                log::warn!(
                    "'{shown}' was changed after it was signed: '{shown}{}' does not fit its checksums.",
                    form.suffix()
                );
            }
            Ok(())
        }
        Err(PackError::Read(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("'{shown}' could not be compressed: {error}")),
    }
}

fn reconcile(
    root: &Path,
    daily: Daily,
    packed: Form,
    aside: u32,
    stop: &Stop,
) -> Result<(), String> {
    let path = root.join(daily.path(Form::Plain));
    let shown = daily.shown(Form::Plain);
    let trouble = |error: io::Error| format!("'{shown}' could not be set aside: {error}");
    if pack::holds_the_same(&path, packed, stop).map_err(trouble)? {
        return fs::remove_file(&path).map_err(trouble);
    }
    let part = daily.numbered(aside);
    rename_to_free_name(&path, &root.join(part.path(Form::Plain))).map_err(trouble)?;
    log::warn!(
        "'{shown}' was written again after it had been compressed (did the clock go back?): the new one is '{}'.",
        part.shown(Form::Plain)
    );
    // Signed and compressed like any other: on the next pass.
    Ok(())
}

fn retain(root: &Path, order: &Order) -> bool {
    if order.limits == Limits::default() {
        return true;
    }
    let Some(found) = listed(root) else { return false };
    let mut all_went = true;
    for (file, reason) in retention::deletions(&found, order.today, order.limits, space(root).ok())
    {
        let shown = file.daily.shown(file.form);
        match fs::remove_file(root.join(file.daily.path(file.form))) {
            Ok(()) => {
                DELETED.add(1);
                log::info!("'{shown}' deleted: {reason}.");
            }
            Err(error) => {
                log::error!("'{shown}' could not be deleted due to [{}].", errno(&error));
                all_went = false;
            }
        }
    }
    tree::prune(root, order.today);
    all_went
}

/// The file system of the logs.
///
/// # Errors
/// There is no `logs`.
pub fn space(root: &Path) -> io::Result<Space> {
    let facts = rustix::fs::statvfs(root.join("logs"))?;
    Ok(Space {
        total: facts.f_blocks.saturating_mul(facts.f_frsize),
        free: facts.f_bavail.saturating_mul(facts.f_frsize),
    })
}

fn listed(root: &Path) -> Option<Vec<closing::Found>> {
    tree::list(root)
        .inspect_err(|error| log::error!("the daily logs could not be listed: {error}"))
        .ok()
}
