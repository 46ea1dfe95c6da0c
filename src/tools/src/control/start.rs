//! `ossec-control start`: checks every configuration, puts the supervisor into the background, and waits until all is ready.

use std::env;
use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use runtime::instance;
use rustix::event::{PollFd, PollFlags};
use sys::process::Handle;

use crate::control::{Suite, VERSION, daemons, say, status, supervisor};

/// Gives whether all daemons run.
pub(crate) fn start(suite: &Suite, foreground: bool) -> io::Result<bool> {
    say(&format!("Starting OSSEC HIDS {VERSION}..."));
    if !suite.check()? {
        return Ok(false);
    }
    if let Some(pid) = instance::running(&suite.root, supervisor::NAME) {
        return Ok(show_running(suite, pid));
    }
    let program = env::current_exe()?;
    if foreground {
        // From here on this process is the supervisor; it returns only if that fails.
        return Err(Command::new(program).arg("-f").arg("-D").arg(&suite.root).exec());
    }
    let path = suite.root.join(supervisor::NOTIFY);
    let reports = ipc::datagram::bind(&path)?;
    let launched = Command::new(program)
        .arg("-D")
        .arg(&suite.root)
        .env("NOTIFY_SOCKET", &path)
        .stdin(Stdio::null())
        .status();
    let outcome = launched
        .and_then(|status| if status.success() { follow(suite, &reports) } else { Ok(false) });
    let _ = fs::remove_file(path);
    if let Ok(true) = outcome {
        say("Completed.");
    }
    outcome
}

/// Shows what the supervisor reports, until all is ready or the supervisor has given up.
fn follow(suite: &Suite, reports: &UnixDatagram) -> io::Result<bool> {
    // None: it has given up already; what it reported waits in the socket.
    let supervisor =
        instance::running(&suite.root, supervisor::NAME).and_then(|pid| Handle::open(pid).ok());
    loop {
        let ended = match &supervisor {
            Some(supervisor) => {
                let mut fds =
                    [PollFd::new(reports, PollFlags::IN), PollFd::new(supervisor, PollFlags::IN)];
                match rustix::event::poll(&mut fds, None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
                fds.last().is_some_and(|fd| !fd.revents().is_empty())
            }
            None => true,
        };
        if show_reports(reports) {
            return Ok(true);
        }
        if ended {
            say(&format!(
                "The reason is in {}/logs/ossec.log too; nothing was left running.",
                suite.root.display()
            ));
            return Ok(false);
        }
    }
}

/// Shows what has come; says whether `READY=1` was among it.
pub(crate) fn show_reports(reports: &UnixDatagram) -> bool {
    let mut buffer = [0; 8192];
    let mut ready = false;
    while let Ok(len) = reports.recv(&mut buffer) {
        for line in String::from_utf8_lossy(buffer.get(..len).unwrap_or_default()).lines() {
            match line.strip_prefix("STATUS=") {
                Some(text) => say(text),
                None => ready |= line == "READY=1",
            }
        }
    }
    ready
}

/// A second `start` changes nothing.
fn show_running(suite: &Suite, supervisor: u32) -> bool {
    let unwanted = status::not_wanted(&suite.root);
    let mut all_run = true;
    for line in daemons::start_order(suite.install) {
        let name = line.name;
        if instance::running(&suite.root, name).is_some() {
            say(&format!("{name} already running..."));
        } else if unwanted.iter().any(|unwanted| unwanted == name) {
            say(&format!("{name} not needed by this configuration..."));
        } else {
            all_run = false;
            let log = suite.root.join("logs/ossec.log");
            say(&format!("{name} did not start correctly."));
            say(&format!(
                "  The supervisor (process {supervisor}) tries it again; see {}.",
                log.display()
            ));
        }
    }
    if all_run {
        say("Completed.");
    }
    all_run
}
