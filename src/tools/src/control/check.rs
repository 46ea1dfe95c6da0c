//! Asks every daemon to check its configuration (`-t`) before anything is started or stopped.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::control::daemons::{self, InstallType};

/// The first daemon that refuses its configuration.
#[derive(Debug)]
pub(crate) struct Broken {
    name: &'static str,
    /// What it said on stderr, or why it could not be asked.
    why: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.why.is_empty() {
            writeln!(f, "{}", self.why.trim_end())?;
        }
        match self.name {
            "ossec-analysisd" => {
                f.write_str("OSSEC analysisd: Testing rules failed. Configuration error. Exiting.")
            }
            name => write!(f, "{name}: Configuration error. Exiting"),
        }
    }
}

/// Asks all of them, at the same time.
pub(crate) fn all(root: &Path, install: InstallType) -> Result<(), Broken> {
    let asked: Vec<(&'static str, io::Result<Child>)> = daemons::start_order(install)
        .iter()
        .map(|line| (line.name, ask(root, line.name)))
        .collect();
    let answers: Vec<Result<(), Broken>> =
        asked.into_iter().map(|(name, child)| answer(root, name, child)).collect();
    answers.into_iter().collect()
}

fn ask(root: &Path, name: &str) -> io::Result<Child> {
    let mut command = Command::new(root.join("bin").join(name));
    command.args(["-t", "-D"]).arg(root).env_remove("NOTIFY_SOCKET");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()
}

fn answer(root: &Path, name: &'static str, child: io::Result<Child>) -> Result<(), Broken> {
    match child.and_then(Child::wait_with_output) {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            Err(Broken { name, why: String::from_utf8_lossy(&output.stderr).into_owned() })
        }
        Err(error) => {
            let program = root.join("bin").join(name);
            Err(Broken { name, why: format!("cannot run '{}': {error}", program.display()) })
        }
    }
}
