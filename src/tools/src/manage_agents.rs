//! `manage_agents`: who may speak to this manager; on an agent, the key by which it speaks.
//!
//! A menu for people; options, environment variables and `-j` for scripts. Several may run at once: the key file is changed
//! under a lock, ids are chosen under it, and running daemons take changes over by themselves.

mod add;
mod base64;
mod bulk;
mod import;
mod remove;
mod reset;
mod talk;
#[cfg(test)]
mod tests;

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use agents::{KeyStore, store::StoreError};
use serde_json::json;

use crate::agent_tools::options::Options;
use crate::agent_tools::{self, Reply, World, json_error, json_response};
use crate::control::daemons::InstallType;
use talk::{Leave, Talk};

const NAME: &str = "manage_agents";
/// `R` is `--reset-counter`.
const KNOWN: &str = "Vhle:r:i:f:ja:n:F:R:";
const USAGE: &str = "
manage_agents: agents and their keys
  manage_agents                  The menu
  manage_agents -l               Lists the agents
  manage_agents -a <ip> -n <name> [-F <seconds>]
                                 Adds an agent; <ip> may be any, or have a prefix.
                                 -F: takes the place of an agent with this address that
                                 was silent for so long, whose state goes to backup/agents
  manage_agents -e <id>          Shows the key of an agent, to import it there
  manage_agents -r <id>          Removes an agent
  manage_agents -f <file>        Adds an agent for each line IP,NAME (-: standard input)
  manage_agents --reset-counter <id>
                                 An agent of OSSEC was restored from an older image: its
                                 next hello within 5 minutes is taken whatever its number
  manage_agents -i <key>         On an agent: imports its key (-: standard input, which
                                 keeps it out of the list of processes)
    -j       The answer as one JSON object (also: --json); nothing is asked
    -V -h    Version, this help
  OSSEC_ACTION, OSSEC_AGENT_NAME, OSSEC_AGENT_IP, OSSEC_AGENT_ID, OSSEC_AGENT_KEY,
  OSSEC_ACTION_CONFIRMED and OSSEC_REMOVE_DUPLICATED answer in advance.
";

/// The program.
pub fn main() -> ExitCode {
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let variable = |name: &str| std::env::var(name).ok();
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let mut streams = Streams { input: stdin.lock(), out: stdout.lock(), err: stderr.lock() };
    ExitCode::from(run(&World::here(), &words, &variable, &mut streams))
}

/// Where it reads and writes.
struct Streams<I, O, E> {
    input: I,
    out: O,
    err: E,
}

/// What was answered in advance.
#[derive(Debug, Default)]
struct Answers {
    action: Option<char>,
    name: Option<String>,
    ip: Option<String>,
    id: Option<String>,
    is_confirmed: Option<bool>,
    key: Option<String>,
    /// Take the place of an agent that was silent for so many seconds.
    replace_after: Option<u64>,
    /// They came as options: what is wrong with them isn't asked again.
    is_final: bool,
    /// Answer in JSON, ask nothing.
    is_json: bool,
}

fn run<I: BufRead, O: Write, E: Write>(
    world: &World,
    words: &[String],
    variable: &dyn Fn(&str) -> Option<String>,
    streams: &mut Streams<I, O, E>,
) -> u8 {
    let short = |word: &String| match word.as_str() {
        "--reset-counter" => "-R".to_owned(),
        word => word.to_owned(),
    };
    let words: Vec<String> = words.iter().map(short).collect();
    let reply = match Options::parse(&words, KNOWN) {
        Err(odd) => Reply { err: format!("{NAME}: {odd}\n{USAGE}"), code: 1, ..Reply::default() },
        Ok(options) if options.has('V') => agent_tools::version(NAME),
        Ok(options) if options.has('h') => Reply { err: USAGE.into(), ..Reply::default() },
        Ok(options) if !options.stray.is_empty() => {
            Reply { err: USAGE.into(), code: 1, ..Reply::default() }
        }
        Ok(options) => match answers(&options, variable) {
            Err(reply) => reply,
            Ok(answers) => {
                let talk =
                    Talk { input: &mut streams.input, out: &mut streams.out, world, answers };
                act(talk, &options)
            }
        },
    };
    // Nobody is told when nobody listens.
    let _ = streams.out.write_all(reply.out.as_bytes()).and_then(|()| streams.out.flush());
    let _ = streams.err.write_all(reply.err.as_bytes());
    reply.code
}

