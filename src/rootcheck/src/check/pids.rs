//! Processes that one view of the system shows and another one hides.
//!
//! The views: the listing of `/proc`; `/proc/N` itself; the answers of kill(2), getsid(2) and sched_getaffinity(2), which say "no such process" or
//! anything else; for a thread also the listing of its process. A process that begins or ends at this moment looks hidden too, so
//! every suspect is looked at again, with fresh listings.

use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::Pid;

use crate::pace::Stopped;
use crate::scene::{Scene, whole};

/// Findings after which one stops.
const TOO_MANY: usize = 15;
/// Looks at a suspect before it is told.
const LOOKS: u32 = 3;
/// Between two of these looks.
const SETTLE: Duration = Duration::from_millis(50);
/// The kernel's own limit.
const MAX_PID: u32 = 4_194_304;

/// How the system is looked at; tests have one of their own.
pub(crate) trait Views {
    /// By reading the folder `/proc`; `None` when that cannot be relied on.
    fn listing(&self) -> Option<HashSet<u32>>;
    /// By everything else.
    fn answers(&self, pid: u32) -> Answers;
    /// The process of a thread, when `pid` is one that is not the process itself.
    fn process_of(&self, pid: u32) -> Option<u32>;
    /// Whether the process lists this thread.
    fn lists_thread(&self, process: u32, thread: u32) -> bool;
}

/// Who says that there is such a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answers {
    pub(crate) kill: bool,
    pub(crate) getsid: bool,
    pub(crate) affinity: bool,
    /// `/proc/N` is there.
    pub(crate) folder: bool,
}

impl Answers {
    fn any(self) -> bool {
        self.kill || self.getsid || self.affinity || self.folder
    }

    fn all(self) -> bool {
        self.kill && self.getsid && self.affinity && self.folder
    }
}

/// The views of Linux.
pub(crate) struct Linux;

/// Looks at every number that a process can have.
pub(crate) fn run(scene: &mut Scene<'_>, views: &dyn Views) -> Result<(), Stopped> {
    let Some(listing) = views.listing() else {
        scene.say_once(
            "/proc does not show all processes here (hidepid, or another namespace): hidden ones are not looked for.",
        );
        return Ok(());
    };
    let mut found = 0;
    for pid in 1..=highest_pid() {
        scene.pace.step(1)?;
        let answers = views.answers(pid);
        let is_listed = listing.contains(&pid);
        if is_usual(is_listed, answers) {
            continue;
        }
        scene.pace.step(10)?;
        let Some(text) = suspect(scene, views, pid)? else { continue };
        found += 1;
        if found > TOO_MANY {
            return scene.found(&[
                b"Excessive number of hidden processes. It maybe a false-positive or something really bad is going on.",
            ]);
        }
        scene.found(&[text.as_bytes()])?;
    }
    Ok(())
}

fn is_usual(is_listed: bool, answers: Answers) -> bool {
    if is_listed { answers.all() } else { !answers.any() }
}

/// What is wrong with a process, at every look in the same way.
fn suspect(scene: &mut Scene<'_>, views: &dyn Views, pid: u32) -> Result<Option<String>, Stopped> {
    let mut before = None;
    for look in 0..LOOKS {
        if look > 0 {
            scene.pace.wait(SETTLE)?;
        }
        let now = verdict(views, pid);
        if now.is_none() || (look > 0 && now != before) {
            return Ok(None);
        }
        before = now;
    }
    Ok(before)
}

fn verdict(views: &dyn Views, pid: u32) -> Option<String> {
    let answers = views.answers(pid);
    let is_listed = views.listing()?.contains(&pid);
    if is_usual(is_listed, answers) {
        return None;
    }
    if is_listed {
        let (kill, getsid) = (u8::from(answers.kill), u8::from(answers.getsid));
        if answers.kill && answers.getsid {
            return Some(format!(
                "Process '{pid}' hidden from kill ({kill}), getsid ({getsid}) or sched_getaffinity. Possible kernel-level rootkit."
            ));
        }
        return Some(format!(
            "Process '{pid}' hidden from kill ({kill}) or getsid ({getsid}). Possible kernel-level rootkit."
        ));
    }
    // A thread answers as a process does, but is listed by its process.
    if let Some(process) = views.process_of(pid) {
        if views.lists_thread(process, pid) {
            return None;
        }
        return Some(format!(
            "Thread '{pid}' of process '{process}' hidden from /proc. Possible kernel level rootkit."
        ));
    }
    Some(format!("Process '{pid}' hidden from /proc. Possible kernel level rootkit."))
}

fn highest_pid() -> u32 {
    let text = whole(Path::new("/proc/sys/kernel/pid_max")).unwrap_or_default();
    let max = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
    max.unwrap_or(MAX_PID).clamp(32_768, MAX_PID)
}

