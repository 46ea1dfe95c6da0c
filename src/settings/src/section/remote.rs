//! `<remote>`: one socket on which remoted listens, for agents or for syslog.
//!
//! ```xml
//! <remote><connection>secure</connection><crypto_accept>aes</crypto_accept></remote>
//! <remote><connection>syslog</connection><allowed-ips>10.0.0.0/8</allowed-ips></remote>
//! <remote><connection>secure</connection><denied-ips>10.9.9.9</denied-ips><check_names>yes</check_names></remote>
//! ```
//! `pin_crypto`, `check_names`, `lookup_severity`, `client_from_accept`, `client_time_limit` and lists in a block for agents are ours; OSSEC has none of them.

use std::net::IpAddr;

use xml::Element;

use crate::Settings;
use crate::report::{Report, digits};
use crate::section::others;

/// One `<remote>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Who speaks to it.
    pub connection: Connection,
    /// 1514 for agents and 514 for syslog when nothing is given.
    pub port: u16,
    /// Agents always speak UDP.
    pub protocol: Protocol,
    /// The address to bind; all of the host's when there is none.
    pub local_ip: Option<IpAddr>,
    /// Address forms (`10.0.0.0/8`, `any`, `!10.0.0.1`), in order. Of blocks for syslog: one list over all of them; of blocks for
    /// agents likewise, where no list allows everybody.
    pub allowed_ips: Vec<String>,
    /// As [`allowed_ips`](Self::allowed_ips), looked at first.
    pub denied_ips: Vec<String>,
    /// `aes`, `blowfish` or `both`; `None` when the block does not say.
    pub crypto_accept: Option<CryptoAccept>,
    /// Whether an agent stays with the cipher that it was first heard by.
    pub pin_crypto: Option<bool>,
    /// Whether an agent's name must lead to its address and back; `None` when the block does not say.
    pub check_names: Option<bool>,
    /// How bad it is when it does not.
    pub lookup_severity: Option<Severity>,
    /// The address as seen is trusted: no lookup of the agent's name.
    pub client_from_accept: Option<bool>,
    /// Seconds of silence after which an agent is reported; 0: never.
    pub client_time_limit: Option<u64>,
}

/// How bad something is, in the words of Samhain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Neither logged nor reported.
    None,
    /// For the debug log only.
    Debug,
    /// Worth a line.
    Info,
    /// Worth an alert of level 3.
    Notice,
    /// Level 5.
    Warn,
    /// Level 7.
    Err,
    /// Level 10.
    Crit,
}

impl Severity {
    /// All words, from the mildest.
    pub const WORDS: &'static [&'static str] =
        &["none", "debug", "info", "notice", "warn", "err", "crit"];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warn => "warn",
            Self::Err => "err",
            Self::Crit => "crit",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        use Severity::{Crit, Debug, Err, Info, None, Notice, Warn};
        let all = [None, Debug, Info, Notice, Warn, Err, Crit];
        all.into_iter().find(|severity| severity.as_str() == word)
    }
}

/// Who speaks to a socket of remoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// Agents.
    Secure,
    /// Any device.
    Syslog,
}

/// How syslog comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// A datagram a message.
    Udp,
    /// A stream of lines.
    Tcp,
}

/// Which ciphers agents may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CryptoAccept {
    /// Only AES.
    Aes,
    /// Only Blowfish.
    Blowfish,
    /// `both`, `any`.
    Both,
}

/// Checks the section, keeps it among the others, and types it.
pub(crate) fn read(section: &Element, settings: &mut Settings, report: &mut Report) {
    let errors = report.error_count();
    others::read(section, settings, report);
    if report.error_count() == errors {
        settings.remotes.push(Remote::of(section));
    }
}

