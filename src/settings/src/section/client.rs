//! `<client>`: the manager to which an agent reports.
//!
//! ```xml
//! <client><server-ip>10.9.0.1</server-ip><server-hostname>backup.example.org</server-hostname></client>
//! ```

use std::net::IpAddr;
use std::time::Duration;

use xml::Element;

use crate::Settings;
use crate::report::{Report, digits};
use crate::section::others;

/// All of `<client>`; several sections add up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The managers, the preferred one first, in the order of the file. Empty: this host is no agent.
    pub servers: Vec<Server>,
    /// Of every server.
    pub port: u16,
    /// The address that datagrams are sent from: `<local_ip>`, or `<bind_address>`, Samhain's word for it.
    pub local_ip: Option<IpAddr>,
    /// Time between keepalives.
    pub notify_time: Duration,
    /// Silence after which the manager counts as lost; above [`notify_time`](Self::notify_time).
    pub time_reconnect: Duration,
    /// Orders of the manager are not obeyed.
    pub disable_active_response: bool,
    /// Profiles of `agent.conf`, separated by commas.
    pub profile: Option<String>,
    /// Datagrams are encrypted with Blowfish instead of AES.
    pub blowfish: bool,
}

/// Where a manager is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// `server-ip`
    Address(IpAddr),
    /// `server-hostname`
    Name(String),
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            port: 1514,
            local_ip: None,
            notify_time: Duration::from_secs(600),
            time_reconnect: Duration::from_secs(1800),
            disable_active_response: false,
            profile: None,
            blowfish: false,
        }
    }
}

/// Checks the section, keeps it among the others, and types it.
pub(crate) fn read(section: &Element, settings: &mut Settings, report: &mut Report) {
    let errors = report.error_count();
    others::read(section, settings, report);
    if report.error_count() == errors {
        settings.client.add(section);
    }
}

impl Client {
    /// Reads a section that was found right.
    fn add(&mut self, section: &Element) {
        for child in &section.children {
            let value = child.text().trim().to_owned();
            let seconds = digits(&child.content).map(Duration::from_secs);
            match child.name.as_str() {
                "server-ip" => self.servers.extend(value.parse().map(Server::Address)),
                "server-hostname" if value.is_empty() => {}
                "server-hostname" => self.servers.push(Server::Name(value)),
                "port" => self.port = value.parse().unwrap_or(self.port),
                "local_ip" | "bind_address" => self.local_ip = value.parse().ok(),
                "notify_time" => self.notify_time = seconds.unwrap_or(self.notify_time),
                "time-reconnect" => self.time_reconnect = seconds.unwrap_or(self.time_reconnect),
                "disable-active-response" => self.disable_active_response = value == "yes",
                "config-profile" => self.profile = Some(value).filter(|value| !value.is_empty()),
                "crypto_method" => self.blowfish = value == "blowfish",
                _ => {}
            }
        }
        if self.time_reconnect <= self.notify_time {
            self.time_reconnect = self.notify_time * 3;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn client(inner: &str) -> Client {
        let text = format!("<ossec_config><client>{inner}</client></ossec_config>");
        crate::parse(text.as_bytes(), Path::new("ossec.conf")).unwrap().client
    }

    #[test]
    fn servers_keep_the_order_of_the_file() {
        let client = client(
            "<server-hostname>main.example.org</server-hostname><server-ip>10.0.0.2</server-ip>",
        );
        let names: Vec<String> = client.servers.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["main.example.org", "10.0.0.2"]);
        assert_eq!((client.port, client.blowfish), (1514, false));
    }

    #[test]
    fn a_time_to_reconnect_within_the_notify_time_becomes_three_of_it() {
        let client = client(
            "<server-ip>::1</server-ip><notify_time>700</notify_time><time-reconnect>700</time-reconnect>",
        );
        assert_eq!(client.time_reconnect.as_secs(), 2100);
    }

    #[test]
    fn the_address_to_send_from_has_two_names() {
        let client = client("<server-ip>10.0.0.1</server-ip><bind_address>10.0.0.9</bind_address>");
        assert_eq!(client.local_ip, Some("10.0.0.9".parse().unwrap()));
    }

    #[test]
    fn every_value_is_read() {
        let client = client(
            "<server-ip>10.0.0.1</server-ip><port>1515</port><local_ip>10.0.0.9</local_ip>\
             <disable-active-response>yes</disable-active-response>\
             <config-profile>web, db</config-profile><crypto_method>blowfish</crypto_method>",
        );
        assert_eq!(client.port, 1515);
        assert_eq!(client.local_ip, Some("10.0.0.9".parse().unwrap()));
        assert!(client.disable_active_response && client.blowfish);
        assert_eq!(client.profile.as_deref(), Some("web, db"));
    }
}
