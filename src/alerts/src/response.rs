//! Active response: the messages by which analysis asks execd, here or on agents, to act on an alert.
//!
//! ```text
//! host-deny600 - 10.1.2.3 1700000007.8 5712 /var/log/auth.log -                              to execd of this host
//! (local_source) /var/log/auth.log ANN - host-deny0 - 10.1.2.3 1700000007.8 5712 /var/log... - to the agents
//! ```
//! Each ends in a NUL. What an event brings reaches a script's command line in the end, hence [`is_safe_user`] and
//! [`is_safe_address`]: a value of another shape starts nothing. Missing parts are `-` in both messages (the original
//! writes `(null)` into the second).

use crate::text::{write_id, write_number};
use crate::value::{Alert, Origin};

/// Longest message, NUL included.
pub const MAX_MESSAGE: usize = 1024;

/// One configured response, as far as messages need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Command name with its timeout in seconds: `host-deny600`.
    pub name: Vec<u8>,
    /// What the command wants to be told.
    pub expects: Expects,
    /// Where it runs.
    pub targets: Targets,
    /// The agent for [`Targets::agent`].
    pub agent_id: Option<Vec<u8>>,
}

/// What a command expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expects {
    /// A user name.
    pub user: bool,
    /// A source address.
    pub srcip: bool,
    /// A file name.
    pub filename: bool,
}

/// Where a response runs; several may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Targets {
    /// On this server.
    pub server: bool,
    /// Where the event was seen.
    pub local: bool,
    /// On one named agent.
    pub agent: bool,
    /// On every agent.
    pub all: bool,
}

/// What is to be sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// To execd of this host.
    pub here: Option<Vec<u8>>,
    /// To the agents, through remoted.
    pub agents: Option<Vec<u8>>,
}

/// Makes the messages of one response to one alert; empty when the alert lacks what the command expects, when that is
/// not safe to pass on, or when `is_allowed` says that the address is never to be acted against.
pub fn messages(
    response: &Response,
    alert: &Alert<'_>,
    is_allowed: &dyn Fn(&[u8]) -> bool,
) -> Messages {
    match Arguments::of(response, alert, is_allowed) {
        Some(arguments) => arguments.messages(response, alert),
        None => Messages::default(),
    }
}

/// Letters, digits and `._@?-`.
pub fn is_safe_user(user: &[u8]) -> bool {
    user.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"._@?-".contains(&byte))
}

/// Letters, digits and `.:_-`.
pub fn is_safe_address(address: &[u8]) -> bool {
    address.iter().all(|&byte| byte.is_ascii_alphanumeric() || b".:_-".contains(&byte))
}

struct Arguments<'a> {
    user: &'a [u8],
    srcip: &'a [u8],
    filename: Option<Vec<u8>>,
}

impl<'a> Arguments<'a> {
    fn of(
        response: &Response,
        alert: &Alert<'a>,
        is_allowed: &dyn Fn(&[u8]) -> bool,
    ) -> Option<Self> {
        let event = &alert.event;
        let mut arguments = Self { user: b"-", srcip: b"-", filename: None };
        if response.expects.user {
            arguments.user = [event.dstuser, event.srcuser]
                .into_iter()
                .flatten()
                .find(|user| !user.is_empty() && *user != b"-" && is_safe_user(user))?;
        }
        if response.expects.srcip {
            let address = event.srcip.filter(|ip| !ip.is_empty() && is_safe_address(ip))?;
            let address = address.strip_prefix(b"::ffff:").unwrap_or(address);
            if is_allowed(address) {
                return None;
            }
            arguments.srcip = address;
        }
        if response.expects.filename {
            arguments.filename = Some(escape_for_shell(event.file.as_ref()?.path));
        }
        Some(arguments)
    }

    fn messages(&self, response: &Response, alert: &Alert<'_>) -> Messages {
        let mut messages = Messages::default();
        let from_agent = Origin::of(alert.event.location).agent.is_some();
        let targets = response.targets;
        if targets.server || (targets.local && !from_agent) {
            messages.here = Some(finish(self.body(response, alert)));
        }
        let origin = targets.local && from_agent;
        if targets.all || targets.agent || origin {
            let mut message = Vec::new();
            if !from_agent {
                message.extend_from_slice(b"(local_source) ");
            }
            message.extend_from_slice(alert.event.location);
            message.push(b' ');
            message.push(if targets.all { b'A' } else { b'N' });
            message.push(if origin { b'R' } else { b'N' });
            message.push(if targets.agent { b'S' } else { b'N' });
            message.push(b' ');
            message.extend_from_slice(response.agent_id.as_deref().unwrap_or(b"-"));
            message.push(b' ');
            message.extend_from_slice(&self.body(response, alert));
            messages.agents = Some(finish(message));
        }
        messages
    }

