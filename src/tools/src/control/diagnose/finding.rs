//! What one check has found.

use std::fmt;

use serde_json::{Value, json};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Fine,
    /// Worth knowing; nothing has to be done now.
    Note,
    Problem,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// What it is about, in a word or two.
    pub(super) check: &'static str,
    pub(super) state: State,
    /// What was tried.
    pub(super) tried: String,
    pub(super) found: String,
    /// What to do; empty when nothing has to be done.
    pub(super) remedy: String,
}

impl Finding {
    pub(super) fn fine(check: &'static str, tried: &str, found: impl Into<String>) -> Self {
        let (tried, found) = (tried.to_owned(), found.into());
        Self { check, state: State::Fine, tried, found, remedy: String::new() }
    }

    pub(super) fn note(
        check: &'static str,
        tried: &str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (found, remedy) = (found.into(), remedy.into());
        Self { check, state: State::Note, tried: tried.to_owned(), found, remedy }
    }

    pub(super) fn problem(
        check: &'static str,
        tried: &str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { state: State::Problem, ..Self::note(check, tried, found, remedy) }
    }

    pub(super) fn to_json(&self) -> Value {
        let state = match self.state {
            State::Fine => "ok",
            State::Note => "note",
            State::Problem => "problem",
        };
        json!({
            "check": self.check,
            "state": state,
            "tried": self.tried,
            "finding": self.found,
            "remedy": self.remedy,
        })
    }
}

/// ```text
/// [PROBLEM] keys: (1402) etc/client.keys is missing
///           tried:  read etc/client.keys
///           remedy: import the key with manage_agents
/// ```
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.state {
            State::Fine => "[  ok   ]",
            State::Note => "[ note  ]",
            State::Problem => "[PROBLEM]",
        };
        write!(f, "{mark} {}: {}", self.check, self.found)?;
        write!(f, "\n          tried:  {}", self.tried)?;
        if !self.remedy.is_empty() {
            write!(f, "\n          remedy: {}", self.remedy)?;
        }
        Ok(())
    }
}
