//! Removing an agent: its line, and its state, of which a copy is kept.

use std::fs;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use agents::{Agent, AgentId, counters, info};

use super::json_response;
use super::talk::{Leave, Talk, shown};
use crate::agent_tools::World;

const KEPT_IN: &str = "backup/agents";

/// Asks for what wasn't answered in advance, and removes.
pub(super) fn remove<I: BufRead, O: Write>(talk: &mut Talk<'_, I, O>) -> Result<(), Leave> {
    let is_asked = talk.answers.id.is_none();
    if is_asked && !talk.answers.is_json {
        talk.list()?;
    }
    while let Some(typed) =
        talk.chosen("Provide the ID of the agent to be removed (or '\\q' to quit): ")?
    {
        let keys = talk.store().read()?;
        let padded = AgentId::typed(&typed).ok();
        let found =
            padded.as_ref().and_then(|id| keys.by_id(id.as_str())).or_else(|| keys.by_id(&typed));
        let Some(agent) = found else {
            let text = format!("Invalid ID '{}' given. ID is not present.", shown(&typed));
            if talk.answers.is_json {
                return Err(Leave::Refused(78, text));
            }
            talk.say(&format!("** {text}\n"))?;
            if talk.answers.is_final {
                return Ok(());
            }
            continue;
        };
        if !talk.is_confirmed("Confirm deleting it?(y/n): ")? {
            return talk.say("Not removing.\n");
        }
        return take_out(talk, agent);
    }
    Ok(())
}

fn take_out<I: BufRead, O: Write>(talk: &mut Talk<'_, I, O>, agent: &Agent) -> Result<(), Leave> {
    let kept = back_up(talk.world, agent);
    let removed = talk.store().change(|keys| Ok::<_, Leave>(keys.remove(&agent.id)))?;
    if removed.is_none() {
        return Err(Leave::Refused(
            78,
            format!("Invalid ID '{}' given. ID is not present.", agent.id),
        ));
    }
    match kept {
        Ok(()) => forget_state(talk.world, agent).map_err(|error| Leave::Refused(73, error))?,
        // Deleting what could not be kept is not what was asked for.
        Err(error) if !talk.answers.is_json => {
            talk.say(&format!(
                "** The state of agent '{}' could not be kept, so it stays: {error}\n",
                agent.id
            ))?;
        }
        Err(_) => (),
    }
    match talk.answers.is_json {
        true => talk.say(&json_response("Agent removed")),
        false => talk.say(&format!("Agent '{}' removed.\n", agent.id)),
    }
}

/// Links an agent's state to `backup/agents/<name>-<ip>-<moment>`. What isn't there is left out.
pub(super) fn back_up(world: &World, agent: &Agent) -> io::Result<()> {
    let time = runtime::clock::local(world.epoch());
    let moment = format!(
        "{}-{:02}-{:02}-{:02}{:02}{:02}",
        time.year, time.month, time.day, time.hour, time.minute, time.second
    );
    let folder = world.root.join(KEPT_IN).join(format!("{}-{moment}", agent.file_name()));
    let mut is_made = false;
    for (name, path) in state(&world.root, agent) {
        if !path.exists() {
            continue;
        }
        if !is_made {
            fs::create_dir_all(&folder)?;
            is_made = true;
        }
        match fs::hard_link(&path, folder.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
            other => other?,
        }
    }
    Ok(())
}

/// Deletes an agent's state: signs of life, counters, databases.
pub(super) fn forget_state(world: &World, agent: &Agent) -> Result<(), String> {
    let rids = world.root.join(counters::RIDS).join(agent.id.as_str());
    let marker = format!(".{}.maint", agent.location());
    let marker = world.root.join("queue/syscheck").join(marker);
    let all = state(&world.root, agent).into_iter().map(|(_, path)| path).chain([rids, marker]);
    for path in all {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(format!(
                    "The agent is removed, but not its file '{}': {error}",
                    path.display()
                ));
            }
            _ => (),
        }
    }
    Ok(())
}

/// What is kept, and under which name.
fn state(root: &Path, agent: &Agent) -> [(&'static str, PathBuf); 6] {
    let location = agent.location();
    let syscheck = root.join("queue/syscheck");
    [
        ("agent-info", info::path(root, agent)),
        ("syscheck", syscheck.join(format!("{location}->syscheck"))),
        ("syscheck.cpt", syscheck.join(format!(".{location}->syscheck.cpt"))),
        ("syscheck-registry", syscheck.join(format!("{location}->syscheck-registry"))),
        ("syscheck-registry.cpt", syscheck.join(format!(".{location}->syscheck-registry.cpt"))),
        ("rootcheck", root.join("queue/rootcheck").join(format!("{location}->rootcheck"))),
    ]
}
