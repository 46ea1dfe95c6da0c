//! A shell in namespaces of its own: nothing of what a test plants there reaches the machine.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::harness::Suite;

/// The shell.
pub(crate) struct Inside {
    shell: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Inside {
    /// Runs `script` in new namespaces (`kinds`: options of unshare); it is to become a shell, and its `$1` is the folder of the suite.
    /// `None` where that is not permitted, or where `needs` fails inside.
    pub(crate) fn enter(suite: &Suite, kinds: &[&str], script: &str, needs: &str) -> Option<Self> {
        let folder = suite.root().parent()?.to_owned();
        let mut shell = Command::new("unshare")
            .args(kinds)
            .args(["--propagation", "private", "sh", "-c", script, "sh"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let (stdin, stdout) = (shell.stdin.take()?, BufReader::new(shell.stdout.take()?));
        let mut inside = Self { shell, stdin, stdout };
        inside.run(needs).0.then_some(inside)
    }

    /// Of the shell: by it its namespaces are found.
    pub(crate) fn pid(&self) -> u32 {
        self.shell.id()
    }

    /// Runs a command; whether it succeeded, and what it said.
    pub(crate) fn run(&mut self, command: &str) -> (bool, String) {
        let line = format!("{{ {command} ; }} 2>&1; echo \"done: $?\"\n");
        if self.stdin.write_all(line.as_bytes()).is_err() {
            return (false, String::new());
        }
        let mut said = String::new();
        loop {
            let from = said.len();
            if self.stdout.read_line(&mut said).unwrap_or(0) == 0 {
                return (false, said);
            }
            if let Some(status) = said[from..].strip_prefix("done: ") {
                return (status.trim() == "0", said);
            }
        }
    }

    /// The same for one that is to succeed.
    pub(crate) fn must(&mut self, command: &str) {
        let (well, said) = self.run(command);
        assert!(well, "{command}: {said}");
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.run("kill $pids; \"$OXSEC_ROOT/bin/ossec-control\" stop");
        let _ = self.stdin.write_all(b"exit\n");
        let _ = self.shell.wait();
    }
}