impl Views for Linux {
    fn listing(&self) -> Option<HashSet<u32>> {
        // By the C library, as `ps` does: what a preloaded library hides is found as well.
        let names = fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.file_name());
        let pids: HashSet<u32> = names.filter_map(|name| number(name.as_bytes())).collect();
        let own = fs::read_link("/proc/self").ok()?;
        let is_ours = own.to_str().and_then(|own| own.parse().ok()) == Some(std::process::id());
        (is_ours && !hides(&whole(Path::new("/proc/self/mountinfo"))?)).then_some(pids)
    }

    fn answers(&self, pid: u32) -> Answers {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let is_there = |answer: Option<Errno>| answer != Some(Errno::SRCH);
        Answers {
            kill: raw.is_some_and(|pid| is_there(rustix::process::test_kill_process(pid).err())),
            getsid: sys::process::has_session(pid),
            affinity: raw
                .is_some_and(|pid| is_there(rustix::thread::sched_getaffinity(Some(pid)).err())),
            folder: rustix::fs::stat(format!("/proc/{pid}")).is_ok(),
        }
    }

    fn process_of(&self, pid: u32) -> Option<u32> {
        let status = whole(Path::new(&format!("/proc/{pid}/status")))?;
        let line = status.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"Tgid:"))?;
        number(line.trim_ascii()).filter(|process| *process != pid)
    }

    fn lists_thread(&self, process: u32, thread: u32) -> bool {
        let Ok(folder) = fs::read_dir(format!("/proc/{process}/task")) else { return true };
        folder.flatten().any(|entry| number(entry.file_name().as_bytes()) == Some(thread))
    }
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Whether `/proc` is mounted so that it does not show the processes of others.
fn hides(mounts: &[u8]) -> bool {
    let mut lines = mounts
        .split(|&b| b == b'\n')
        .filter(|line| line.split(|&b| b == b' ').nth(4) == Some(b"/proc"));
    // A later mount covers an earlier one.
    let Some(last) = lines.next_back() else { return false };
    let options = last.rsplit(|&b| b == b' ').next().unwrap_or_default();
    options.split(|&b| b == b',').any(|option| {
        option.strip_prefix(b"hidepid=").is_some_and(|value| !matches!(value, b"0" | b"off"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::told;
    use std::cell::Cell;

    const NONE: Answers = Answers { kill: false, getsid: false, affinity: false, folder: false };
    const ALL: Answers = Answers { kill: true, getsid: true, affinity: true, folder: true };

    /// Listed processes with their answers, others that only answer, and a thread that is listed by 10.
    struct Fake {
        listed: Vec<(u32, Answers)>,
        others: Vec<(u32, Answers)>,
        thread: Option<(u32, bool)>,
        /// Answers after which process 99 has ended.
        ends_after: Cell<u32>,
    }

    impl Views for Fake {
        fn listing(&self) -> Option<HashSet<u32>> {
            Some(self.listed.iter().map(|(pid, _)| *pid).collect())
        }
        fn answers(&self, pid: u32) -> Answers {
            if pid == 99 {
                let left = self.ends_after.get();
                self.ends_after.set(left.saturating_sub(1));
                return if left > 0 { ALL } else { NONE };
            }
            let mut all = self.listed.iter().chain(&self.others);
            all.find(|(known, _)| *known == pid).map_or(NONE, |(_, answers)| *answers)
        }
        fn process_of(&self, pid: u32) -> Option<u32> {
            self.thread.filter(|(thread, _)| *thread == pid).map(|_| 10)
        }
        fn lists_thread(&self, _: u32, _: u32) -> bool {
            self.thread.is_some_and(|(_, is_listed)| is_listed)
        }
    }

    fn fake() -> Fake {
        Fake {
            listed: vec![(1, ALL), (10, ALL)],
            others: Vec::new(),
            thread: None,
            ends_after: Cell::new(0),
        }
    }

    fn found(fake: &Fake) -> Vec<String> {
        told(|scene| run(scene, fake))
    }

    #[test]
    fn what_all_views_agree_on_is_not_told() {
        assert_eq!(found(&fake()), [""; 0]);
        let thread = Fake { others: vec![(11, ALL)], thread: Some((11, true)), ..fake() };
        assert_eq!(found(&thread), [""; 0]);
    }

    #[test]
    fn a_process_that_answers_and_is_not_listed_is_told() {
        let one = Fake { others: vec![(77, Answers { folder: true, ..NONE })], ..fake() };
        assert_eq!(found(&one), ["Process '77' hidden from /proc. Possible kernel level rootkit."]);
        let thread = Fake { others: vec![(11, ALL)], thread: Some((11, false)), ..fake() };
        assert_eq!(
            found(&thread),
            ["Thread '11' of process '10' hidden from /proc. Possible kernel level rootkit."]
        );
    }

    #[test]
    fn a_process_that_is_listed_and_does_not_answer_is_told() {
        let silent = Fake { listed: vec![(5, Answers { kill: false, ..ALL })], ..fake() };
        assert_eq!(
            found(&silent),
            ["Process '5' hidden from kill (0) or getsid (1). Possible kernel-level rootkit."]
        );
    }

    #[test]
    fn a_process_that_ends_while_one_looks_is_not_told() {
        assert_eq!(found(&Fake { ends_after: Cell::new(2), ..fake() }), [""; 0]);
    }

    #[test]
    fn too_many_are_told_as_such() {
        let others = (100..200).map(|pid| (pid, ALL)).collect();
        let found = found(&Fake { others, ..fake() });
        assert_eq!(found.len(), TOO_MANY + 1);
        assert!(found.last().unwrap().starts_with("Excessive number of hidden processes."));
    }

    #[test]
    fn a_proc_that_hides_is_recognised() {
        let line =
            |options: &str| format!("22 1 0:21 / /proc rw shared:2 - proc proc rw,{options}\n");
        assert!(
            hides(line("hidepid=invisible").as_bytes())
                && hides(line("gid=4,hidepid=2").as_bytes())
        );
        assert!(!hides(line("hidepid=0").as_bytes()) && !hides(line("relatime").as_bytes()));
    }

    #[test]
    fn this_machine_agrees_with_itself_about_this_process() {
        let pid = std::process::id();
        assert!(Linux.answers(pid).all());
        if let Some(listing) = Linux.listing() {
            assert!(listing.contains(&pid));
        }
    }
}
