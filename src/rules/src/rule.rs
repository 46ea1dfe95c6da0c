//! A rule as the outside sees it, and the category by which events find the top of the tree.

use std::fmt;

/// Position of a rule in its engine; ids of rules are looked up with [`Engine::rule_by_id`](crate::Engine::rule_by_id).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleIndex(pub(crate) u32);

impl RuleIndex {
    pub(crate) fn at(self) -> usize {
        self.0 as usize
    }
}

/// What outputs and tools need to know of a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// Rule number.
    pub id: u32,
    /// 0 to 15.
    pub level: u8,
    /// Description; bytes as in the file.
    pub description: Vec<u8>,
    /// Groups as one string, as written: `syslog,sshd,`.
    pub groups: Vec<u8>,
    /// Details in order.
    pub infos: Vec<Info>,
    /// The `<info>` texts concatenated, for JSON.
    pub info: Option<Vec<u8>>,
    /// The `<cve>` texts concatenated, for JSON.
    pub cve: Option<Vec<u8>>,
    /// The techniques of `<mitre><id>`, in order.
    pub mitre: Vec<Vec<u8>>,
    /// The `frequency` attribute.
    pub frequency: u32,
    /// Seconds that count for the frequency.
    pub timeframe: u32,
    /// Seconds of silence after an alert.
    pub ignore: u32,
    /// Written to the alert files.
    pub log: bool,
    /// Mailed.
    pub mail: bool,
    /// Active responses that it starts: positions in [`Options::responses`](crate::Options::responses).
    pub responses: Vec<usize>,
    /// Source that it stands in.
    pub file: String,
    /// Line in that source.
    pub line: usize,
}

impl Rule {
    /// Its groups, one by one.
    pub fn group_names(&self) -> impl Iterator<Item = &[u8]> {
        self.groups.split(|&byte| byte == b',').filter(|name| !name.is_empty())
    }
}

/// One detail of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// What it is.
    pub kind: InfoKind,
    /// Its text.
    pub text: Vec<u8>,
}

/// What a rule's detail is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InfoKind {
    /// Plain text.
    Text,
    /// A link.
    Link,
    /// A vulnerability number.
    Cve,
    /// A number of the former Open Source Vulnerability Database.
    Osvdb,
}

impl fmt::Display for InfoKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "Text",
            Self::Link => "Link",
            Self::Cve => "CVE",
            Self::Osvdb => "OSVDB",
        })
    }
}

/// The kind of program that wrote an event; each has its own top of the rule tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Category {
    Firewall,
    Ids,
    Syslog,
    WebLog,
    Squid,
    Windows,
    HostInformation,
    Ossec,
}

impl Category {
    /// All, in the order of their numbers.
    pub(crate) const ALL: [Self; 8] = [
        Self::Firewall,
        Self::Ids,
        Self::Syslog,
        Self::WebLog,
        Self::Squid,
        Self::Windows,
        Self::HostInformation,
        Self::Ossec,
    ];

    /// A decoder's `<type>` or a rule's `<category>`.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "firewall" => Self::Firewall,
            "ids" => Self::Ids,
            "syslog" => Self::Syslog,
            "web-log" => Self::WebLog,
            "squid" => Self::Squid,
            "windows" => Self::Windows,
            "host-information" => Self::HostInformation,
            "ossec" => Self::Ossec,
            _ => return None,
        })
    }
}
