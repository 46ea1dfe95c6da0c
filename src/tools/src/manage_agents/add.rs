//! Adding an agent.

use std::io::{BufRead, Write};

use agents::{Address, Agent, AgentId, AgentName, Key, KeyFile, info};

use super::remove::{back_up, forget_state};
use super::talk::{Leave, Talk, shown};
use super::{NAME, json_response};
use crate::agent_tools::World;

/// What is wrong with an answer: the number for JSON, and the sentence.
struct Odd(u32, String);

/// An agent as it is wanted; the id is chosen under the lock unless somebody named it.
struct Wanted {
    id: Option<AgentId>,
    name: AgentName,
    address: Address,
}

/// Asks for what wasn't answered in advance, and adds.
pub(super) fn add<I: BufRead, O: Write>(talk: &mut Talk<'_, I, O>) -> Result<(), Leave> {
    if !talk.answers.is_json && !talk.answers.is_final {
        talk.say("\n- Adding a new agent (use '\\q' to return to the main menu).\n  Please provide the following:\n")?;
    }
    let Some(name) = answer(talk, |a| a.name.take(), "   * A name for the new agent: ", name)?
    else {
        return Ok(());
    };
    let Some(address) =
        answer(talk, |a| a.ip.take(), "   * The IP Address of the new agent: ", address)?
    else {
        return Ok(());
    };
    let default = talk.store().read()?.next_id().ok_or_else(no_id)?;
    if talk.answers.is_json || talk.answers.is_final {
        talk.answers.id.get_or_insert_default();
    }
    let question = format!("   * An ID for the new agent[{default}]: ");
    let Some(id) = answer(talk, |a| a.id.take(), &question, id)? else { return Ok(()) };
    let wanted = Wanted { id, name, address };
    if !talk.answers.is_json {
        let id = wanted.id.as_ref().unwrap_or(&default);
        talk.say(&information(id, &wanted.name, &wanted.address))?;
        if !talk.is_confirmed("Confirm adding it?(y/n): ")? {
            return talk.say("Not Adding.\n");
        }
    }
    let id = store(talk, wanted)?;
    match talk.answers.is_json {
        true => talk.say(&json_response(format!("Agent added with ID {id}"))),
        false => talk.say(&format!("Agent added with ID {id}.\n")),
    }
}

/// `Agent information:` and the three fields.
pub(super) fn information(id: &AgentId, name: &AgentName, address: &Address) -> String {
    format!("Agent information:\n   ID:{id}\n   Name:{name}\n   IP Address:{address}\n\n")
}

/// Adds under the lock. Everything is looked at once more there: somebody else may have been faster.
fn store<I: BufRead, O: Write>(
    talk: &mut Talk<'_, I, O>,
    wanted: Wanted,
) -> Result<AgentId, Leave> {
    let limit = limit(talk.world)?;
    let replace_after = talk.answers.replace_after;
    let world = talk.world;
    let (id, replaced) = talk.store().change(|keys| -> Result<_, Leave> {
        check_name(keys, &wanted.name).map_err(refused)?;
        let replaced = make_room(world, keys, &wanted.address, replace_after)?;
        if let Some(agent) = &replaced {
            // Before the old entry is gone: without it nobody would know whose state that was.
            back_up(world, agent).map_err(|error| {
                Leave::Refused(
                    79,
                    format!("The state of agent {} could not be kept: {error}", agent.id),
                )
            })?;
            keys.remove(&agent.id);
        }
        if keys.agents().count() >= limit {
            return Err(Leave::Refused(
                73,
                format!("Maximum number of agents '{limit}' reached (remoted.max_agents)."),
            ));
        }
        let id = match &wanted.id {
            Some(id) => id.clone(),
            None => keys.next_id().ok_or_else(no_id)?,
        };
        let key = Key::random().map_err(|error| {
            Leave::Refused(75, format!("Failed to generate secure random data: {error}"))
        })?;
        let agent = Agent {
            id: id.clone(),
            name: wanted.name.clone(),
            address: wanted.address.clone(),
            key,
        };
        keys.add(agent).map_err(|error| Leave::Refused(73, format!("{error}.")))?;
        Ok((id, replaced))
    })?;
    if let Some(agent) = replaced {
        forget_state(world, &agent).map_err(|error| Leave::Refused(73, error))?;
    }
    Ok(id)
}

/// With `-F`: the agent that has this address already and was silent for long enough.
fn make_room(
    world: &World,
    keys: &KeyFile,
    address: &Address,
    after: Option<u64>,
) -> Result<Option<Agent>, Leave> {
    let Some(owner) = duplicate(keys, address) else { return Ok(None) };
    if let Some(after) = after {
        let silence = info::last_seen(&world.root, owner)
            .map_or(u64::MAX, |last| world.now.duration_since(last).unwrap_or_default().as_secs());
        if silence >= after {
            return Ok(Some(owner.clone()));
        }
    }
    report_duplicate(world, address);
    Err(refused(duplicated(address.as_str())))
}

fn duplicate<'a>(keys: &'a KeyFile, address: &Address) -> Option<&'a Agent> {
    let text = address.as_str();
    if text.starts_with("any") || text.contains('/') { None } else { keys.by_address(text) }
}

