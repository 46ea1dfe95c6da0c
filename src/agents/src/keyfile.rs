//! client.keys: one agent a line.
//!
//! ```text
//! 001 web01 10.9.1.11 b36a57fe13309749...     an agent: id, name, address, key
//! 002 #*#*#*#*#*#*#*#*#*#*#                   removed; its id is not given out again
//! # a comment; so is a line that begins with a space
//! ```
//! Reading never fails as a whole: a line that can't be used is a [`Problem`], named by its number and without its text
//! (it may hold a key). Lines that aren't ours are written back as they were.

use std::collections::HashSet;
use std::fmt;

use crate::address::Address;
use crate::identity::{AgentId, AgentName};
use crate::key::Key;

/// First id that enrolment gives out.
pub const FIRST_ENROLLED: u32 = 1024;

const REMOVED: &str = " #*#*#*#*#*#*#*#*#*#*#";

/// One agent that may speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Unique among all lines.
    pub id: AgentId,
    /// Unique among agents.
    pub name: AgentName,
    /// From where it may speak.
    pub address: Address,
    /// Not shown by `Debug`.
    pub key: Key,
}

impl Agent {
    /// Reads `<id> <name> <address> <key>`, as an exported key has it.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn parse(line: &[u8]) -> Result<Self, Fault> {
        let mut fields = line.splitn(4, |&b| b == b' ');
        let mut field = || fields.next().ok_or(Fault::Fields);
        let (id, name, address, key) = (field()?, field()?, field()?, field()?);
        Ok(Self {
            id: AgentId::parse(id).map_err(|_| Fault::Id)?,
            name: AgentName::parse(name).map_err(|_| Fault::Name)?,
            address: Address::parse(address).map_err(|_| {
                Fault::Address(
                    String::from_utf8_lossy(&address[..address.len().min(64)]).into_owned(),
                )
            })?,
            key: Key::parse(key).ok_or(Fault::Key)?,
        })
    }

    /// Its line, without newline. Holds the key.
    pub fn line(&self) -> Vec<u8> {
        let mut line = format!("{} {} {} ", self.id, self.name, self.address).into_bytes();
        line.extend_from_slice(self.key.as_bytes());
        line
    }

    /// `web01-10.9.2.0`: the name of its file in `queue/agent-info`.
    pub fn file_name(&self) -> String {
        format!("{}-{}", self.name.kept(), self.address.stored())
    }

    /// `(web01) 10.9.2.0`: how events and databases name it.
    pub fn location(&self) -> String {
        format!("({}) {}", self.name.kept(), self.address.stored())
    }
}

/// Everything that client.keys holds.
#[derive(Debug, Clone, Default)]
pub struct KeyFile {
    lines: Vec<Line>,
}

#[derive(Debug, Clone)]
enum Line {
    Agent(Agent),
    Removed(AgentId),
    /// Comments and empty lines.
    Other(Vec<u8>),
    Unusable(Hidden, Fault),
}

/// Bytes that may hold a key.
#[derive(Clone)]
struct Hidden(Vec<u8>);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

impl KeyFile {
    /// Reads a file.
    pub fn parse(file: &[u8]) -> Self {
        let file = file.strip_suffix(b"\n").unwrap_or(file);
        if file.is_empty() {
            return Self::default();
        }
        Self { lines: file.split(|&b| b == b'\n').map(Line::parse).collect() }
    }

