//! Who changed a file, by the best source that is permitted here: fanotify's process, else the kernel's audit records, else nobody.
//!
//! fanotify gives a process number while the event is fresh; [`process`] asks `/proc` for the rest at once, since a short-lived process is soon
//! gone. Then audit's records help, if the administrator has rules that watch the file ([`audit`]). Both only tell who was
//! the last to touch a path before we looked; what is not known is left out, and a guess is never made.

pub mod audit;
pub mod process;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use fim::note::Who;

use crate::whodata::audit::Audit;
use crate::whodata::process::Processes;

/// Paths about which something is known at a time; the oldest make room.
const MAX_PATHS: usize = 16_384;

/// What is older than this belongs to an earlier change.
const FRESH: Duration = Duration::from_secs(60);

/// What is known of recent changes.
#[derive(Default)]
pub struct WhoData {
    processes: Processes,
    by_event: Recent,
    audit: Option<Audit>,
    by_audit: Recent,
    events_name_processes: bool,
}

/// Where names come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// fanotify names the process of each event; audit fills in when that has ended already.
    Fanotify,
    /// Audit records, for what the administrator's audit rules watch.
    Audit,
    /// Nothing is permitted.
    None,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fanotify => "by fanotify: the process of each change",
            Self::Audit => "by audit records, where audit rules watch the file",
            Self::None => {
                "not available: neither fanotify (CAP_SYS_ADMIN) nor audit (CAP_AUDIT_READ) is permitted"
            }
        })
    }
}

impl WhoData {
    /// `events_name_processes`: realtime events come from fanotify.
    pub fn new(events_name_processes: bool, audit: Option<Audit>) -> Self {
        Self { events_name_processes, audit, ..Self::default() }
    }

    /// The best source that we have.
    pub fn step(&self) -> Step {
        match (self.events_name_processes, &self.audit) {
            (true, _) => Step::Fanotify,
            (false, Some(_)) => Step::Audit,
            (false, None) => Step::None,
        }
    }

    /// Notes that a process touched a path just now.
    pub fn touched(&mut self, path: &[u8], pid: u32, now: Instant) {
        if let Some(who) = self.processes.look(pid, now) {
            self.by_event.note(path.to_vec(), who, now);
        }
    }

    /// Takes in the audit records that have come.
    pub fn read_audit(&mut self, now: Instant) {
        let Some(audit) = &mut self.audit else { return };
        for seen in audit.read() {
            for path in seen.paths {
                let mut who = seen.who.clone();
                self.processes.add_names(&mut who, now);
                self.by_audit.note(path, who, now);
            }
        }
    }

    /// Readable when audit records have come.
    pub fn audit_fd(&self) -> Option<BorrowedFd<'_>> {
        self.audit.as_ref().map(std::os::fd::AsFd::as_fd)
    }

    /// Who was the last to touch this path, as far as is known; asked once for each change that is told.
    pub fn take(&mut self, path: &[u8], now: Instant) -> Option<Who> {
        let event = self.by_event.take(path, now);
        let audit = self.by_audit.take(path, now);
        match (event, audit) {
            // A process that had ended before it could be asked is only a number.
            (Some(event), Some(audit)) if event.exe.is_none() => Some(audit),
            (event, audit) => event.or(audit),
        }
    }
}

/// The last one that touched each path.
#[derive(Default)]
struct Recent {
    paths: HashMap<Vec<u8>, (Instant, Who)>,
    order: VecDeque<(Instant, Vec<u8>)>,
}

impl Recent {
    fn note(&mut self, path: Vec<u8>, who: Who, now: Instant) {
        self.order.push_back((now, path.clone()));
        self.paths.insert(path, (now, who));
        while self.order.len() > MAX_PATHS {
            let Some((when, path)) = self.order.pop_front() else { return };
            if self.paths.get(&path).is_some_and(|(noted, _)| *noted == when) {
                self.paths.remove(&path);
            }
        }
    }

    fn take(&mut self, path: &[u8], now: Instant) -> Option<Who> {
        let (noted, who) = self.paths.remove(path)?;
        (now.saturating_duration_since(noted) <= FRESH).then_some(who)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(pid: u32) -> Who {
        Who { pid: Some(pid), ..Who::default() }
    }

    #[test]
    fn the_last_one_is_taken_once() {
        let now = Instant::now();
        let mut recent = Recent::default();
        recent.note(b"/a".to_vec(), who(1), now);
        recent.note(b"/a".to_vec(), who(2), now);
        assert_eq!(recent.take(b"/a", now), Some(who(2)));
        assert_eq!(recent.take(b"/a", now), None);
    }

    #[test]
    fn what_is_old_belongs_to_an_earlier_change() {
        let now = Instant::now();
        let mut recent = Recent::default();
        recent.note(b"/a".to_vec(), who(1), now);
        assert_eq!(recent.take(b"/a", now + FRESH + Duration::from_secs(1)), None);
    }

    #[test]
    fn the_oldest_make_room() {
        let now = Instant::now();
        let mut recent = Recent::default();
        for number in 0..=MAX_PATHS {
            recent.note(number.to_le_bytes().to_vec(), who(1), now);
        }
        assert_eq!((recent.paths.len(), recent.order.len()), (MAX_PATHS, MAX_PATHS));
        assert_eq!(recent.take(&0_usize.to_le_bytes(), now), None);
    }

    #[test]
    fn our_own_process_is_found_by_its_number() {
        let now = Instant::now();
        let mut data = WhoData::new(true, None);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        data.touched(b"/a", child.id(), now);
        child.kill().unwrap();
        child.wait().unwrap();

        let who = data.take(b"/a", now).unwrap();

        assert_eq!((who.pid, who.ppid), (Some(child.id()), Some(std::process::id())));
        assert!(who.uid.is_some());
    }
}
