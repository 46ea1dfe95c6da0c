//! Runs the scripts: no shell, working directory `/`, a bounded number at a time, each for a bounded time.
//!
//! Jobs against one target run one after the other in the order of their orders, so that a `delete` never overtakes its
//! `add`. Everything beyond waits in a bounded queue; who finds it full (see [`Runner::has_room`]) decides what to give up.

use std::collections::{HashSet, VecDeque};
use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// Scripts that run at the same time.
const MAX_RUNNING: usize = 16;

/// Jobs that wait for their turn.
const MAX_WAITING: usize = 1024;

/// After this long a script is killed, with all that it has started.
pub const TIME_LIMIT: Duration = Duration::from_secs(300);

/// How often, and how far apart, a script is tried that somebody holds open for writing.
const BUSY_TRIES: u32 = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// What the script is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Answer: block, lock, restart.
    Add,
    /// Take it back.
    Delete,
}

impl Action {
    /// The script's first argument.
    pub fn word(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Delete => "delete",
        }
    }
}

/// One run of one script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Add or delete.
    pub action: Action,
    /// File below `active-response/bin`.
    pub executable: String,
    /// User, address, alert id, rule id, location, file.
    pub arguments: Vec<Vec<u8>>,
    /// Its number in the journal, if it is one that ends.
    pub number: Option<u64>,
}

/// A job that is over.
#[derive(Debug)]
pub struct Finished {
    /// Which.
    pub job: Job,
    /// `Err` carries what to log.
    pub outcome: Result<(), RunError>,
}

/// Why a script did not do its work.
#[derive(Debug)]
pub enum RunError {
    /// It is no regular file, or everyone may write to it.
    Unsafe(&'static str),
    /// The system refused to start it.
    Start(io::Error),
    /// It ended with an exit status other than 0, or by a signal.
    Status(ExitStatus),
    /// It ran for longer than the limit and was killed.
    TimeLimit(Duration),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsafe(why) => f.write_str(why),
            Self::Start(error) => write!(f, "{error}"),
            Self::Status(status) => match (status.code(), status.signal()) {
                (Some(code), _) => write!(f, "it ended with exit status {code}"),
                (None, signal) => {
                    write!(f, "it was ended by signal {}", signal.unwrap_or_default())
                }
            },
            Self::TimeLimit(limit) => {
                write!(f, "it still ran after {} s and was killed", limit.as_secs())
            }
        }
    }
}

impl std::error::Error for RunError {}

/// All scripts that run or wait.
#[derive(Debug)]
pub struct Runner {
    folder: PathBuf,
    time_limit: Duration,
    running: Vec<Running>,
    waiting: VecDeque<Job>,
}

#[derive(Debug)]
struct Running {
    job: Job,
    child: Child,
    kill_at: Instant,
    killed: bool,
}

impl Runner {
    /// Runs what lies in `folder`.
    pub fn new(folder: PathBuf, time_limit: Duration) -> Self {
        Self { folder, time_limit, running: Vec::new(), waiting: VecDeque::new() }
    }

    /// Where a script of this name lies.
    pub fn path(&self, executable: &str) -> PathBuf {
        self.folder.join(executable)
    }

