//! The sections that later programs will type: their names and simple values, as one table, and what must come together.

use std::net::IpAddr;

use ipnet::IpNet;
use xml::Element;

use crate::Settings;
use crate::report::{Report, shown};
use crate::section::global::email_address;

/// What a value must look like.
enum Kind {
    YesNo,
    Number(u64, u64),
    Any,
    OneOf(&'static [&'static str]),
    OneOfAnyCase(&'static [&'static str]),
    Email,
    Address,
    Network,
    RemotePort,
}

use Kind::{Address, Any, Email, Network, Number, OneOf, OneOfAnyCase, RemotePort, YesNo};

type Fields = &'static [(&'static str, Kind)];

const MAX: u64 = u32::MAX as u64;

const REMOTE: Fields = &[
    ("connection", OneOfAnyCase(&["syslog", "secure"])),
    ("port", RemotePort),
    ("protocol", OneOfAnyCase(&["tcp", "udp"])),
    ("ipv6", OneOfAnyCase(&["yes", "no"])),
    ("local_ip", Address),
    ("allowed-ips", Network),
    ("denied-ips", Network),
    ("crypto_accept", OneOfAnyCase(&["blowfish", "aes", "both", "any"])),
    ("pin_crypto", YesNo),
    ("check_names", YesNo),
    ("lookup_severity", OneOf(super::remote::Severity::WORDS)),
    ("client_from_accept", YesNo),
    ("client_time_limit", Number(0, MAX)),
];

const CLIENT: Fields = &[
    ("server-ip", Address),
    ("server-hostname", Any),
    ("port", Number(1, 65535)),
    ("local_ip", Address),
    ("bind_address", Address),
    ("notify_time", Number(1, MAX)),
    ("time-reconnect", Number(1, MAX)),
    ("disable-active-response", YesNo),
    ("config-profile", Any),
    ("crypto_method", OneOf(&["aes", "blowfish"])),
];

const SYSLOG_OUTPUT: Fields = &[
    ("server", Any),
    ("port", Number(1, 65535)),
    ("format", OneOf(&["default", "cef", "json", "splunk"])),
    ("level", Number(0, 16)),
    ("rule_id", Any),
    ("group", Any),
    ("location", Any),
    ("use_fqdn", YesNo),
    ("protocol", OneOf(&["udp", "tcp"])),
    ("tls", YesNo),
    ("tls_verify", YesNo),
    ("tls_ca", Any),
];

const EMAIL_ALERTS: Fields = &[
    ("email_to", Email),
    ("level", Number(0, 16)),
    ("rule_id", Any),
    ("group", Any),
    ("event_location", Any),
    ("do_not_delay", Any),
    ("do_not_group", Any),
    ("format", OneOf(&["default"])),
];

const DATABASE_OUTPUT: Fields = &[
    ("type", OneOf(&["mysql", "postgresql"])),
    ("hostname", Any),
    ("username", Any),
    ("password", Any),
    ("database", Any),
    ("port", Number(1, 65535)),
    ("socket", Any),
];

const REPORTS: Fields = &[
    ("title", Any),
    ("type", OneOf(&["email"])),
    ("frequency", Any),
    ("showlogs", YesNo),
    ("category", Any),
    ("group", Any),
    ("rule", Any),
    ("level", Any),
    ("location", Any),
    ("srcip", Any),
    ("user", Any),
    ("email_to", Email),
];
/// The filters of a report take `type="relation"`.
const REPORT_FILTERS: &[&str] =
    &["category", "group", "rule", "level", "location", "srcip", "user"];

const AGENTLESS: Fields = &[
    ("type", Any),
    ("frequency", Number(1, MAX)),
    ("host", Any),
    ("state", OneOf(&["periodic", "periodic_diff", "stay_connected"])),
    ("arguments", Any),
    ("port", Number(1, 65535)),
    ("run_command", Any),
];

/// Checks one section and keeps it as it is.
pub(crate) fn read(section: &Element, settings: &mut Settings, report: &mut Report) {
    let errors = report.error_count();
    let fields = fields_of(&section.name);
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let attributed = if section.name == "reports" { REPORT_FILTERS } else { &[] };
    for child in report.leaves(section, &names, attributed) {
        if attributed.contains(&child.name.as_str()) {
            report.only_attributes(child, &["type"]);
        }
        if let Some((_, kind)) = fields.iter().find(|(name, _)| *name == child.name) {
            kind.check(child, report);
        }
    }
    if report.error_count() == errors {
        check_whole(section, report);
    }
    settings.others.push(section.clone());
}

