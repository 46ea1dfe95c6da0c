//! Stops daemons in their order, within a bounded time.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::control::ward::Ward;

/// For all of them together; then what is left is killed.
pub(crate) const TIME_FOR_ALL: Duration = Duration::from_secs(45);
/// For one of them, before the next is asked too.
const TIME_FOR_ONE: Duration = Duration::from_secs(35);

/// Asks each to end and waits for it before the next is asked. `say` gets a line for each that had to be killed.
pub(crate) fn in_order(root: &Path, wards: &mut [Ward], say: &mut dyn FnMut(&str)) {
    let deadline = Instant::now() + TIME_FOR_ALL;
    let left = || deadline.saturating_duration_since(Instant::now());
    for ward in wards.iter_mut() {
        ward.terminate();
        ward.ended_within(root, left().min(TIME_FOR_ONE));
    }
    for ward in wards {
        if !ward.ended_within(root, left()) {
            say(&killing_line(ward.pid().unwrap_or_default()));
            ward.kill(root);
        }
    }
}

/// Said when patience is over.
pub(crate) fn killing_line(pid: u32) -> String {
    format!("Process {pid} did not exit; sending SIGKILL ..")
}
