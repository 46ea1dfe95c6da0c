//! Many agents at once: a line `IP,NAME` for each.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};

use agents::{Agent, Key};

use super::NAME;
use super::add::{information, limit, no_id, parse_address, parse_name};
use super::talk::{Leave, Talk, shown};

/// Most bytes that are read.
const MAX_INPUT: u64 = 64 << 20;

/// Adds an agent for each good line, all or (when the key file can't be written) none; says what is wrong with the others.
pub(super) fn run<I: BufRead, O: Write>(
    talk: &mut Talk<'_, I, O>,
    file: &str,
) -> Result<u8, Leave> {
    let mut text = Vec::new();
    if file == "-" {
        talk.say(&format!("\nBulk load file: {file}\nReading bulk agents from stdin\n"))?;
        let read = talk.input.by_ref().take(MAX_INPUT).read_to_end(&mut text);
        read.map_err(|error| Leave::Refused(73, format!("{NAME}: standard input: {error}")))?;
    } else {
        talk.say(&format!("\nBulk load file: {file}\nOpening: [{file}]\n"))?;
        let read = File::open(file)
            .and_then(|open| BufReader::new(open).take(MAX_INPUT).read_to_end(&mut text));
        read.map_err(|error| Leave::Refused(73, format!("Could not open file '{file}': {error}")))?;
    }
    let limit = limit(talk.world)?;
    let said = talk.store().change(|keys| -> Result<String, Leave> {
        let mut said = String::new();
        let mut count = keys.agents().count();
        for line in text.split(|&b| b == b'\n').filter(|line| line.len() > 1) {
            let line = String::from_utf8_lossy(line);
            let mut fields = line.split(',').map(str::trim);
            let (ip, name) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
            let good = parse_name(name).and_then(|name| {
                if keys.by_name(name.as_str()).is_some() {
                    return Err(format!(
                        "Name '{}' already present. Please enter a new name.",
                        shown(name.as_str())
                    ));
                }
                Ok((name, parse_address(ip)?))
            });
            let (name, address) = match good {
                Ok(good) if count < limit => good,
                Ok(_) => {
                    said.push_str(&format!(
                        "** Maximum number of agents '{limit}' reached (remoted.max_agents).\n"
                    ));
                    break;
                }
                Err(odd) => {
                    said.push_str(&format!("** {odd}\n"));
                    continue;
                }
            };
            let id = keys.next_id().ok_or_else(no_id)?;
            let key = Key::random().map_err(|error| {
                Leave::Refused(75, format!("Failed to generate secure random data: {error}"))
            })?;
            said.push_str(&information(&id, &name, &address));
            said.push_str(&format!("Agent added with ID {id}.\n"));
            keys.add(Agent { id, name, address, key })
                .map_err(|error| Leave::Refused(73, format!("{error}.")))?;
            count += 1;
        }
        Ok(said)
    })?;
    talk.say(&said)?;
    Ok(0)
}
