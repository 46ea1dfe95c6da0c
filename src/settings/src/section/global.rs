//! `<global>`: outputs, mail, the addresses that are never blocked.

use std::net::IpAddr;

use ipnet::IpNet;
use xml::Element;

use crate::report::{Report, shown};
use crate::section::alerts::not_built;

const NAMES: &[&str] = &[
    "email_notification",
    "email_to",
    "email_from",
    "email_reply_to",
    "email_idsname",
    "smtp_server",
    "helo_server",
    "email_maxperhour",
    "auth_smtp",
    "secure_smtp",
    "smtp_tls_verify",
    "smtp_port",
    "smtp_user",
    "smtp_password",
    "logall",
    "logall_json",
    "jsonout_output",
    "custom_alert_output",
    "integrity_checking",
    "rootkit_detection",
    "host_information",
    "stats",
    "memory_size",
    "white_list",
    "allow_list",
    "geoipdb",
    "geoip_db_path",
    "geoip6_db_path",
    "prelude_output",
    "prelude_profile",
    "prelude_log_level",
    "zeromq_output",
    "zeromq_uri",
    "zeromq_server_cert",
    "zeromq_client_cert",
    "compress_alerts",
    "md5_whitelist",
    "md5_allowlist",
];

/// Fewer remembered events would make correlation useless.
const MIN_MEMORY_SIZE: usize = 2048;

/// Options of the whole suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Global {
    /// Whether mail is sent.
    pub email_notification: bool,
    /// How mail is sent.
    pub mail: Mail,
    /// Whether each event goes to `logs/archives/archives.log`.
    pub logall: bool,
    /// Whether each event goes to `logs/archives/archives.json`.
    pub logall_json: bool,
    /// Whether alerts go to `logs/alerts/alerts.json`, too.
    pub jsonout_output: bool,
    /// Format of a line for each alert, instead of the text form.
    pub custom_alert_output: Option<Vec<u8>>,
    /// Level of integrity events, 0 to 15.
    pub integrity_checking: u8,
    /// Level of rootkit events, 0 to 15.
    pub rootkit_detection: u8,
    /// Level of host information events, 0 to 15.
    pub host_information: u8,
    /// Level of alerts about the hourly number of events; 0 is off.
    pub stats: u8,
    /// Events that are remembered for correlation; at least 2048.
    pub memory_size: usize,
    /// Never blocked by active response.
    pub allow_list: AllowList,
}

/// Mail settings of `<global>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Recipients.
    pub to: Vec<String>,
    /// Sender.
    pub from: Option<String>,
    /// Address for replies.
    pub reply_to: Option<String>,
    /// Name of this installation in the header.
    pub idsname: Option<String>,
    /// Host, address, or the path of a program like sendmail.
    pub server: Option<String>,
    /// Name that is told to the server.
    pub helo: String,
    /// Mails in an hour before they are gathered, 1 to 9999.
    pub max_per_hour: u16,
    /// Port, if not the usual one.
    pub port: Option<u16>,
    /// Whether to log in.
    pub auth: bool,
    /// Whether to use TLS.
    pub secure: bool,
    /// Whether to verify the server's certificate.
    pub tls_verify: bool,
    /// User to log in as.
    pub user: Option<String>,
    /// Password to log in with.
    pub password: Option<String>,
}

/// Addresses and names that active response leaves alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList {
    /// Addresses and networks.
    pub nets: Vec<IpNet>,
    /// Everything else, as given: names of hosts.
    pub hosts: Vec<String>,
}

impl AllowList {
    /// Whether the address (or name) is on the list. An IPv4 address in IPv6 form counts as IPv4.
    pub fn contains(&self, source: &str) -> bool {
        if self.hosts.iter().any(|host| host.eq_ignore_ascii_case(source)) {
            return true;
        }
        let Ok(address) = source.parse::<IpAddr>() else { return false };
        let address = address.to_canonical();
        self.nets.iter().any(|net| net.contains(&address))
    }

    fn add(&mut self, entry: &str) {
        let net = entry
            .parse()
            .ok()
            .or_else(|| entry.parse().ok().map(|a: IpAddr| IpNet::from(a.to_canonical())));
        match net {
            Some(net) => self.nets.push(net),
            None => self.hosts.push(entry.to_owned()),
        }
    }
}

