//! `prefilter_cmd`: a command through whose output MD5 and SHA-1 see a file, for instance to leave out what changes without meaning.
//!
//! The command's words are split at blanks and the file's path is the last one: no shell is asked, so no name of a file is ever taken for
//! a command. How it is run: [`program`](crate::program).

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::time::Duration;

use crate::hash::{self, Digests, Wanted};
use crate::program::Running;

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
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg(OsStr::from_bytes(path));
        let mut running = Running::start(command, self.patience)?;
        let mut output = running.output(MOST_OUTPUT, pause);
        let digests = hash::digest(&mut output, wanted, u64::MAX, None, &mut || true);
        if output.is_stopped() {
            return Ok(None);
        }
        let digests = digests?;
        Ok(running.end(pause)?.and(digests))
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
