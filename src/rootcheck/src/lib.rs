//! Searches a host for traces of an intruder: rootcheck, a part of `ossec-syscheckd`.
//!
//! ```text
//! settings, "now" --> thread: schedule --> scan --> checks --> findings (bounded) --> owner --> queue (kind 9)
//! ```
//!
//! It runs in a thread of its own, slowly, so that scans of files and realtime events never wait for it. [`grammar`] reads the lists of
//! `etc/shared`; each check is a module. Behaviour: host-daemons specification 9; for people: `docs/rootcheck.md`.

mod check;
pub mod grammar;
pub mod pace;
mod packages;
mod scan;
mod scene;
pub mod sockets;
#[cfg(test)]
mod testing;
mod walk;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use settings::Rootcheck;

use crate::pace::Pace;
pub use crate::packages::Ships;
pub use crate::scan::Scan;
pub use crate::scene::Said;

/// Findings that wait for the owner; then the scan waits.
const FINDINGS: usize = 256;
/// Orders that wait for the end of a scan; more are as good as these.
const ORDERS: usize = 8;
/// Longest message; the queue takes more, a line for people does not.
const MAX_FINDING: usize = 8192;

/// When and how fast is searched.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Before the first scan.
    pub delay: Duration,
    /// Rest after each thousand units of work, see [`Pace`].
    pub rest: Duration,
}

/// The owner's end. Dropping it stops a scan within a moment, and waits for that.
pub struct Searcher {
    orders: Option<SyncSender<Order>>,
    findings: Option<Receiver<Vec<u8>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

enum Order {
    /// Search now.
    Run,
    /// Go by these from the next scan on.
    Settings(Box<Rootcheck>),
}

impl Searcher {
    /// Starts the thread; `root` is the install root, `ships` is asked about a file before it is accused.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn start(
        root: &Path,
        settings: &Rootcheck,
        timing: Timing,
        ships: Box<Ships>,
    ) -> io::Result<Self> {
        let (orders, orders_in) = sync_channel(ORDERS);
        let (findings_out, findings) = sync_channel(FINDINGS);
        let stop = Arc::new(AtomicBool::new(false));
        let due = Instant::now() + timing.delay;
        let hand = Hand {
            root: root.to_owned(),
            settings: settings.clone(),
            rest: timing.rest,
            orders: orders_in,
            findings: findings_out,
            stop: stop.clone(),
            due,
            last: None,
            said: Said::default(),
            ships,
        };
        let thread = std::thread::Builder::new().name("rootcheck".to_owned());
        let thread = Some(thread.spawn(move || hand.run())?);
        Ok(Self { orders: Some(orders), findings: Some(findings), stop, thread })
    }

    /// Asks for a scan at once; one that is going on is followed by another.
    pub fn run_now(&self) {
        self.order(Order::Run);
    }

    /// Goes by other settings from the next scan on.
    pub fn reload(&self, settings: &Rootcheck) {
        self.order(Order::Settings(Box::new(settings.clone())));
    }

    /// The next message for the manager, if there is one; does not wait.
    pub fn finding(&self) -> Option<Vec<u8>> {
        self.findings.as_ref()?.try_recv().ok()
    }

    fn order(&self, order: Order) {
        // Eight orders wait already: among them is a scan.
        let is_full = self.orders.as_ref().is_some_and(|orders| orders.try_send(order).is_err());
        if is_full {
            log::warn!(target: "rootcheck", "Too many reloads and scans were asked for at once: the last one is left out.");
        }
    }
}

impl Drop for Searcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A thread that waits for either wakes up.
        self.orders = None;
        self.findings = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!(target: "rootcheck", "The thread of rootcheck had ended by an error of its own.");
        }
    }
}

/// What the thread holds.
struct Hand {
    root: PathBuf,
    settings: Rootcheck,
    rest: Duration,
    orders: Receiver<Order>,
    findings: SyncSender<Vec<u8>>,
    stop: Arc<AtomicBool>,
    due: Instant,
    /// When the last scan began.
    last: Option<Instant>,
    said: Said,
    ships: Box<Ships>,
}

