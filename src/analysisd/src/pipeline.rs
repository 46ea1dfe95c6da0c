//! The workers between intake and judge: each takes a batch, decodes its events, passes it on. Order is the judge's concern.

use std::io;
use std::thread;

use crossbeam_channel::{Receiver, SendError, Sender, TrySendError, bounded};
use rules::{Decoded, RawEvent};
use wire::Kind;

use crate::batch::Batch;

/// Events that the intake decodes itself.
const FEW: usize = 24;
/// Batches that may wait for a worker.
const QUEUE: usize = 32;
/// Decoded batches that may wait for the judge, and as many whose memory waits to serve again; and more for each worker.
/// A decoded batch takes about a quarter of a megabyte.
const DECODED: usize = 2;

/// A batch with its events decoded; those of the built-in decoders are the judge's, whose memory they need.
#[derive(Debug)]
pub(crate) struct DecodedBatch {
    /// As it came.
    pub batch: Batch,
    /// In the same order; `None` for an event of a built-in decoder.
    pub events: Vec<Option<Decoded>>,
}

/// The channels around the workers.
#[derive(Debug)]
pub(crate) struct Pipeline {
    /// Where the intake puts batches.
    pub input: Input,
    /// Where the judge gets them.
    pub output: Receiver<DecodedBatch>,
    /// Where the judge returns what it has used, so that its memory serves again.
    pub used: Used,
}

/// The way in, and the memory of batches that are done with.
#[derive(Debug)]
pub(crate) struct Input {
    workers: Sender<Batch>,
    judge: Sender<DecodedBatch>,
    reuse: Receiver<Vec<Option<Decoded>>>,
    spare: Receiver<Batch>,
}

impl Input {
    /// Passes a batch on, or returns it when there is no room. A few events are decoded at once: to wake a worker costs
    /// more than they do.
    pub(crate) fn pass(&self, batch: Batch) -> Result<(), Batch> {
        let mut batch = batch;
        if batch.len() <= FEW && self.workers.is_empty() && !self.judge.is_full() {
            let mut events = self.reuse.try_recv().unwrap_or_default();
            decode(&batch, &mut events);
            match self.judge.try_send(DecodedBatch { batch, events }) {
                Ok(()) => return Ok(()),
                Err(back) => batch = back.into_inner().batch,
            }
        }
        self.workers.try_send(batch).map_err(TrySendError::into_inner)
    }

    /// As [`pass`](Self::pass), waiting for room; the batch comes back when nobody works any more.
    pub(crate) fn pass_in_time(&self, batch: Batch) -> Result<(), Batch> {
        self.workers.send(batch).map_err(SendError::into_inner)
    }

    /// A batch whose memory may serve again.
    pub(crate) fn spare(&self) -> Option<Batch> {
        self.spare.try_recv().ok()
    }

    /// Batches that no worker has taken.
    pub(crate) fn waiting(&self) -> usize {
        self.workers.len()
    }
}

/// The ways back for memory that has served.
#[derive(Debug)]
pub(crate) struct Used {
    events: Sender<Vec<Option<Decoded>>>,
    batches: Sender<Batch>,
}

impl Used {
    /// Gives a batch back; whoever has enough memory of its kind does not take it.
    pub(crate) fn give_back(&self, decoded: DecodedBatch) {
        let _ = self.events.try_send(decoded.events);
        let _ = self.batches.try_send(decoded.batch);
    }
}

/// Starts `count` workers, one at least; they end when the input is closed.
///
/// # Errors
/// When the system gives no thread.
pub(crate) fn start(count: usize) -> io::Result<Pipeline> {
    let count = count.max(1);
    let (workers, batches) = bounded(QUEUE);
    let (results, output) = bounded(DECODED + count);
    let (events, reuse) = bounded(DECODED + count);
    let (done, spare) = bounded(QUEUE);
    let used = Used { events, batches: done };
    for n in 0..count {
        let (batches, results, reuse) = (batches.clone(), results.clone(), reuse.clone());
        let worker = thread::Builder::new().name(format!("decode-{n}"));
        // A worker ends when the input is closed, and with the last one the judge's input ends.
        worker.spawn(move || work(&batches, &results, &reuse))?;
    }
    let input = Input { workers, judge: results, reuse, spare };
    Ok(Pipeline { input, output, used })
}

fn work(
    batches: &Receiver<Batch>,
    results: &Sender<DecodedBatch>,
    reuse: &Receiver<Vec<Option<Decoded>>>,
) {
    for batch in batches {
        let mut events = reuse.try_recv().unwrap_or_default();
        decode(&batch, &mut events);
        if results.send(DecodedBatch { batch, events }).is_err() {
            return;
        }
    }
}

/// Decodes a batch into `events`, whose old content only lends its memory.
fn decode(batch: &Batch, events: &mut Vec<Option<Decoded>>) {
    let engine = &batch.setup.engine;
    events.truncate(batch.len());
    for (at, event) in batch.events().enumerate() {
        let is_builtin =
            matches!(event.kind, Kind::FileIntegrity | Kind::Rootcheck | Kind::HostInfo);
        if events.len() == at {
            events.push(None);
        }
        let Some(slot) = events.get_mut(at) else { return };
        if is_builtin {
            *slot = None;
            continue;
        }
        let raw =
            RawEvent { moment: batch.moment, location: event.location, payload: event.payload };
        engine.decode_into(&raw, slot.get_or_insert_default());
    }
}