/// Options on top of the environment.
fn answers(options: &Options, variable: &dyn Fn(&str) -> Option<String>) -> Result<Answers, Reply> {
    let given =
        |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|v| !v.is_empty());
    let mut answers = Answers {
        action: given("OSSEC_ACTION").and_then(|text| text.chars().next()),
        name: given("OSSEC_AGENT_NAME"),
        ip: given("OSSEC_AGENT_IP"),
        id: given("OSSEC_AGENT_ID"),
        is_confirmed: given("OSSEC_ACTION_CONFIRMED").map(|text| text.eq_ignore_ascii_case("y")),
        key: given("OSSEC_AGENT_KEY"),
        replace_after: None,
        is_final: options.has_any("aeirf"),
        is_json: options.has('j'),
    };
    let seconds =
        options.value('F').map(str::to_owned).or_else(|| given("OSSEC_REMOVE_DUPLICATED"));
    if let Some(seconds) = seconds {
        let number = seconds
            .parse()
            .map_err(|_| Reply::failed(NAME, "Invalid number for -F: seconds are wanted"))?;
        answers.replace_after = Some(number);
    }
    if let Some(name) = options.value('n') {
        answers.name = Some(name.to_owned());
    }
    if let Some(ip) = options.value('a') {
        if answers.name.is_none() {
            return Err(Reply {
                err: format!("{NAME}: -a needs a name: -n <name>\n{USAGE}"),
                code: 1,
                ..Reply::default()
            });
        }
        answers = Answers {
            action: Some('a'),
            ip: Some(ip.to_owned()),
            id: None,
            is_confirmed: Some(true),
            ..answers
        };
    } else if let Some(id) = options.value('r') {
        answers = Answers {
            action: Some('r'),
            id: Some(id.to_owned()),
            is_confirmed: Some(true),
            ..answers
        };
    }
    Ok(answers)
}

/// The one thing that was asked for, in this order; else the menu.
fn act<I: BufRead, O: Write>(mut talk: Talk<'_, I, O>, options: &Options) -> Reply {
    let is_agent = InstallType::of(&talk.world.root) == InstallType::Agent;
    let wrong_side = [
        ('e', !is_agent, "Key export only available on a master."),
        ('r', !is_agent, "Key removal only available on a master."),
        ('i', is_agent, "Key import only available on an agent."),
        ('f', !is_agent, "Bulk generate keys only available on a master."),
        ('a', !is_agent, "Agent adding only available on a master."),
        ('R', !is_agent, "Counters of agents are reset on a master."),
    ];
    if let Some((.., text)) =
        wrong_side.iter().find(|(letter, is_right, _)| options.has(*letter) && !is_right)
    {
        return Reply::failed(NAME, text);
    }
    let ended = if options.has('l') {
        talk.list()
            .and_then(|()| if talk.answers.is_json { Ok(()) } else { talk.say("\n") })
            .map(|()| 0)
    } else if let Some(key) = options.value('i') {
        import::import(&mut talk, Some(key.to_owned())).and_then(|()| talk.leave())
    } else if let Some(id) = options.value('e') {
        talk.extract(id)
    } else if let Some(id) = options.value('R') {
        reset::reset(&mut talk, id)
    } else if let Some(file) = options.value('f') {
        bulk::run(&mut talk, file)
    } else {
        menu(&mut talk, is_agent)
    };
    match ended {
        Ok(code) => Reply { code, ..Reply::default() },
        Err(Leave::Ended) => Reply {
            err: format!("{NAME}: Input too large. Not adding it.\n"),
            code: 1,
            ..Reply::default()
        },
        Err(Leave::Refused(error, text)) if talk.answers.is_json => {
            Reply::refused(json_error(error, &text))
        }
        Err(Leave::Refused(_, text)) => Reply::refused(format!("** {text}\n")),
        Err(Leave::Store(error)) if talk.answers.is_json => Reply {
            err: Reply::failed(NAME, &error.to_string()).err,
            ..Reply::refused(json_error(71, &error.to_string()))
        },
        Err(Leave::Store(error)) => Reply::failed(NAME, &error.to_string()),
        Err(Leave::Closed) => Reply { code: 1, ..Reply::default() },
    }
}