    /// Whether another job can be taken.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < MAX_WAITING
    }

    /// Takes a job; it begins at the next [`Runner::turn`] that finds its target free.
    pub fn push(&mut self, job: Job) {
        self.waiting.push_back(job);
    }

    /// Jobs that run or wait.
    pub fn unfinished(&self) -> usize {
        self.running.len() + self.waiting.len()
    }

    /// Whether a delete runs or waits.
    pub fn takes_back(&self) -> bool {
        let running = self.running.iter().map(|running| &running.job);
        running.chain(&self.waiting).any(|job| job.action == Action::Delete)
    }

    /// When [`Runner::turn`] is wanted at the latest, to kill one that runs too long.
    pub fn deadline(&self) -> Option<Instant> {
        self.running.iter().filter(|running| !running.killed).map(|running| running.kill_at).min()
    }

    /// Collects what has ended, kills what runs too long, starts what may start. Call it whenever a child has ended.
    pub fn turn(&mut self, now: Instant) -> Vec<Finished> {
        let mut finished = self.collect(now);
        self.start_waiting(now, &mut finished);
        finished
    }

    fn collect(&mut self, now: Instant) -> Vec<Finished> {
        let mut finished = Vec::new();
        let mut still_running = Vec::new();
        for mut running in self.running.drain(..) {
            let outcome = match running.child.try_wait() {
                Ok(None) => {
                    if now >= running.kill_at && !running.killed {
                        running.killed = true;
                        kill_group(&running.child);
                    }
                    still_running.push(running);
                    continue;
                }
                Ok(Some(_)) if running.killed => Err(RunError::TimeLimit(self.time_limit)),
                Ok(Some(status)) if status.success() => Ok(()),
                Ok(Some(status)) => Err(RunError::Status(status)),
                Err(error) => Err(RunError::Start(error)),
            };
            finished.push(Finished { job: running.job, outcome });
        }
        self.running = still_running;
        finished
    }

    fn start_waiting(&mut self, now: Instant, finished: &mut Vec<Finished>) {
        let mut busy: HashSet<(String, Vec<u8>)> =
            self.running.iter().map(|running| target(&running.job)).collect();
        let mut still_waiting = VecDeque::new();
        while let Some(job) = self.waiting.pop_front() {
            if self.running.len() >= MAX_RUNNING || !busy.insert(target(&job)) {
                busy.insert(target(&job));
                still_waiting.push_back(job);
                continue;
            }
            match start(&self.path(&job.executable), &job) {
                Ok(child) => {
                    self.running.push(Running {
                        job,
                        child,
                        kill_at: now + self.time_limit,
                        killed: false,
                    });
                }
                Err(error) => finished.push(Finished { job, outcome: Err(error) }),
            }
        }
        self.waiting = still_waiting;
    }
}

/// What must not be worked on by two scripts at a time.
fn target(job: &Job) -> (String, Vec<u8>) {
    let part = |index: usize| job.arguments.get(index).map(Vec::as_slice).unwrap_or(b"-");
    let who = if part(1) == b"-" { part(0) } else { part(1) };
    (job.executable.clone(), who.to_vec())
}

fn start(path: &Path, job: &Job) -> Result<Child, RunError> {
    check_script(path)?;
    let mut command = Command::new(path);
    command
        .arg(job.action.word())
        .args(job.arguments.iter().map(|argument| OsStr::from_bytes(argument)))
        .current_dir("/")
        .env("PATH", search_path())
        // That socket is between execd and its supervisor.
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        // A group of its own: killed as a whole when late, and untouched by signals to execd.
        .process_group(0);
    for _ in 0..BUSY_TRIES {
        match command.spawn() {
            // Somebody is just writing the script.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                thread::sleep(BUSY_PAUSE)
            }
            started => return started.map_err(RunError::Start),
        }
    }
    command.spawn().map_err(RunError::Start)
}

/// Packet filters and account tools lie in the sbin folders, which a service's PATH may lack.
fn search_path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    for folder in ["/usr/sbin", "/usr/bin", "/sbin", "/bin"] {
        if !env::split_paths(&path).any(|known| known == Path::new(folder)) {
            if !path.is_empty() {
                path.push(":");
            }
            path.push(folder);
        }
    }
    path
}

fn check_script(path: &Path) -> Result<(), RunError> {
    let facts = path.metadata().map_err(RunError::Start)?;
    if !facts.is_file() {
        return Err(RunError::Unsafe("it is not a regular file"));
    }
    if facts.mode() & 0o002 != 0 {
        return Err(RunError::Unsafe(
            "everyone may write to it; 'chmod o-w' it after a look inside",
        ));
    }
    Ok(())
}

