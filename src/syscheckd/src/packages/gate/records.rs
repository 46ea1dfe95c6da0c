//! dpkg's records are watched themselves: whoever changes a file and its digest in the records must not be believed.

use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant, SystemTime};

use super::super::dpkg::{Dpkg, without_architecture};
use super::super::index::Index;

/// How often all of them are looked at.
const EVERY: Duration = Duration::from_secs(60);

/// What was seen of the records.
#[derive(Debug, Default)]
pub(super) struct Records {
    looked: Option<Instant>,
    /// dpkg's lock was seen held since the index was made.
    was_busy: bool,
    said: HashSet<(Vec<u8>, SystemTime)>,
}

impl Records {
    pub(super) fn seen_busy(&mut self) {
        self.was_busy = true;
    }

    /// Says which records changed although dpkg's log names no transaction of their package (where there is no log: although
    /// dpkg was never seen at work). Each change is said once.
    pub(super) fn check(&mut self, dpkg: &Dpkg, index: &Index, now: Instant) -> Vec<Vec<u8>> {
        if self.looked.is_some_and(|looked| now.saturating_duration_since(looked) < EVERY) {
            return Vec::new();
        }
        self.looked = Some(now);
        let logged = dpkg.logged_since(index.log_end);
        let mut events = Vec::new();
        for (package, _) in dpkg.lists().unwrap_or_default() {
            let path = dpkg.digests(&package);
            let written = fs::metadata(&path).and_then(|metadata| metadata.modified());
            let Some(written) = written.ok().filter(|&written| written > index.made) else {
                continue;
            };
            let name = without_architecture(&package).to_vec();
            let explained = match &logged {
                Some(logged) => logged.binary_search(&name).is_ok(),
                None => self.was_busy,
            };
            if !explained && self.said.insert((package.clone(), written)) {
                let text = "syscheck-package: package database changed without a transaction: ";
                let path = fim::path::printable(path.as_os_str().as_bytes()).into_owned();
                events.push([text.as_bytes(), &path].concat());
            }
        }
        events
    }
}
