//! `--reset-counter`: an agent that can't find its way back by itself may begin anew, once, soon.

use std::io::{BufRead, Write};

use agents::{AgentId, counters};

use super::json_response;
use super::talk::{Leave, Talk, shown};

/// Leaves the permission for remoted.
pub(super) fn reset<I: BufRead, O: Write>(
    talk: &mut Talk<'_, I, O>,
    typed: &str,
) -> Result<u8, Leave> {
    let unknown =
        || Leave::Refused(78, format!("Invalid ID '{}' given. ID is not present.", shown(typed)));
    let padded = AgentId::typed(typed).map_err(|_| unknown())?;
    let keys = talk.store().read()?;
    let agent = keys.by_id(padded.as_str()).or_else(|| keys.by_id(typed)).ok_or_else(unknown)?;
    counters::reset::arm(&talk.world.root, &agent.id).map_err(|error| {
        let rids = counters::RIDS;
        Leave::Refused(73, format!("{rids}/{}.reset can't be written: {error}", agent.id))
    })?;
    if talk.answers.is_json {
        talk.say(&json_response("Counter reset"))?;
    } else {
        let minutes = counters::reset::LIFE.as_secs() / 60;
        talk.say(&format!(
            "The next hello of agent '{id}' within {minutes} minutes is taken whatever its number. Restart that agent now.\n\
             Should the log call agent '{id}' cloned, this does not help: enrol one of the two hosts anew.\n",
            id = agent.id
        ))?;
    }
    Ok(0)
}