/// Rule 520 tells of it; without a listener nobody does.
fn report_duplicate(world: &World, address: &Address) {
    if let Ok(socket) = ipc::datagram::connect(&world.root.join(ipc::paths::QUEUE)) {
        let _ = socket.send(format!("1:manage_agents:ossec: Duplicated IP {address}").as_bytes());
    }
}

/// One answer, checked; asked again while it is odd, if there is somebody to ask. `None`: back to the menu.
fn answer<I: BufRead, O: Write, T>(
    talk: &mut Talk<'_, I, O>,
    given: impl Fn(&mut super::Answers) -> Option<String>,
    question: &str,
    check: impl Fn(&Talk<'_, I, O>, &str) -> Result<Result<T, Odd>, Leave>,
) -> Result<Option<T>, Leave> {
    let mut advance = given(&mut talk.answers);
    loop {
        let typed = match advance.take() {
            Some(given) => given,
            None => talk.ask(question)?,
        };
        if typed == "\\q" {
            return Ok(None);
        }
        match check(talk, &typed)? {
            Ok(value) => return Ok(Some(value)),
            Err(odd) if talk.answers.is_json || talk.answers.is_final => return Err(refused(odd)),
            Err(Odd(_, text)) => talk.say(&format!("** {text}\n"))?,
        }
    }
}

fn name<I: BufRead, O: Write>(
    talk: &Talk<'_, I, O>,
    typed: &str,
) -> Result<Result<AgentName, Odd>, Leave> {
    let Ok(name) = AgentName::new(typed) else {
        return Ok(Err(invalid_name(talk.answers.is_json, typed)));
    };
    Ok(check_name(&talk.store().read()?, &name).map(|()| name))
}

pub(super) fn parse_name(typed: &str) -> Result<AgentName, String> {
    AgentName::new(typed).map_err(|_| invalid_name(false, typed).1)
}

pub(super) fn parse_address(typed: &str) -> Result<Address, String> {
    Address::parse(typed.as_bytes()).map_err(|_| invalid_address(false, typed).1)
}

fn invalid_name(is_json: bool, typed: &str) -> Odd {
    if is_json {
        return Odd(76, "Invalid name for agent".into());
    }
    Odd(
        76,
        format!(
            "Invalid name '{}' given. Name must contain only alphanumeric characters (min=2, max=128), '-', '_' and '.'.",
            shown(typed)
        ),
    )
}

fn invalid_address(is_json: bool, typed: &str) -> Odd {
    match is_json {
        true => Odd(77, "Invalid IP for agent".into()),
        false => {
            Odd(77, format!("Invalid IP '{}'. Please enter a valid IP Address.", shown(typed)))
        }
    }
}

fn check_name(keys: &KeyFile, name: &AgentName) -> Result<(), Odd> {
    match keys.by_name(name.as_str()) {
        Some(_) => Err(Odd(76, format!("Name '{name}' already present. Please enter a new name."))),
        None => Ok(()),
    }
}

fn address<I: BufRead, O: Write>(
    talk: &Talk<'_, I, O>,
    typed: &str,
) -> Result<Result<Address, Odd>, Leave> {
    let Ok(address) = Address::parse(typed.as_bytes()) else {
        return Ok(Err(invalid_address(talk.answers.is_json, typed)));
    };
    // With -F the lock decides.
    if talk.answers.replace_after.is_none() && duplicate(&talk.store().read()?, &address).is_some()
    {
        report_duplicate(talk.world, &address);
        return Ok(Err(duplicated(typed)));
    }
    Ok(Ok(address))
}

fn duplicated(address: &str) -> Odd {
    Odd(79, format!("Duplicated IP '{address}'. Please enter an unique IP Address."))
}

/// Nothing, or `0`: the next one.
fn id<I: BufRead, O: Write>(
    talk: &Talk<'_, I, O>,
    typed: &str,
) -> Result<Result<Option<AgentId>, Odd>, Leave> {
    if typed.is_empty() || typed == "0" {
        return Ok(Ok(None));
    }
    let Ok(id) = AgentId::typed(typed) else {
        let text =
            format!("Invalid ID '{}' given. ID must be numeric (max 8 digits).", shown(typed));
        return Ok(Err(Odd(73, text)));
    };
    if talk.store().read()?.knows_id(&id) {
        return Ok(Err(Odd(73, format!("ID '{id}' already present. They must be unique."))));
    }
    Ok(Ok(Some(id)))
}

/// How many agents there may be.
pub(super) fn limit(world: &World) -> Result<usize, Leave> {
    let options = settings::InternalOptions::load(&world.root).map_err(|errors| {
        Leave::Refused(73, format!("{NAME}: {}", errors.to_string().trim_end()))
    })?;
    Ok(usize::try_from(options.number("remoted.max_agents")).unwrap_or(usize::MAX))
}

fn refused(Odd(error, text): Odd) -> Leave {
    Leave::Refused(error, text)
}

pub(super) fn no_id() -> Leave {
    Leave::Refused(
        72,
        "Could not get default ID. Ran out of IDs to try with a max of '99999999'.".into(),
    )
}