    fn body(&self, response: &Response, alert: &Alert<'_>) -> Vec<u8> {
        let mut body = response.name.clone();
        body.push(b' ');
        body.extend_from_slice(self.user);
        body.push(b' ');
        body.extend_from_slice(self.srcip);
        body.push(b' ');
        write_id(alert, &mut body);
        body.push(b' ');
        write_number(alert.rule.id.into(), &mut body);
        body.push(b' ');
        body.extend_from_slice(alert.event.location);
        body.push(b' ');
        body.extend_from_slice(self.filename.as_deref().unwrap_or(b"-"));
        body
    }
}

fn finish(mut message: Vec<u8>) -> Vec<u8> {
    message.truncate(MAX_MESSAGE - 1);
    message.push(0);
    message
}

fn escape_for_shell(path: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(path.len());
    for &byte in path {
        if b"\\\"' \t;`><|#*[]{}&$!:()".contains(&byte) {
            escaped.push(b'\\');
        }
        escaped.push(byte);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{AlertId, Event, FileFacts, Rule};

    fn alert<'a>(location: &'a [u8], srcip: Option<&'a [u8]>, user: Option<&'a [u8]>) -> Alert<'a> {
        Alert {
            id: AlertId { epoch: 1_700_000_007, number: 8 },
            mail: false,
            rule: Rule {
                id: 5712,
                level: 10,
                comment: b"c",
                groups: b"g,",
                cve: None,
                info: None,
                mitre: &[],
                frequency: 0,
                fired: 0,
            },
            event: Event { location, srcip, dstuser: user, ..Event::default() },
            samples: Vec::new(),
        }
    }

    fn response(expects: Expects, targets: Targets) -> Response {
        Response { name: b"host-deny600".to_vec(), expects, targets, agent_id: None }
    }

    const SRCIP: Expects = Expects { user: false, srcip: true, filename: false };
    const LOCAL: Targets = Targets { server: false, local: true, agent: false, all: false };

    #[test]
    fn a_local_response_goes_to_execd_of_this_host() {
        let sent = messages(
            &response(SRCIP, LOCAL),
            &alert(b"/var/log/auth.log", Some(b"::ffff:10.1.2.3"), None),
            &|_| false,
        );
        assert_eq!(
            sent.here.unwrap(),
            b"host-deny600 - 10.1.2.3 1700000007.8 5712 /var/log/auth.log -\0"
        );
        assert_eq!(sent.agents, None);
    }

    #[test]
    fn a_local_response_to_an_agents_event_goes_back_to_that_agent() {
        let sent = messages(
            &response(SRCIP, LOCAL),
            &alert(b"(web01) 10.0.0.5->/x", Some(b"10.1.2.3"), None),
            &|_| false,
        );
        assert_eq!(sent.here, None);
        assert_eq!(
            sent.agents.unwrap(),
            b"(web01) 10.0.0.5->/x NRN - host-deny600 - 10.1.2.3 1700000007.8 5712 (web01) 10.0.0.5->/x -\0"
        );
    }

    #[test]
    fn values_that_could_reach_a_shell_start_nothing() {
        for srcip in [&b"1.2.3.4;reboot"[..], b"$(x)", b"a b", b""] {
            let sent =
                messages(&response(SRCIP, LOCAL), &alert(b"/x", Some(srcip), None), &|_| false);
            assert_eq!(sent, Messages::default());
        }
        let user = Expects { user: true, ..Expects::default() };
        for name in [&b"-"[..], b"", b"a'b", b"a b"] {
            let sent =
                messages(&response(user, LOCAL), &alert(b"/x", None, Some(name)), &|_| false);
            assert_eq!(sent, Messages::default());
        }
    }

    #[test]
    fn an_allowed_address_is_left_alone() {
        let sent = messages(
            &response(SRCIP, LOCAL),
            &alert(b"/x", Some(b"::ffff:10.1.2.3"), None),
            &|ip| ip == b"10.1.2.3",
        );
        assert_eq!(sent, Messages::default());
    }

    #[test]
    fn a_file_name_is_escaped() {
        let mut alert = alert(b"(web01) 10.0.0.5->syscheck", None, None);
        alert.event.file = Some(FileFacts { path: b"/etc/my $file", ..FileFacts::default() });
        let filename = Expects { filename: true, ..Expects::default() };
        let server = Targets { server: true, ..Targets::default() };
        let sent = messages(&response(filename, server), &alert, &|_| false);
        assert!(sent.here.unwrap().ends_with(b" /etc/my\\ \\$file\0"));
    }

    #[test]
    fn a_long_message_is_cut_and_still_ends_in_nul() {
        let location = vec![b'x'; 3000];
        let sent =
            messages(&response(Expects::default(), LOCAL), &alert(&location, None, None), &|_| {
                false
            });
        let here = sent.here.unwrap();
        assert_eq!((here.len(), here.last()), (MAX_MESSAGE, Some(&0)));
    }
}
