//! Giving an agent its line of client.keys: pure, on a file that the caller holds the lock of.

use std::fmt;
use std::net::IpAddr;

use agents::keyfile::FIRST_ENROLLED;
use agents::store::StoreError;
use agents::{Address, Agent, AgentId, AgentName, Key, KeyFile};
use wire::enroll::{Answer, is_agent_name};

/// Last number that is tried behind a taken name.
const LAST_SUFFIX: u32 = 256;

/// What becomes of an agent whose name or address another one has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Duplicates {
    /// As the original: a taken name gets a number (`web012`), a taken address is refused.
    #[default]
    Number,
    /// Both are refused.
    Refuse,
    /// The older agent is removed, the new one gets an id and a key of its own.
    Replace,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// As it came; unchecked.
    pub name: &'a [u8],
    /// Where it came from.
    pub source: IpAddr,
    /// Bind the agent to `source` (`-i`); otherwise it may speak from anywhere.
    pub use_source: bool,
    /// See there.
    pub duplicates: Duplicates,
}

/// What was given.
#[derive(Debug)]
pub struct Given {
    /// The new agent.
    pub agent: Agent,
    /// Those that it replaced.
    pub replaced: Vec<Agent>,
}

/// Why nothing was given.
#[derive(Debug)]
pub enum Refusal {
    /// Not 2 to 128 letters, digits, `-`, `_`, `.`.
    BadName,
    /// Taken, and so are all its numbered variants (or these are not to be tried).
    NameTaken,
    /// This agent has the address.
    AddressTaken(AgentId),
    /// There is no id left.
    NoId,
    /// The system gives no random number.
    NoRandom(std::io::Error),
    /// client.keys could not be read or written.
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Refusal {
    /// What the agent is told.
    pub fn answer<'a>(&'a self, name: &'a [u8]) -> Answer<'a> {
        match self {
            Self::BadName | Self::NameTaken => Answer::InvalidName(name),
            Self::AddressTaken(id) => Answer::AddressTaken(id.as_str().as_bytes()),
            Self::NoId | Self::NoRandom(_) | Self::Store(_) => Answer::Internal(name),
        }
    }

    /// Line for the log.
    pub fn describe<'a>(&'a self, name: &'a [u8], source: IpAddr) -> impl fmt::Display + 'a {
        Described { refusal: self, name, source }
    }
}

struct Described<'a> {
    refusal: &'a Refusal,
    name: &'a [u8],
    source: IpAddr,
}

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, source) = (String::from_utf8_lossy(self.name), self.source);
        match self.refusal {
            Refusal::BadName => write!(f, "Invalid agent name: {name} from {source}"),
            Refusal::NameTaken => write!(f, "Invalid agent name {name} (duplicated)"),
            Refusal::AddressTaken(id) => write!(
                f,
                "Invalid IP address {id} (duplicated): agent {id} is registered with {source} already. Remove it with manage_agents -r {id} first, or start authd with -F."
            ),
            Refusal::NoId => {
                write!(f, "Unable to add agent: {name} (internal error): no id is left")
            }
            Refusal::NoRandom(error) => {
                write!(f, "Unable to add agent: {name} (internal error): no random key: {error}")
            }
            Refusal::Store(error) => {
                write!(f, "Unable to add agent: {name} (internal error): {error}")
            }
        }
    }
}

/// Adds the agent that is wished for.
///
/// # Errors
/// [`Refusal`]; the file may then be changed, and is not to be written.
pub fn enrol(file: &mut KeyFile, wish: &Wish<'_>, key: Key) -> Result<Given, Refusal> {
    let wanted = if is_agent_name(wish.name) { std::str::from_utf8(wish.name).ok() } else { None };
    let wanted = wanted.ok_or(Refusal::BadName)?;
    let source = wish.source.to_string();
    let mut replaced = Vec::new();
    if wish.duplicates == Duplicates::Replace {
        let found = [file.by_name(wanted), file.by_address(&source)];
        let ids: Vec<AgentId> = found.into_iter().flatten().map(|agent| agent.id.clone()).collect();
        replaced.extend(ids.iter().filter_map(|id| file.remove(id)));
    }
    let name = free_name(file, wanted, wish.duplicates).ok_or(Refusal::NameTaken)?;
    // Without -i too: the other agent's datagrams could not be told from this one's.
    if let Some(owner) = file.by_address(&source) {
        return Err(Refusal::AddressTaken(owner.id.clone()));
    }
    let address = if wish.use_source { Address::parse(source.as_bytes()).ok() } else { None };
    let address = match (address, wish.use_source) {
        (Some(address), _) => address,
        (None, false) => Address::any(),
        (None, true) => return Err(Refusal::NoId),
    };
    let id = file.free_id(FIRST_ENROLLED).ok_or(Refusal::NoId)?;
    let agent = Agent { id, name, address, key };
    file.add(agent.clone()).map_err(|_| Refusal::NameTaken)?;
    Ok(Given { agent, replaced })
}