    /// The whole file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut file = Vec::new();
        for line in &self.lines {
            match line {
                Line::Agent(agent) => file.extend_from_slice(&agent.line()),
                Line::Removed(id) => file.extend_from_slice(format!("{id}{REMOVED}").as_bytes()),
                Line::Other(bytes) | Line::Unusable(Hidden(bytes), _) => {
                    file.extend_from_slice(bytes)
                }
            }
            file.push(b'\n');
        }
        file
    }

    /// The agents in order; of several lines with one id the first.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        let mut seen = HashSet::new();
        self.lines.iter().filter_map(move |line| match line {
            Line::Agent(agent) if seen.insert(&agent.id) => Some(agent),
            _ => None,
        })
    }

    /// The lines that aren't used, and why.
    pub fn problems(&self) -> impl Iterator<Item = Problem> {
        let mut seen = HashSet::new();
        self.lines.iter().enumerate().filter_map(move |(at, line)| match line {
            Line::Unusable(_, fault) => Some(Problem { line: at + 1, fault: fault.clone() }),
            Line::Agent(agent) if !seen.insert(&agent.id) => {
                Some(Problem { line: at + 1, fault: Fault::Repeated(agent.id.clone()) })
            }
            _ => None,
        })
    }

    /// The agent with exactly this id.
    pub fn by_id(&self, id: &str) -> Option<&Agent> {
        self.agent_lines().find(|agent| agent.id.as_str() == id)
    }

    /// The agent with exactly this name.
    pub fn by_name(&self, name: &str) -> Option<&Agent> {
        self.agent_lines().find(|agent| agent.name.as_str() == name)
    }

    /// The agent with exactly this address text.
    pub fn by_address(&self, address: &str) -> Option<&Agent> {
        self.agent_lines().find(|agent| agent.address.as_str() == address)
    }

    /// The ids of removed agents.
    pub fn removed(&self) -> impl Iterator<Item = &AgentId> {
        self.lines
            .iter()
            .filter_map(|line| if let Line::Removed(id) = line { Some(id) } else { None })
    }

    /// Whether an id is in use or was: removed ones count.
    pub fn knows_id(&self, id: &AgentId) -> bool {
        self.ids().any(|known| known == id)
    }

    /// The id behind the highest one; removed agents count. `None` above eight digits.
    pub fn next_id(&self) -> Option<AgentId> {
        let highest = self.ids().map(AgentId::number).max().unwrap_or(0);
        AgentId::from_number(highest + 1)
    }

    /// The lowest number from `first` on that no id has.
    pub fn free_id(&self, first: u32) -> Option<AgentId> {
        let taken: HashSet<u32> = self.ids().map(AgentId::number).collect();
        (first..=99_999_999).find(|number| !taken.contains(number)).and_then(AgentId::from_number)
    }

    /// Adds an agent.
    ///
    /// # Errors
    /// [`AddError`] when its id or name is taken. Addresses may be shared; see [`by_address`](Self::by_address).
    pub fn add(&mut self, agent: Agent) -> Result<(), AddError> {
        if self.knows_id(&agent.id) {
            return Err(AddError::Id(agent.id));
        }
        if self.by_name(agent.name.as_str()).is_some() {
            return Err(AddError::Name(agent.name));
        }
        self.lines.push(Line::Agent(agent));
        Ok(())
    }

    /// Turns an agent's line into that of a removed one, its key gone; gives the agent back.
    pub fn remove(&mut self, id: &AgentId) -> Option<Agent> {
        let mut removed = None;
        for line in &mut self.lines {
            let Line::Agent(agent) = &*line else { continue };
            if agent.id == *id {
                let marker = Line::Removed(id.clone());
                if let Line::Agent(agent) = std::mem::replace(line, marker) {
                    removed.get_or_insert(agent);
                }
            }
        }
        removed
    }

    /// Gives an agent another key, for instance when it enrols again.
    pub fn replace_key(&mut self, id: &AgentId, key: Key) -> bool {
        for line in &mut self.lines {
            if let Line::Agent(agent) = line
                && agent.id == *id
            {
                agent.key = key;
                return true;
            }
        }
        false
    }

    fn agent_lines(&self) -> impl Iterator<Item = &Agent> {
        self.lines
            .iter()
            .filter_map(|line| if let Line::Agent(agent) = line { Some(agent) } else { None })
    }

    fn ids(&self) -> impl Iterator<Item = &AgentId> {
        self.lines.iter().filter_map(|line| match line {
            Line::Agent(agent) => Some(&agent.id),
            Line::Removed(id) => Some(id),
            _ => None,
        })
    }
}

impl Line {
    fn parse(line: &[u8]) -> Self {
        match line.first() {
            None | Some(b'#' | b' ') => return Self::Other(line.to_vec()),
            _ => (),
        }
        let mut parts = line.splitn(2, |&b| b == b' ');
        let (id, behind) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if behind.first() == Some(&b'#') {
            return match AgentId::parse(id) {
                Ok(id) => Self::Removed(id),
                Err(_) => Self::Unusable(Hidden(line.to_vec()), Fault::Id),
            };
        }
        match Agent::parse(line) {
            Ok(agent) => Self::Agent(agent),
            Err(fault) => Self::Unusable(Hidden(line.to_vec()), fault),
        }
    }
}

/// A line of client.keys that isn't used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Counted from 1.
    pub line: usize,
    /// Why.
    pub fault: Fault,
}

impl fmt::Display for Problem {
    /// Ready to log, with OSSEC's number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            Fault::Address(text) => {
                write!(
                    f,
                    "(1237) Invalid ip address: '{text}'. Line {} of client.keys is not used.",
                    self.line
                )
            }
            fault => {
                write!(
                    f,
                    "(1401) Error reading authentication key: 'line {} of client.keys: {fault}'.",
                    self.line
                )
            }
        }
    }
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Fewer than four fields.
    Fields,
    /// Not one to eight digits.
    Id,
    /// Not a name.
    Name,
    /// Not an address form; its text.
    Address(String),
    /// No key, or one with a zero byte.
    Key,
    /// The id is on an earlier line.
    Repeated(AgentId),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields => f.write_str("expected '<id> <name> <address> <key>'"),
            Self::Id => crate::identity::IdError.fmt(f),
            Self::Name => crate::identity::NameError.fmt(f),
            Self::Address(_) => crate::address::AddressError.fmt(f),
            Self::Key => f.write_str("the key is missing"),
            Self::Repeated(id) => write!(f, "id {id} is on an earlier line, which counts"),
        }
    }
}

impl std::error::Error for Fault {}

/// Why an agent can't be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddError {
    /// Its id is or was in use.
    Id(AgentId),
    /// Its name is in use.
    Name(AgentName),
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "ID '{id}' already present"),
            Self::Name(name) => write!(f, "Name '{name}' already present"),
        }
    }
}

impl std::error::Error for AddError {}

#[cfg(test)]
mod tests;
