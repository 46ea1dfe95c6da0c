//! An agent's own key, as the manager exported it.

use std::fs;
use std::io::{BufRead, Write};

use agents::{Agent, KeyFile, counters};

use super::add::information;
use super::talk::{Leave, Talk};
use super::{base64, json_response};

/// An exported line is shorter.
const MAX_KEY_LINE: usize = 257;

/// Puts a key in the place of all that client.keys held. `-` as the key: it is read from standard input, as it is when it
/// wasn't given.
pub(super) fn import<I: BufRead, O: Write>(
    talk: &mut Talk<'_, I, O>,
    key: Option<String>,
) -> Result<(), Leave> {
    let key = key.filter(|key| key != "-").or_else(|| talk.answers.key.take());
    let typed = match key {
        Some(key) => key,
        None if talk.answers.is_json => talk.read_key()?,
        None => talk.ask(
            "Provide the key that the manager has extracted (or '\\q' to quit).\n\nPaste it here: ",
        )?,
    };
    if typed == "\\q" {
        return Ok(());
    }
    let Some(agent) = read(&typed) else {
        let text = "Invalid authentication key. Starting over again.";
        if talk.answers.is_json || talk.answers.is_final {
            return Err(Leave::Refused(74, text.into()));
        }
        return talk.say(&format!("** {text}\n"));
    };
    if !talk.answers.is_json {
        talk.say(&format!("\n{}", information(&agent.id, &agent.name, &agent.address)))?;
        if !talk.is_confirmed("Confirm adding it?(y/n): ")? {
            return talk.say("Not Adding.\n");
        }
    }
    let is_another = talk.store().change(|keys| -> Result<bool, Leave> {
        let is_another = keys.by_id(agent.id.as_str()).is_none_or(|known| known.key != agent.key);
        *keys = KeyFile::default();
        keys.add(agent.clone()).map_err(|error| Leave::Refused(73, format!("{error}.")))?;
        Ok(is_another)
    })?;
    if is_another {
        // Under another key nothing old can be replayed, and a manager that begins anew counts from the start.
        let _ = fs::remove_file(talk.world.root.join(counters::RIDS).join(agent.id.as_str()));
    }
    match talk.answers.is_json {
        true => talk.say(&json_response("Key imported")),
        false => talk.say("Added.\n"),
    }
}

fn read(typed: &str) -> Option<Agent> {
    let line = base64::decode(typed.as_bytes());
    (line.len() < MAX_KEY_LINE).then(|| Agent::parse(&line).ok()).flatten()
}

impl<I: BufRead, O: Write> Talk<'_, I, O> {
    /// One line without a question.
    fn read_key(&mut self) -> Result<String, Leave> {
        self.answers.is_json = false;
        let line = self.ask("");
        self.answers.is_json = true;
        line
    }
}
