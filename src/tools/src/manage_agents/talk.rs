//! Questions and answers: what was answered in advance first, then what is typed; the end of input ends the talk.

use std::io::{BufRead, Read, Write};

use agents::store::StoreError;

use super::Answers;
use crate::agent_tools::World;
use crate::agent_tools::client::printable;

/// Longest line that may be typed.
const MAX_LINE: u64 = 512;

/// A talk with a person, or with a script that believes to be one.
pub(super) struct Talk<'a, I, O> {
    pub(super) input: &'a mut I,
    pub(super) out: &'a mut O,
    pub(super) world: &'a World,
    pub(super) answers: Answers,
}

/// Why a talk ends early.
#[derive(Debug)]
pub(super) enum Leave {
    /// There is no more input, or a line is too long.
    Ended,
    /// What was asked for can't be; the number is for JSON. Without the stars in front.
    Refused(u32, String),
    /// The key file.
    Store(StoreError),
    /// Nobody listens.
    Closed,
}

impl<I: BufRead, O: Write> Talk<'_, I, O> {
    /// Prints.
    pub(super) fn say(&mut self, text: &str) -> Result<(), Leave> {
        self.out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush())
            .map_err(|_| Leave::Closed)
    }

    /// Asks; the answer has no blanks around it.
    pub(super) fn ask(&mut self, question: &str) -> Result<String, Leave> {
        if self.answers.is_json {
            return Err(Leave::Refused(
                73,
                "With -j nothing is asked: an answer is missing".into(),
            ));
        }
        self.say(question)?;
        let mut line = Vec::new();
        let limited = &mut self.input.by_ref().take(MAX_LINE);
        limited.read_until(b'\n', &mut line).map_err(|_| Leave::Ended)?;
        if line.last() != Some(&b'\n') {
            return Err(Leave::Ended);
        }
        let text = String::from_utf8_lossy(&line);
        Ok(text.trim_matches([' ', '\t', '\r', '\n']).to_owned())
    }

    /// An id; `None` to return to the menu. What was answered in advance counts once.
    pub(super) fn chosen(&mut self, question: &str) -> Result<Option<String>, Leave> {
        let typed = match self.answers.id.take() {
            Some(id) => id,
            None => self.ask(question)?,
        };
        Ok((typed != "\\q").then_some(typed))
    }

    /// Whether it is so: `y` only.
    pub(super) fn is_confirmed(&mut self, question: &str) -> Result<bool, Leave> {
        match self.answers.is_confirmed {
            Some(is_confirmed) => Ok(is_confirmed),
            None => Ok(self.ask(question)?.eq_ignore_ascii_case("y")),
        }
    }
}

/// What somebody typed, for the terminal.
pub(super) fn shown(text: &str) -> String {
    printable(text.as_bytes())
}