impl Hand {
    fn run(mut self) {
        loop {
            let wait = self.due.saturating_duration_since(Instant::now());
            let mut is_due = false;
            match self.orders.recv_timeout(wait) {
                Ok(order) => is_due |= self.obey(order),
                Err(RecvTimeoutError::Timeout) => is_due = true,
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while let Ok(order) = self.orders.try_recv() {
                is_due |= self.obey(order);
            }
            if !is_due {
                continue;
            }
            self.last = Some(Instant::now());
            if self.is_on() && self.scan().is_err() {
                return;
            }
            self.due = Instant::now() + self.settings.frequency;
        }
    }

    fn is_on(&self) -> bool {
        self.settings.present && !self.settings.disabled
    }

    /// Whether a scan is due by this order.
    fn obey(&mut self, order: Order) -> bool {
        match order {
            Order::Run => true,
            Order::Settings(settings) => {
                let was_on = self.is_on();
                self.settings = *settings;
                if let Some(last) = self.last {
                    self.due = last + self.settings.frequency;
                }
                self.is_on() && !was_on && self.last.is_some()
            }
        }
    }

    fn scan(&mut self) -> Result<(), pace::Stopped> {
        let findings = &self.findings;
        let mut tell = |mut text: Vec<u8>| {
            text.truncate(MAX_FINDING);
            findings.send(text).map_err(|_| pace::Stopped)
        };
        let scan = Scan {
            settings: &self.settings,
            root: &self.root,
            pace: Pace::new(self.stop.clone(), self.rest),
            said: &mut self.said,
            ships: &*self.ships,
            tell: &mut tell,
        };
        scan.run()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Nothing to check, so that a scan is its two marks.
    fn idle() -> Rootcheck {
        let mut settings = Rootcheck { present: true, ..Rootcheck::default() };
        let checks = &mut settings.checks;
        for check in [
            &mut checks.files,
            &mut checks.trojans,
            &mut checks.audit,
            &mut checks.dev,
            &mut checks.sys,
            &mut checks.suid,
            &mut checks.pids,
            &mut checks.ports,
            &mut checks.interfaces,
            &mut checks.modules,
            &mut checks.preload,
        ] {
            *check = false;
        }
        settings
    }

    fn start(settings: &Rootcheck, delay: Duration) -> Searcher {
        let timing = Timing { delay, rest: Duration::ZERO };
        Searcher::start(Path::new("/nowhere"), settings, timing, Box::new(|_, _, _| false)).unwrap()
    }

    fn next(searcher: &Searcher) -> String {
        let text = searcher.findings.as_ref().unwrap().recv_timeout(PATIENCE).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_scan_follows_the_start_and_each_order() {
        let searcher = start(&idle(), Duration::ZERO);
        searcher.run_now();
        for _ in 0..2 {
            assert_eq!(next(&searcher), "Starting rootcheck scan.");
            assert_eq!(next(&searcher), "Ending rootcheck scan.");
            searcher.run_now();
        }
    }

    #[test]
    fn what_is_switched_off_waits_for_other_settings() {
        let off = Rootcheck { disabled: true, ..idle() };
        let searcher = start(&off, Duration::from_secs(3600));
        searcher.run_now();
        searcher.reload(&idle());
        searcher.run_now();
        assert_eq!(next(&searcher), "Starting rootcheck scan.");
    }

    #[test]
    fn dropping_it_ends_a_scan_in_the_middle() {
        let began = Instant::now();
        let mut settings = idle();
        // Slow: a rest after each thousand numbers.
        settings.checks.pids = true;
        let timing = Timing { delay: Duration::ZERO, rest: Duration::from_secs(5) };
        let searcher =
            Searcher::start(Path::new("/nowhere"), &settings, timing, Box::new(|_, _, _| false))
                .unwrap();
        assert_eq!(next(&searcher), "Starting rootcheck scan.");
        drop(searcher);
        assert!(began.elapsed() < Duration::from_secs(4));
    }
}
