//! The consumer's end of the acknowledged queue: writes down what syscheckd tells.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use ipc::{Ended, Receiver};

use super::in_time;
use super::recording::{COMPLETED, is_row};

/// Hears until it is dropped.
pub(super) struct Listener {
    heard: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    pub(super) fn start(root: &Path) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (heard_in, stop_in) = (heard.clone(), stop.clone());
        let mut poll = mio::Poll::new().expect("poll");
        let ended = Ended::open(&root.join(ipc::paths::ENDED)).expect("ended");
        let socket = root.join(ipc::paths::EVENTS);
        let mut receiver =
            Receiver::bind(&socket, ended, poll.registry(), mio::Token(0)).expect("queue");
        let thread = std::thread::spawn(move || {
            let mut events = mio::Events::with_capacity(16);
            while !stop_in.load(Ordering::Relaxed) {
                poll.poll(&mut events, Some(Duration::from_millis(20))).expect("poll");
                for event in &events {
                    receiver.on_event(event.token());
                }
                receiver.work(poll.registry(), &mut |delivery| {
                    let event = &delivery.event;
                    let location = String::from_utf8_lossy(event.location);
                    let payload = String::from_utf8_lossy(event.payload);
                    let line = format!("{}:{location}:{payload}", char::from(event.kind.tag()));
                    heard_in.lock().expect("no panic").push(line);
                    delivery.source.end(delivery.number);
                    true
                });
                receiver.acknowledge();
            }
        });
        Self { heard, stop, thread: Some(thread) }
    }

    /// Ended scans since the last [`Self::take`].
    pub(super) fn scans(&self) -> usize {
        self.count(|line| line == COMPLETED)
    }

    pub(super) fn until_scans(&self, count: usize) {
        assert!(in_time(|| self.scans() >= count), "no scan ends");
    }

    /// Waits for so many rows; `false` when they do not come.
    pub(super) fn until_rows(&self, count: usize) -> bool {
        in_time(|| self.count(is_row) >= count)
    }

    /// Rows about files, and all else, up to the last end of a scan.
    pub(super) fn take(&self) -> (Vec<String>, Vec<String>) {
        let mut heard = self.heard.lock().expect("no panic");
        let end = heard.iter().rposition(|line| line == COMPLETED).map_or(0, |at| at + 1);
        heard.drain(..end).partition(|line| is_row(line))
    }

    fn count(&self, counts: impl Fn(&str) -> bool) -> usize {
        let heard = self.heard.lock().expect("no panic");
        heard.iter().filter(|line| counts(line)).count()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