fn kill_group(child: &Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended in this very moment; then there is nothing to kill.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use tempfile::TempDir;

    fn folder_with(script: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        write_script(&folder.path().join("ar.sh"), script, 0o750);
        folder
    }

    fn write_script(path: &Path, script: &str, mode: u32) {
        fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn job(action: Action, address: &str) -> Job {
        let arguments = vec![b"-".to_vec(), address.as_bytes().to_vec(), b"1.1".to_vec()];
        Job { action, executable: "ar.sh".into(), arguments, number: None }
    }

    /// Turns until all is done; each turn waits for nothing but the children themselves.
    fn finish(runner: &mut Runner) -> Vec<Finished> {
        let mut finished = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(30);
        while runner.unfinished() > 0 {
            assert!(Instant::now() < deadline, "scripts did not end");
            finished.extend(runner.turn(Instant::now()));
            std::thread::yield_now();
        }
        finished
    }

    #[test]
    fn a_script_gets_action_and_arguments_as_they_are() {
        let folder = folder_with(
            r#"for a in "$@"; do echo "[$a]"; done >"${0%/*}/out"; pwd >>"${0%/*}/out""#,
        );
        let mut runner = Runner::new(folder.path().to_owned(), TIME_LIMIT);
        runner.push(job(Action::Add, "$(id);`id`"));
        assert!(finish(&mut runner)[0].outcome.is_ok());
        let out = fs::read_to_string(folder.path().join("out")).unwrap();
        assert_eq!(out, "[add]\n[-]\n[$(id);`id`]\n[1.1]\n/\n");
    }

    #[test]
    fn a_delete_never_overtakes_its_add() {
        let folder = folder_with(r#"[ "$1" = add ] && sleep 0.2; echo "$1 $3" >>"${0%/*}/out""#);
        let mut runner = Runner::new(folder.path().to_owned(), TIME_LIMIT);
        runner.push(job(Action::Add, "10.0.0.1"));
        runner.push(job(Action::Delete, "10.0.0.1"));
        runner.push(job(Action::Delete, "10.0.0.2"));
        finish(&mut runner);
        let out = fs::read_to_string(folder.path().join("out")).unwrap();
        assert_eq!(out, "delete 10.0.0.2\nadd 10.0.0.1\ndelete 10.0.0.1\n");
    }

    #[test]
    fn a_script_that_hangs_is_killed_with_its_children() {
        let folder = folder_with("sleep 1000 & wait");
        let mut runner = Runner::new(folder.path().to_owned(), Duration::from_millis(50));
        runner.push(job(Action::Add, "10.0.0.1"));
        let finished = finish(&mut runner);
        assert!(matches!(finished[0].outcome, Err(RunError::TimeLimit(_))));
    }

    #[test]
    fn no_more_than_the_limit_run_at_a_time() {
        let folder = folder_with("exit 0");
        let mut runner = Runner::new(folder.path().to_owned(), TIME_LIMIT);
        for i in 0..3 * MAX_RUNNING {
            runner.push(job(Action::Add, &i.to_string()));
        }
        runner.turn(Instant::now());
        assert_eq!(runner.running.len(), MAX_RUNNING);
        assert_eq!(finish(&mut runner).len(), 3 * MAX_RUNNING);
    }

    #[test]
    fn failures_say_why() {
        let folder = folder_with("exit 3");
        write_script(&folder.path().join("open.sh"), "exit 0", 0o777);
        let mut runner = Runner::new(folder.path().to_owned(), TIME_LIMIT);
        for executable in ["ar.sh", "open.sh", "missing.sh", "."] {
            runner.push(Job { executable: executable.into(), ..job(Action::Add, executable) });
        }
        let mut said: Vec<String> = finish(&mut runner)
            .into_iter()
            .map(|one| one.outcome.unwrap_err().to_string())
            .collect();
        said.sort();
        assert_eq!(said[0], "No such file or directory (os error 2)");
        assert_eq!(said[1], "everyone may write to it; 'chmod o-w' it after a look inside");
        assert_eq!(said[2], "it ended with exit status 3");
        assert_eq!(said[3], "it is not a regular file");
    }
}