impl Default for Global {
    fn default() -> Self {
        Self {
            email_notification: false,
            mail: Mail::default(),
            logall: false,
            logall_json: false,
            jsonout_output: false,
            custom_alert_output: None,
            integrity_checking: 8,
            rootkit_detection: 8,
            host_information: 8,
            stats: 4,
            memory_size: 8192,
            allow_list: AllowList::default(),
        }
    }
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            to: Vec::new(),
            from: None,
            reply_to: None,
            idsname: None,
            server: None,
            helo: "notify.ossec.net".to_owned(),
            max_per_hour: 12,
            port: None,
            auth: false,
            secure: false,
            tls_verify: true,
            user: None,
            password: None,
        }
    }
}

impl Global {
    pub(crate) fn read(&mut self, section: &Element, report: &mut Report) {
        for child in report.leaves(section, NAMES, &[]) {
            match child.name.as_str() {
                "email_notification" => report.yes_no(child, &mut self.email_notification),
                "logall" => report.yes_no(child, &mut self.logall),
                "logall_json" => report.yes_no(child, &mut self.logall_json),
                "jsonout_output" => report.yes_no(child, &mut self.jsonout_output),
                "custom_alert_output" => self.custom_alert_output = Some(child.content.clone()),
                "integrity_checking" => report.number(child, 0..=15, &mut self.integrity_checking),
                "rootkit_detection" => report.number(child, 0..=15, &mut self.rootkit_detection),
                "host_information" => report.number(child, 0..=15, &mut self.host_information),
                "stats" => report.number(child, 0..=15, &mut self.stats),
                "memory_size" => self.read_memory_size(child, report),
                "white_list" | "allow_list" => {
                    if let Some(entry) = report.filled(child) {
                        self.allow_list.add(entry.trim());
                    }
                }
                "prelude_output" | "zeromq_output" => not_built(child, report),
                "prelude_log_level" => report.number(child, 0..=u64::from(u8::MAX), &mut 0_u8),
                // Paths and names of libraries that this suite does not use; compress_alerts never did anything.
                "geoipdb" | "geoip_db_path" | "geoip6_db_path" | "prelude_profile"
                | "zeromq_uri" | "zeromq_server_cert" | "zeromq_client_cert"
                | "compress_alerts" | "md5_whitelist" | "md5_allowlist" => {}
                _ => self.mail.read(child, report),
            }
        }
    }

    fn read_memory_size(&mut self, child: &Element, report: &mut Report) {
        report.number(child, 0..=100_000_000, &mut self.memory_size);
        self.memory_size = self.memory_size.max(MIN_MEMORY_SIZE);
    }
}

impl Mail {
    fn read(&mut self, child: &Element, report: &mut Report) {
        match child.name.as_str() {
            "email_to" => self.to.extend(email_address(child, report)),
            "email_from" => self.from = report.text(child),
            "email_reply_to" => self.reply_to = report.text(child),
            "email_idsname" => self.idsname = report.text(child),
            "smtp_server" => self.server = report.filled(child),
            "helo_server" => self.helo = report.filled(child).unwrap_or_default(),
            "email_maxperhour" => report.number(child, 1..=9999, &mut self.max_per_hour),
            "auth_smtp" => report.yes_no(child, &mut self.auth),
            "secure_smtp" => report.yes_no(child, &mut self.secure),
            "smtp_tls_verify" => report.yes_no(child, &mut self.tls_verify),
            "smtp_port" => {
                let mut port = 0_u16;
                report.number(child, 1..=65535, &mut port);
                self.port = Some(port);
            }
            "smtp_user" => self.user = report.text(child),
            "smtp_password" => self.password = report.text(child),
            _ => {}
        }
    }
}

/// The address, if it has a plausible character on both sides of an `@`.
pub(crate) fn email_address(element: &Element, report: &mut Report) -> Option<String> {
    let plausible = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let around_at = |window: &[u8]| matches!(window, [before, b'@', after] if plausible(*before) && plausible(*after));
    if element.content.windows(3).any(around_at) {
        return report.text(element);
    }
    let text = format!("Invalid Email address: {}.", shown(&element.text()));
    report.error(None, element, text, "expected name@domain");
    None
}