/// The name, or the first of `name2` to `name256` that nobody has.
fn free_name(file: &KeyFile, wanted: &str, duplicates: Duplicates) -> Option<AgentName> {
    let usable = |name: &str| {
        (file.by_name(name).is_none() && is_agent_name(name.as_bytes()))
            .then(|| AgentName::new(name).ok())
            .flatten()
    };
    usable(wanted).or_else(|| match duplicates {
        Duplicates::Number => (2..=LAST_SUFFIX).find_map(|n| usable(&format!("{wanted}{n}"))),
        Duplicates::Refuse | Duplicates::Replace => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WISH: Wish<'static> = Wish {
        name: b"web01",
        source: IpAddr::V4(std::net::Ipv4Addr::new(10, 9, 1, 99)),
        use_source: false,
        duplicates: Duplicates::Number,
    };

    fn add(file: &mut KeyFile, wish: Wish<'_>) -> Result<(String, String, usize), Refusal> {
        let given = enrol(file, &wish, Key::random().unwrap())?;
        Ok((
            given.agent.id.to_string(),
            format!("{} {}", given.agent.name, given.agent.address),
            given.replaced.len(),
        ))
    }

    #[test]
    fn a_taken_name_is_numbered_until_256() {
        let mut file = KeyFile::default();
        for n in 1..=256 {
            let (id, agent, _) = add(&mut file, WISH).unwrap();
            let suffix = if n == 1 { String::new() } else { n.to_string() };
            assert_eq!((id, agent), ((1023 + n).to_string(), format!("web01{suffix} any")));
        }
        assert!(matches!(add(&mut file, WISH), Err(Refusal::NameTaken)));
    }

    #[test]
    fn a_taken_name_is_refused_where_that_is_the_policy() {
        let mut file = KeyFile::default();
        let wish = Wish { duplicates: Duplicates::Refuse, ..WISH };
        add(&mut file, wish).unwrap();
        let refusal = add(&mut file, wish).unwrap_err();
        assert!(matches!(refusal, Refusal::NameTaken));
        let mut text = Vec::new();
        refusal.answer(b"web01").write(&mut text);
        assert_eq!(text, b"ERROR: Invalid agent name: web01\n\nERROR: Unable to add agent.\n\n");
    }

    #[test]
    fn a_taken_address_is_refused_or_its_owner_replaced() {
        let mut file = KeyFile::default();
        let bound = Wish { use_source: true, ..WISH };
        let added = add(&mut file, bound).unwrap();
        assert_eq!(added, ("1024".into(), "web01 10.9.1.99".into(), 0));
        let refusal = add(&mut file, Wish { name: b"other", ..WISH }).unwrap_err();
        assert!(matches!(&refusal, Refusal::AddressTaken(id) if id.as_str() == "1024"));
        let again = Wish { duplicates: Duplicates::Replace, ..bound };
        assert_eq!(add(&mut file, again).unwrap(), ("1025".into(), "web01 10.9.1.99".into(), 1));
        assert_eq!(file.agents().count(), 1);
    }

    #[test]
    fn no_number_makes_a_name_too_long() {
        let mut file = KeyFile::default();
        let name = [b'a'; 128];
        add(&mut file, Wish { name: &name, ..WISH }).unwrap();
        assert!(matches!(add(&mut file, Wish { name: &name, ..WISH }), Err(Refusal::NameTaken)));
    }

    #[test]
    fn a_bad_name_adds_nothing() {
        let mut file = KeyFile::default();
        for name in [&b""[..], b"x", b"bad name", b"a/b", b"a\nb", b"\xff\xfe\xfd", &[b'a'; 129]] {
            assert!(matches!(add(&mut file, Wish { name, ..WISH }), Err(Refusal::BadName)));
        }
        assert_eq!(file.agents().count(), 0);
    }

    #[test]
    fn golden_exchanges_give_the_recorded_answers_and_client_keys() {
        let folder = std::env::var("GOLDEN_DIR").unwrap_or_else(|_| {
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden").to_owned()
        });
        let path = std::path::Path::new(&folder).join("wire/enrolment.json");
        let Ok(text) = std::fs::read(&path) else {
            println!("skipped: no {}", path.display());
            return;
        };
        let golden: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let mut file = KeyFile::parse(
            golden["client_keys_after"].as_str().unwrap().lines().next().unwrap().as_bytes(),
        );
        let mut wrong = Vec::new();
        for row in golden["exchanges"].as_array().unwrap() {
            let text = |field: &str| row[field].as_str().unwrap_or_default();
            let password = row["password"].as_str().map(str::as_bytes);
            let request = text("request").as_bytes();
            let expected = text("response");
            let mut answer = Vec::new();
            if let Ok(question) = wire::enroll::Question::parse(request, password) {
                let wish = Wish {
                    name: question.name,
                    source: text("source_ip").parse().unwrap(),
                    use_source: text("server_flags").contains("-i"),
                    duplicates: Duplicates::Number,
                };
                // The recorder's own agent enrolled in between, see client_keys_after.
                if wish.use_source && file.by_name("real-nonl").is_none() {
                    let real = Wish { name: b"real-nonl", use_source: false, ..wish };
                    enrol(&mut file, &real, Key::random().unwrap()).unwrap();
                }
                match enrol(&mut file, &wish, Key::random().unwrap()) {
                    Ok(given) => Answer::Key(&given.agent.line()).write(&mut answer),
                    Err(refusal) => refusal.answer(question.name).write(&mut answer),
                }
            }
            let answer = String::from_utf8(answer).unwrap();
            if without_key(&answer) != without_key(expected) {
                wrong.push(format!("{:?}: {answer:?}, not {expected:?}", text("request")));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        let lines = |text: &str| text.lines().map(without_key).collect::<Vec<_>>();
        let file = String::from_utf8(file.to_bytes()).unwrap();
        assert_eq!(lines(&file), lines(golden["client_keys_after"].as_str().unwrap()));
    }

    /// Keys are random: each run of 64 hex digits becomes one mark.
    fn without_key(text: &str) -> String {
        let is_key = |word: &str| word.len() >= 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
        text.split_inclusive([' ', '\'', '\n'])
            .map(|word| if is_key(word.trim_end_matches(['\'', '\n'])) { "KEY" } else { word })
            .collect()
    }
}
