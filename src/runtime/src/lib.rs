//! The life of a daemon: arguments, log, one instance, signals, privileges, sandbox, accounts.
//!
//! A daemon states who it is in a [`Program`] and gives [`main`] its `run`, which reads as the story:
//!
//! ```no_run
//! use runtime::{Failure, Privilege, Program, Sandbox, Signal, Start};
//!
//! static PROGRAM: Program = Program {
//!     name: "ossec-exampled",
//!     about: "an example of a daemon",
//!     debug_option: None,
//!     privilege: Privilege::User { user: "ossec", group: "ossec" },
//! };
//!
//! fn main() -> std::process::ExitCode {
//!     runtime::main(&PROGRAM, run)
//! }
//!
//! fn run(start: Start) -> Result<(), Failure> {
//!     // ... read and check the settings of start.config() ...
//!     if start.test_only() {
//!         return Ok(());
//!     }
//!     let mut daemon = start.enter()?;
//!     daemon.require_writable(&["queue/example"])?;
//!     // ... open what only root can open ...
//!     daemon.confine(&Sandbox { read: &["etc"], write: &["queue/example"], ..Sandbox::default() })?;
//!     // ... start threads, touch bytes from outside ...
//!     daemon.ready();
//!     loop {
//!         let _ = daemon.signals().wait(None);
//!         for signal in daemon.signals().take() {
//!             if let Signal::Stop(_) = signal {
//!                 return Ok(());
//!             }
//!         }
//!     }
//! }
//! ```

pub mod accounts;
mod args;
pub mod clock;
mod daemon;
mod failure;
mod folders;
mod identity;
pub mod instance;
mod logging;
mod notify;
mod panics;
pub mod root;
mod sandbox;
mod seccomp;
mod signals;

use std::env;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

pub use crate::daemon::{Daemon, Start};
pub use crate::failure::{Failure, errno};
pub use crate::logging::set_debug;
pub use crate::logging::start as log_to;
pub use crate::sandbox::Sandbox;
pub use crate::signals::{Signal, Signals};
pub use sys::Capability;

use crate::args::Asked;

/// Who a daemon is.
#[derive(Debug)]
pub struct Program {
    /// As in `ps`, in the log and in `var/run`: `ossec-logcollector`.
    pub name: &'static str,
    /// One line for `-h`.
    pub about: &'static str,
    /// The key of its debug level in `internal_options.conf`: `logcollector.debug`.
    pub debug_option: Option<&'static str>,
    /// Who it becomes once it has started.
    pub privilege: Privilege,
}

/// Who a daemon becomes once it has started, if it was started by root.
#[derive(Debug)]
pub enum Privilege {
    /// This user and group, for good; overridden by `-u` and `-g`.
    User {
        /// For instance `ossec`.
        user: &'static str,
        /// For instance `ossec`.
        group: &'static str,
    },
    /// Root in name, with this group and only these capabilities.
    Root {
        /// For instance `ossec`; overridden by `-g`.
        group: &'static str,
        /// What its work cannot be done without; programs that it runs get no more.
        keep: &'static [Capability],
    },
}

/// Runs a daemon: reads the command line, finds the install root, starts the log, loads the internal options, calls
/// `run`. A [`Failure`] is logged, once, and gives exit code 1; an orderly stop gives 0.
pub fn main(program: &'static Program, run: fn(Start) -> Result<(), Failure>) -> ExitCode {
    main_with(program, env::args_os().skip(1), run)
}

/// [`main`] for a program with flags of its own: it has taken them out of `arguments`, and answers `-h` itself.
pub fn main_with(
    program: &'static Program,
    arguments: impl IntoIterator<Item = OsString>,
    run: impl FnOnce(Start) -> Result<(), Failure>,
) -> ExitCode {
    let arguments = match args::parse(program, arguments) {
        Ok(Asked::Start(arguments)) => arguments,
        Ok(Asked::Text(text)) => return say(&text, ExitCode::SUCCESS),
        Err(refusal) => return say(&refusal, ExitCode::FAILURE),
    };
    // The suite's files are for its user and its group.
    sys::process::umask(0o027);
    let root = root::find(arguments.root.as_deref());
    logging::start(program.name, &root, true, arguments.debug);
    panics::log_and_abort();
    if let Err(error) = notify::connect() {
        log::warn!(
            "$NOTIFY_SOCKET cannot be reached [{}]: the supervisor will hear nothing.",
            errno(&error)
        );
    }
    match Start::prepare(program, root, arguments).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.log();
            notify::status(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str, code: ExitCode) -> ExitCode {
    // A closed stderr changes nothing about the answer.
    let _ = std::io::stderr().write_all(text.as_bytes());
    code
}
