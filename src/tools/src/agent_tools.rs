//! What agent_control, list_agents, syscheck_control, rootcheck_control and manage_agents share: where they look, how they
//! read their options, how they answer.

pub(crate) mod client;
pub(crate) mod listing;
pub(crate) mod options;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod times;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use agents::{KeyFile, KeyStore};

use crate::{complain, say};

/// What a tool looks at.
#[derive(Debug, Clone)]
pub(crate) struct World {
    /// The install root.
    pub(crate) root: PathBuf,
    /// This host's name.
    pub(crate) host: String,
    /// The moment of the call.
    pub(crate) now: SystemTime,
}

impl World {
    /// This host, as it is.
    pub(crate) fn here() -> Self {
        Self { root: runtime::root::find(None), host: sys::host::name(), now: SystemTime::now() }
    }

    /// Seconds since 1970.
    pub(crate) fn epoch(&self) -> i64 {
        times::epoch(self.now)
    }

    /// All agents; an empty file when there is none.
    ///
    /// # Errors
    /// The line for stderr.
    pub(crate) fn keys(&self, program: &str) -> Result<KeyFile, Reply> {
        KeyStore::at(&self.root).read().map_err(|error| Reply::failed(program, &error.to_string()))
    }
}

/// What a tool says, and how it ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    /// For stdout.
    pub(crate) out: String,
    /// For stderr.
    pub(crate) err: String,
    /// The exit code.
    pub(crate) code: u8,
}

impl Reply {
    /// An answer.
    pub(crate) fn of(out: impl Into<String>) -> Self {
        Self { out: out.into(), ..Self::default() }
    }

    /// An answer that is a refusal.
    pub(crate) fn refused(out: impl Into<String>) -> Self {
        Self { out: out.into(), code: 1, ..Self::default() }
    }

    /// A line on stderr as in the suite's log; `(1234) ` at its begin becomes part of the program's name.
    pub(crate) fn failed(program: &str, text: &str) -> Self {
        Self { err: log_line(program, text), code: 1, ..Self::default() }
    }

    /// Says it.
    pub(crate) fn give(self) -> ExitCode {
        say(&self.out);
        complain(&self.err);
        ExitCode::from(self.code)
    }
}

/// `2026/11/21 00:18:00 syscheck_control(1751): ERROR: ...`
fn log_line(program: &str, text: &str) -> String {
    let time = runtime::clock::local(runtime::clock::now());
    let (number, text) = match text.strip_prefix('(').and_then(|rest| rest.split_once(") ")) {
        Some((number, rest)) if number.bytes().all(|b| b.is_ascii_digit()) => {
            (format!("({number})"), rest)
        }
        _ => (String::new(), text),
    };
    format!(
        "{}/{:02}/{:02} {:02}:{:02}:{:02} {program}{number}: ERROR: {text}\n",
        time.year, time.month, time.day, time.hour, time.minute, time.second
    )
}

/// A program: what its words ask for, by the suite's user.
pub(crate) fn main_of(name: &str, run: fn(&World, &[String]) -> Reply) -> ExitCode {
    let world = World::here();
    let reply = become_user(name).map(|()| run(&world, &words()));
    reply.unwrap_or_else(|reply| reply).give()
}

/// The words of this call.
pub(crate) fn words() -> Vec<String> {
    std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect()
}

/// Gives up root for the suite's user, who owns the databases; not when somebody else calls.
///
/// # Errors
/// When it can't be given up.
pub(crate) fn become_user(program: &str) -> Result<(), Reply> {
    // A root of the caller's own stays the caller's, as for the daemons.
    if sys::privilege::effective_uid() != 0 || std::env::var_os("OXSEC_STAY_USER").is_some() {
        return Ok(());
    }
    let failed = |error: std::io::Error| {
        Reply::failed(program, &format!("cannot become user 'ossec': {error}"))
    };
    match sys::users::user("ossec").map_err(failed)? {
        Some(user) => sys::privilege::become_user(user.uid, user.gid).map_err(failed),
        None => Ok(()),
    }
}

/// The version, for `-V`.
pub(crate) fn version(program: &str) -> Reply {
    Reply { err: format!("Oxsec v{} ({program})\n", env!("CARGO_PKG_VERSION")), ..Reply::default() }
}

/// A failure in JSON.
pub(crate) fn json_error(error: u32, description: &str) -> String {
    serde_json::json!({"error": error, "description": description}).to_string()
}

/// An answer in JSON.
pub(crate) fn json_response(response: impl Into<serde_json::Value>) -> String {
    serde_json::json!({"error": 0, "response": response.into()}).to_string()
}