impl Remote {
    /// From a section that was found right; of repeated values the last one counts.
    fn of(section: &Element) -> Self {
        let mut remote = Self {
            connection: Connection::Secure,
            port: 0,
            protocol: Protocol::Udp,
            local_ip: None,
            allowed_ips: Vec::new(),
            denied_ips: Vec::new(),
            crypto_accept: None,
            pin_crypto: None,
            check_names: None,
            lookup_severity: None,
            client_from_accept: None,
            client_time_limit: None,
        };
        for child in &section.children {
            let value = child.text();
            let lower = value.to_ascii_lowercase();
            match child.name.as_str() {
                "connection" if lower == "syslog" => remote.connection = Connection::Syslog,
                "connection" => remote.connection = Connection::Secure,
                "port" => remote.port = port(&child.content),
                "protocol" if lower == "tcp" => remote.protocol = Protocol::Tcp,
                "protocol" => remote.protocol = Protocol::Udp,
                "local_ip" => remote.local_ip = value.parse().ok(),
                "allowed-ips" => remote.allowed_ips.push(value.into_owned()),
                "denied-ips" => remote.denied_ips.push(value.into_owned()),
                "crypto_accept" => {
                    remote.crypto_accept = Some(match lower.as_str() {
                        "aes" => CryptoAccept::Aes,
                        "blowfish" => CryptoAccept::Blowfish,
                        _ => CryptoAccept::Both,
                    });
                }
                "pin_crypto" => remote.pin_crypto = Some(value == "yes"),
                "check_names" => remote.check_names = Some(value == "yes"),
                "lookup_severity" => remote.lookup_severity = Severity::parse(&value),
                "client_from_accept" => remote.client_from_accept = Some(value == "yes"),
                "client_time_limit" => remote.client_time_limit = digits(&child.content),
                _ => {}
            }
        }
        if remote.connection == Connection::Secure {
            remote.protocol = Protocol::Udp;
        }
        if remote.port == 0 {
            remote.port = if remote.connection == Connection::Secure { 1514 } else { 514 };
        }
        remote
    }
}

fn port(content: &[u8]) -> u16 {
    digits(content).and_then(|port| u16::try_from(port).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn remotes(text: &str) -> Vec<Remote> {
        let text = format!("<ossec_config>{text}</ossec_config>");
        crate::parse(text.as_bytes(), Path::new("ossec.conf")).unwrap().remotes
    }

    #[test]
    fn a_block_is_filled_up_with_what_its_connection_means() {
        let found =
            remotes("<remote><connection>Secure</connection><protocol>tcp</protocol></remote>");
        assert_eq!((found[0].connection, found[0].port), (Connection::Secure, 1514));
        assert_eq!((found[0].protocol, found[0].crypto_accept), (Protocol::Udp, None));
        let found = remotes(
            "<remote><connection>syslog</connection><allowed-ips>any</allowed-ips></remote>",
        );
        assert_eq!((found[0].connection, found[0].port), (Connection::Syslog, 514));
    }

    #[test]
    fn questions_of_names_and_time_are_typed() {
        let found = remotes(
            "<remote><connection>secure</connection><check_names>yes</check_names><lookup_severity>warn</lookup_severity>\
             <client_from_accept>no</client_from_accept><client_time_limit>600</client_time_limit></remote>",
        );
        assert_eq!((found[0].check_names, found[0].client_from_accept), (Some(true), Some(false)));
        assert_eq!(found[0].lookup_severity, Some(Severity::Warn));
        assert_eq!(found[0].client_time_limit, Some(600));
        for word in Severity::WORDS {
            assert_eq!(Severity::parse(word).map(Severity::as_str), Some(*word));
        }
        let wrong = "<ossec_config><remote><connection>secure</connection><lookup_severity>bad</lookup_severity></remote></ossec_config>";
        assert!(crate::parse(wrong.as_bytes(), Path::new("ossec.conf")).is_err());
    }

    #[test]
    fn every_element_is_kept_in_the_order_of_the_blocks() {
        let found = remotes(
            "<remote><connection>secure</connection><port>1600</port><local_ip>127.0.0.1</local_ip>\
             <crypto_accept>AES</crypto_accept></remote>\
             <remote><connection>syslog</connection><protocol>tcp</protocol><port>5514</port>\
             <allowed-ips>10.0.0.0/8</allowed-ips><allowed-ips>fd00::1</allowed-ips><denied-ips>!10.0.0.1</denied-ips></remote>",
        );
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].port, found[0].crypto_accept), (1600, Some(CryptoAccept::Aes)));
        assert_eq!(found[0].local_ip, "127.0.0.1".parse().ok());
        assert_eq!((found[1].port, found[1].protocol), (5514, Protocol::Tcp));
        assert_eq!(found[1].allowed_ips, ["10.0.0.0/8", "fd00::1"]);
        assert_eq!(found[1].denied_ips, ["!10.0.0.1"]);
    }
}
