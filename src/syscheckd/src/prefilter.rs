//! `prefilter_cmd`: a command through whose output MD5 and SHA-1 see a file, for instance to leave out what changes without meaning.
//!
//! The command's words are split at blanks and the file's path is the last one: no shell is asked, so no name of a file is ever taken for
//! a command. It is run as syscheckd itself and confined as that is, with no input, and in a group of its own, which is ended with it.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::hash::{self, Digests, Wanted};

/// A command to be run for each file that is read.
#[derive(Debug)]
pub struct Prefilter {
    program: String,
    arguments: Vec<String>,
    /// How long it may keep us waiting for one file.
    patience: Duration,
}

/// As long as nobody would wait for one file, however slow the disk.
const PATIENCE: Duration = Duration::from_secs(30);
/// More output than any file's that is worth a filter.
const MOST_OUTPUT: u64 = 256 << 20;
/// How often `pause` is called while we wait.
const TICK: Duration = Duration::from_millis(50);

impl Prefilter {
    /// `None` for a command without words.
    pub fn new(command: &str) -> Option<Self> {
        let mut words = command.split_whitespace().map(str::to_owned);
        let program = words.next()?;
        Some(Self { program, arguments: words.collect(), patience: PATIENCE })
    }

    /// The digests of what the command makes of this file, whatever its exit code. `pause` as in [`hash::digest`], also while nothing comes.
    ///
    /// # Errors
    /// When the command can't be started, is ended by a signal, or gives too much or for too long nothing: then it says nothing of the file.
    pub fn digest(
        &self,
        path: &[u8],
        wanted: Wanted,
        pause: &mut dyn FnMut() -> bool,
    ) -> io::Result<Option<Digests>> {
        let mut running = self.start(path)?;
        let mut output = Output { running: &mut running, pause, read: 0, stopped: false };
        let digests = hash::digest(&mut output, wanted, u64::MAX, None, &mut || true);
        if output.stopped {
            return Ok(None);
        }
        let digests = digests?;
        match running.end(pause)? {
            true => Ok(digests),
            false => Ok(None),
        }
    }

    fn start(&self, path: &[u8]) -> io::Result<Running> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg(OsStr::from_bytes(path));
        // What it says must not depend on who started us.
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn()?;
        let output = child.stdout.take();
        Ok(Running { child, output, ended: false, patience: self.patience })
    }
}

/// The command at work; dropping it ends it.
struct Running {
    child: Child,
    output: Option<ChildStdout>,
    ended: bool,
    /// What is left.
    patience: Duration,
}

impl Running {
    /// After a tick in which nothing happened.
    fn waited(&mut self) -> io::Result<()> {
        self.patience = self.patience.saturating_sub(TICK);
        match self.patience.is_zero() {
            true => Err(io::Error::new(io::ErrorKind::TimedOut, "it takes too long")),
            false => Ok(()),
        }
    }

    /// Waits for its end; `false` when told to give up.
    fn end(&mut self, pause: &mut dyn FnMut() -> bool) -> io::Result<bool> {
        let handle = sys::process::Handle::open(self.child.id())?;
        while !handle.ended_within(TICK)? {
            self.waited()?;
            if !pause() {
                return Ok(false);
            }
        }
        let status = self.child.wait()?;
        self.ended = true;
        match status.signal() {
            Some(signal) => Err(io::Error::other(format!("it was ended by signal {signal}"))),
            None => Ok(true),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself just now.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// What it writes.
struct Output<'a> {
    running: &'a mut Running,
    pause: &'a mut dyn FnMut() -> bool,
    read: u64,
    /// `pause` said so.
    stopped: bool,
}

impl Read for Output<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(output) = &mut self.running.output else { return Ok(0) };
            if is_readable(output)? {
                let count = output.read(buffer)?;
                self.read += count as u64;
                if self.read > MOST_OUTPUT {
                    return Err(io::Error::other("it gives more than 256 MiB"));
                }
                return Ok(count);
            }
            self.running.waited()?;
            if !(self.pause)() {
                self.stopped = true;
                return Err(io::Error::other("given up"));
            }
        }
    }
}