/// Actions, one after the other, until somebody quits; a single one if it was chosen in advance.
fn menu<I: BufRead, O: Write>(talk: &mut Talk<'_, I, O>, is_agent: bool) -> Result<u8, Leave> {
    let is_single = talk.answers.action.is_some();
    loop {
        let action = match talk.answers.action.take() {
            Some(action) => action,
            None if talk.answers.is_json => {
                return Err(Leave::Refused(
                    73,
                    "With -j an action is needed: -a, -r, -e, -l or -i".into(),
                ));
            }
            None => {
                talk.say(if is_agent { AGENT_MENU } else { MANAGER_MENU })?;
                let line = talk.ask("")?;
                match line.chars().next() {
                    Some(letter) if line.chars().count() == 1 => letter,
                    _ => '?',
                }
            }
        };
        match (action.to_ascii_lowercase(), is_agent) {
            ('a', false) => add::add(talk)?,
            ('e', false) => talk.extract_chosen()?,
            ('r', false) => remove::remove(talk)?,
            ('i', true) => import::import(talk, None)?,
            ('l', _) => talk.list()?,
            ('v', _) => talk.say(&agent_tools::version(NAME).err)?,
            ('q', _) => return talk.leave(),
            _ => talk.say("\n** Invalid Action **\n\n")?,
        }
        if is_single {
            return talk.leave();
        }
    }
}

const MANAGER_MENU: &str = "
Agents of this manager:
   (A)dd an agent (A).
   (E)xtract the key of an agent (E).
   (L)ist the agents (L).
   (R)emove an agent (R).
   (Q)uit (Q).
Choose your action: A,E,L,R or Q: ";
const AGENT_MENU: &str = "
The key of this agent:
   (I)mport a key from the manager (I).
   (Q)uit (Q).
Choose your action: I or Q: ";

impl<I: BufRead, O: Write> Talk<'_, I, O> {
    /// `-l`, and the menu's L.
    fn list(&mut self) -> Result<(), Leave> {
        let keys = self.store().read()?;
        if self.answers.is_json {
            let row = |agent: &agents::Agent| json!({"id": agent.id.as_str(), "name": agent.name.as_str(), "ip": agent.address.as_str()});
            return self.say(&json_response(keys.agents().map(row).collect::<Vec<_>>()));
        }
        let rows: String = keys
            .agents()
            .map(|agent| {
                format!("   ID: {}, Name: {}, IP: {}\n", agent.id, agent.name, agent.address)
            })
            .collect();
        if rows.is_empty() {
            return self.say("\n** No agent available. You need to add one first.\n");
        }
        self.say(&format!("\nAvailable agents: \n{rows}"))
    }

    /// `-e`.
    fn extract(&mut self, typed: &str) -> Result<u8, Leave> {
        let unknown = || {
            Leave::Refused(
                70,
                format!("Invalid ID '{}' given. ID is not present", talk::shown(typed)),
            )
        };
        let id = agents::AgentId::typed(typed).map_err(|_| unknown())?;
        let keys = self.store().read()?;
        let agent = keys.by_id(id.as_str()).or_else(|| keys.by_id(typed)).ok_or_else(unknown)?;
        let key = base64::encode(&agent.line());
        if self.answers.is_json {
            self.say(&json_response(key))?;
        } else {
            self.say(&format!("\nAgent key information for '{}' is: \n{key}\n", agent.id))?;
        }
        Ok(0)
    }

    /// The menu's E.
    fn extract_chosen(&mut self) -> Result<(), Leave> {
        self.list()?;
        while let Some(typed) =
            self.chosen("Provide the ID of the agent to extract the key (or '\\q' to quit): ")?
        {
            match self.extract(&typed) {
                Err(Leave::Refused(_, text)) if !self.answers.is_json => {
                    self.say(&format!("** {text}.\n"))?
                }
                other => return other.map(drop),
            }
        }
        Ok(())
    }

    fn store(&self) -> KeyStore {
        KeyStore::at(&self.world.root)
    }

    /// The end of an orderly talk.
    fn leave(&mut self) -> Result<u8, Leave> {
        if !self.answers.is_json {
            self.say("manage_agents: Exiting.\nmanage_agents: Exiting.\n")?;
        }
        Ok(0)
    }
}

impl From<StoreError> for Leave {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