fn fields_of(section: &str) -> Fields {
    match section {
        "remote" => REMOTE,
        "client" => CLIENT,
        "syslog_output" => SYSLOG_OUTPUT,
        "email_alerts" => EMAIL_ALERTS,
        "database_output" => DATABASE_OUTPUT,
        "reports" => REPORTS,
        "agentless" => AGENTLESS,
        _ => &[],
    }
}

impl Kind {
    fn check(&self, child: &Element, report: &mut Report) {
        let value = child.text();
        match self {
            Any => {}
            YesNo => report.yes_no(child, &mut false),
            Number(from, to) => report.number(child, *from..=*to, &mut 0_u64),
            OneOf(known) if known.contains(&value.as_ref()) => {}
            OneOf(known) => report.invalid(child, format!("one of {}", known.join(", "))),
            OneOfAnyCase(known) => {
                if !known.iter().any(|known| known.eq_ignore_ascii_case(&value)) {
                    report.invalid(child, format!("one of {}", known.join(", ")));
                }
            }
            Email => {
                email_address(child, report);
            }
            Address if value.parse::<IpAddr>().is_ok() => {}
            Network if is_network(value.strip_prefix('!').unwrap_or(&value)) => {}
            Address | Network => {
                let text = format!("Invalid ip address: '{}'.", shown(&value));
                report.error(1237, child, text, "expected an IPv4 or IPv6 address");
            }
            RemotePort => check_remote_port(child, report),
        }
    }
}

fn is_network(value: &str) -> bool {
    value == "any" || value.parse::<IpNet>().is_ok() || value.parse::<IpAddr>().is_ok()
}

/// The sentence speaks of a default, but the configuration is refused; so it is in OSSEC.
fn check_remote_port(child: &Element, report: &mut Report) {
    let port = crate::report::digits(&child.content);
    match port {
        Some(1..=65535) => {}
        Some(port) => {
            let text = format!("No port specified. Using default: '{port}'.");
            report.error(1205, child, text, "expected a port, 1 to 65535");
        }
        None => report.invalid(child, "a port, 1 to 65535"),
    }
}

/// What a section needs to be of use.
fn check_whole(section: &Element, report: &mut Report) {
    let has = |name: &str| section.child(name).is_some();
    let has_all = |names: &[&str]| names.iter().all(|name| has(name));
    match section.name.as_str() {
        "remote" if !has("connection") => {
            let hint = "expected <connection>secure</connection> or syslog";
            report.error(1201, section, "No remote connection configured.", hint);
        }
        "syslog_output" => check_syslog_output(section, report),
        "email_alerts" => {
            let criteria =
                ["level", "rule_id", "group", "event_location", "do_not_delay", "do_not_group"];
            if !has("email_to") || !criteria.iter().any(|name| has(name)) {
                let text = "Invalid 'email_alerts' config (missing parameters).";
                let hint = "expected <email_to> and a criterion, such as <level>";
                report.error(1224, section, text, hint);
            }
        }
        "database_output"
            if !has_all(&["type", "hostname", "username", "password", "database"]) =>
        {
            let text = "Missing database configuration. It requires host, user, pass and database.";
            let hint = "expected type, hostname, username, password and database";
            report.error(5205, section, text, hint);
        }
        "agentless" if !has_all(&["type", "host", "state"]) => {
            let hint = "expected type, host and state";
            report.error(7103, section, "Missing agentless options.", hint);
        }
        _ => {}
    }
}

fn check_syslog_output(section: &Element, report: &mut Report) {
    let last = |name: &str| section.children.iter().rfind(|c| c.name == name).map(Element::text);
    let Some(server) = last("server") else {
        let text = "Invalid client-syslog configuration.";
        return report.error(5301, section, text, "expected <server>");
    };
    if last("tls").as_deref() == Some("yes") && last("protocol").as_deref() == Some("udp") {
        let text = "syslog_output tls=yes requires protocol=tcp (got protocol=udp).";
        report.error(None, section, text, "expected <protocol>tcp</protocol>, or none");
    }
    if server.contains('/') {
        let text = format!(
            "syslog_output server '{}' must be a hostname or IP address, not a network/CIDR.",
            shown(&server)
        );
        report.error(None, section, text, "expected one host");
    }
}