/// Whether there is something to read, or an end, within a tick.
fn is_readable(output: &ChildStdout) -> io::Result<bool> {
    let timeout = Timespec::try_from(TICK).ok();
    match poll(&mut [PollFd::new(output, PollFlags::IN)], timeout.as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    const WANTED: Wanted = Wanted { md5: true, sha1: true, sha256: false, blake3: false };

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn file(&self, name: &str, content: &str) -> PathBuf {
            let path = self.0.path().join(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path
        }

        fn filter(&self, script: &str) -> Prefilter {
            // By the shell, so that no file that was written just now has to be run.
            let script = self.file("filter", script);
            Prefilter::new(&format!("/bin/sh {}", script.display())).unwrap()
        }
    }

    fn run(filter: &Prefilter, path: &[u8]) -> io::Result<Option<Digests>> {
        filter.digest(path, WANTED, &mut || true)
    }

    fn of(content: &str) -> Digests {
        let mut content = content.as_bytes();
        hash::digest(&mut content, WANTED, u64::MAX, None, &mut || true).unwrap().unwrap()
    }

    #[test]
    fn the_output_is_digested_whatever_the_exit_code() {
        let place = Place::new();
        let file = place.file("a", "# a comment\nvalue\n");
        let filter = place.filter("grep -v '^#' \"$1\"; exit 3");
        let digests = run(&filter, file.as_os_str().as_bytes()).unwrap().unwrap();
        assert_eq!(digests, of("value\n"));
    }

    #[test]
    fn a_path_is_one_word_and_no_part_of_a_command() {
        let place = Place::new();
        let filter = place.filter("printf '%s|' \"$#\" \"$1\"");
        let path = b"/x/$(echo y); `id` 'a\" \xff\n*";
        let digests = run(&filter, path).unwrap().unwrap();
        let mut expected: &[u8] = &[b"1|", &path[..], b"|"].concat();
        let expected = hash::digest(&mut expected, WANTED, u64::MAX, None, &mut || true);
        assert_eq!(digests, expected.unwrap().unwrap());
    }

    #[test]
    fn long_output_is_read_to_its_end() {
        let place = Place::new();
        let filter = place.filter("head -c 3000000 /dev/zero | tr '\\0' x");
        let digests = run(&filter, b"/").unwrap().unwrap();
        assert_eq!(digests, of(&"x".repeat(3_000_000)));
    }

    #[test]
    fn a_command_that_hangs_is_ended_with_all_that_it_started() {
        let place = Place::new();
        let pids = place.0.path().join("pids");
        let script = format!("sleep 1000 & echo $$ $! > {}; wait", pids.display());
        let filter = Prefilter { patience: Duration::from_secs(1), ..place.filter(&script) };
        assert_eq!(run(&filter, b"/").unwrap_err().kind(), io::ErrorKind::TimedOut);
        let pids = fs::read_to_string(pids).unwrap();
        for pid in pids.split_whitespace() {
            let is_running = || {
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                // Nobody may be there to take note of its end.
                !stat.is_empty() && !stat.contains(") Z ")
            };
            while is_running() {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn one_that_closes_its_output_and_stays_is_ended_too() {
        let place = Place::new();
        let filter = place.filter("exec >&-; sleep 1000");
        let filter = Prefilter { patience: Duration::from_millis(300), ..filter };
        assert_eq!(run(&filter, b"/").unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn one_that_dies_or_is_not_there_says_nothing_of_the_file() {
        let place = Place::new();
        let dead = run(&place.filter("echo half; kill -9 $$"), b"/");
        assert_eq!(dead.unwrap_err().to_string(), "it was ended by signal 9");
        let missing = Prefilter::new("/nonexistent/filter").unwrap();
        assert_eq!(run(&missing, b"/").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(Prefilter::new("  ").is_none());
    }

    #[test]
    fn waiting_for_it_can_be_given_up() {
        let place = Place::new();
        let mut ticks = 0;
        let digests = place.filter("sleep 1000").digest(b"/", WANTED, &mut || {
            ticks += 1;
            ticks < 2
        });
        assert_eq!((digests.unwrap(), ticks), (None, 2));
    }
}
