//! The agent's way to its managers: names, addresses, and a hello that only the holder of the key can answer.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use agents::{Agent, KeyStore};
use runtime::accounts;
use settings::{Client, Server};

use super::Patient;
use super::finding::Finding;
use crate::control::status;

const NAME: &str = "name resolution";
const WAY: &str = "way to the manager";
const ADDRESS: &str = "own address";
const HELLO: &str = "authenticated round trip";
const AGENTD: &str = "ossec-agentd";
/// SIGUSR1: agentd sends a keepalive at once.
const REPORT_NOW: i32 = 10;
const ANSWER: Duration = Duration::from_secs(6);
/// By then agentd has written what has changed; it does so each second.
const WRITTEN_BY: Duration = Duration::from_millis(1500);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Where ossec-authd listens; a refusal there is an answer too.
const ENROLMENT: u16 = 1515;

pub(super) fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let Some(client) = patient.settings.as_ref().map(|settings| &settings.client) else {
        return Vec::new();
    };
    let root = &patient.suite.root;
    let agent = KeyStore::at(root).read().ok().and_then(|file| file.agents().next().cloned());
    let mut findings = Vec::new();
    let mut reachable = Vec::new();
    for server in &client.servers {
        match find(server, client) {
            Ok(address) => {
                let (is_up, found) = way(client, server, address, agent.as_ref());
                findings.extend(found);
                if is_up {
                    reachable.push(server.to_string());
                }
            }
            Err(finding) => findings.push(*finding),
        }
    }
    if agent.is_some() {
        findings.extend(hello(root, &reachable));
    }
    findings
}

fn find(server: &Server, client: &Client) -> Result<SocketAddr, Box<Finding>> {
    let found = match server {
        Server::Address(ip) => return Ok(SocketAddr::new(*ip, client.port)),
        Server::Name(name) => (name.as_str(), client.port).to_socket_addrs(),
    };
    let fits =
        |address: &SocketAddr| client.local_ip.is_none_or(|ip| ip.is_ipv4() == address.is_ipv4());
    let why = match found.map(|mut all| all.find(fits)) {
        Ok(Some(address)) => return Ok(address),
        Ok(None) => "it has no address of the family of <local_ip>".to_owned(),
        Err(error) => error.to_string(),
    };
    let remedy = "Correct <server-hostname> in etc/ossec.conf, or the resolver (/etc/resolv.conf, /etc/hosts); or name the manager by <server-ip>.";
    let found = format!("(4104) Invalid hostname: '{server}' cannot be resolved: {why}");
    Err(Box::new(Finding::problem(NAME, &format!("looked up '{server}'"), found, remedy)))
}

/// Whether the host answers at all, and what was found.
fn way(
    client: &Client,
    server: &Server,
    address: SocketAddr,
    agent: Option<&Agent>,
) -> (bool, Vec<Finding>) {
    let tried = format!(
        "asked the kernel for the way to {address}, and TCP {ENROLMENT} there for a sign of life"
    );
    let own = match source(client, address) {
        Ok(own) => own,
        Err(error) => {
            let remedy = match client.local_ip {
                Some(ip) => format!(
                    "<local_ip>/<bind_address> {ip} must be an address of this host with a route to {server}."
                ),
                None => {
                    format!("Give this host a route to {server} ('ip route get {}').", address.ip())
                }
            };
            let found = format!("(1216) Unable to connect to '{server}': {error}");
            return (false, vec![Finding::problem(WAY, &tried, found, remedy)]);
        }
    };
    let mut findings = Vec::new();
    if let Some(agent) = agent {
        findings.push(compare(agent, own, server));
    }
    let sign = TcpStream::connect_timeout(
        &SocketAddr::new(address.ip(), ENROLMENT),
        Duration::from_secs(2),
    );
    let is_up = match sign {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::ConnectionRefused,
    };
    findings.push(if is_up {
        Finding::fine(WAY, &tried, format!("{server} is up, reached from {own}"))
    } else {
        Finding::note(
            WAY,
            &tried,
            format!("{server} gives no sign of life over TCP {ENROLMENT}"),
            "Nothing to do when the round trip below succeeds: a firewall may well drop TCP.",
        )
    });
    (is_up, findings)
}

/// Our address as the manager sees it, but for NAT.
fn source(client: &Client, address: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if address.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() };
    let socket = UdpSocket::bind((client.local_ip.unwrap_or(any), 0))?;
    socket.connect(address)?;
    Ok(socket.local_addr()?.ip())
}

fn compare(agent: &Agent, own: IpAddr, server: &Server) -> Finding {
    let tried = format!("compared our address towards {server} with the one in client.keys");
    let stored = agent.address.stored();
    if agent.address.matches(own) {
        return Finding::fine(ADDRESS, &tried, format!("{own} fits the key's address {stored}"));
    }
    Finding::problem(
        ADDRESS,
        &tried,
        format!(
            "wrong address: we send from {own}, the key is for {stored}: unless something translates it on the way, the manager logs (1213), (1403) or (1408) and is silent"
        ),
        format!(
            "On the manager: manage_agents, remove agent {} and add it with address {own} (or 'any', or a network), import the new key here; or set <bind_address> to the address that the key is for.",
            agent.id
        ),
    )
}

fn hello(root: &Path, reachable: &[String]) -> Vec<Finding> {
    match status::look(root, AGENTD).ok().flatten() {
        Some(pid) => vec![by_daemon(root, pid, reachable)],
        None => by_ourselves(root, reachable),
    }
}

/// The daemon's link: it is asked to report, and counts the answer.
fn by_daemon(root: &Path, pid: u32, reachable: &[String]) -> Finding {
    let tried = "asked the running agentd for a keepalive (SIGUSR1), watched its count of authentic answers";
    let account = |key: &str| {
        let all = accounts::read(root, AGENTD).unwrap_or_default();
        all.iter().find(|(name, _)| name == key).map_or(0, |(_, value)| *value)
    };
    if account("cloned") > 0 && account("connected") == 0 {
        let remedy = "On the copy: stop the suite, remove etc/client.keys and queue/rids/*, enrol it under another name, start it.";
        let found = "the manager refuses this agent: another host uses its key";
        return Finding::problem(HELLO, tried, found, remedy);
    }
    // What it last wrote may be older than an answer that has come since: only what is counted from here on answers our question.
    let written = || accounts::written_at(root, AGENTD).ok();
    let (last, asked) = (written(), Instant::now());
    while written() == last && asked.elapsed() < WRITTEN_BY {
        thread::sleep(LOOK_AGAIN);
    }
    let before = account("acks");
    let began = Instant::now();
    if let Err(error) = sys::process::kill(pid, REPORT_NOW) {
        let found = format!("agentd (process {pid}) cannot be asked: {error}");
        return Finding::note(HELLO, tried, found, "Run this as root.");
    }
    while began.elapsed() < ANSWER {
        if account("connected") == 1 && account("acks") > before {
            let rest = if account("suspended") == 1 {
                "; the agent is suspended (SIGUSR2 resumes)"
            } else {
                ""
            };
            return Finding::fine(HELLO, tried, format!("the manager answers{rest}"));
        }
        thread::sleep(LOOK_AGAIN);
    }
    let waiting = account("waiting");
    let found = format!(
        "(4101) Waiting for server reply: no authentic answer in {} s; {waiting} events wait in the spool",
        ANSWER.as_secs()
    );
    Finding::problem(HELLO, tried, found, silence(reachable))
}

/// A hello of agentd's own, since the daemon does not run.
fn by_ourselves(root: &Path, reachable: &[String]) -> Vec<Finding> {
    let tried = "agentd does not run: sent each manager one hello (ossec-agentd --ask)";
    let mut command = Command::new(root.join("bin").join(AGENTD));
    command.args(["--ask", "-D"]).arg(root).env_remove("NOTIFY_SOCKET").stdin(Stdio::null());
    let output = match command.stderr(Stdio::null()).output() {
        Ok(output) if output.status.success() => output,
        _ => {
            let found = "ossec-agentd could not ask; logs/ossec.log says why";
            return vec![Finding::problem(HELLO, tried, found, "Correct what the log names.")];
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(|line| judge(line, tried, reachable)).collect()
}

/// `10.0.0.1 silent 2 hellos, 2 s each`
fn judge(line: &str, tried: &str, reachable: &[String]) -> Option<Finding> {
    let (server, rest) = line.split_once(' ')?;
    let (word, detail) = rest.split_once(' ').unwrap_or((rest, ""));
    let problem = |found: String, remedy: String| Finding::problem(HELLO, tried, found, remedy);
    Some(match word {
        "answered" => Finding::fine(HELLO, tried, format!("'{server}' answers {detail}")),
        "closed" => problem(format!("(1216) '{server}': {detail}"), closed()),
        "refused" => problem(
            format!("'{server}' answers, but not with our key or by old numbers: {detail}"),
            "Compare the key's sum above with the manager's; if the manager was restored, remove queue/rids/<our id> here while agentd is stopped.".to_owned(),
        ),
        "blocked" => problem(
            format!("firewall: this host does not let UDP to '{server}' out: {detail}"),
            "Allow it in this host's own rules: 'nft list ruleset', 'iptables -S OUTPUT'.".to_owned(),
        ),
        "silent" => problem(
            format!("(1301), (4101) '{server}' does not answer: {detail}"),
            silence(reachable),
        ),
        "unresolved" => return None,
        _ => problem(
            format!("(1216) '{server}' cannot be reached: {detail}"),
            "Check routes and <bind_address>.".to_owned(),
        ),
    })
}

fn closed() -> String {
    "Start the manager there (ossec-control start: is ossec-remoted among its daemons, does its <remote> have this <port>?).".to_owned()
}

/// What silence may mean, the likelier first: a manager is silent towards whom it cannot authenticate.
fn silence(reachable: &[String]) -> String {
    let firewall = "a firewall drops UDP 1514 (look at 'nft list ruleset' on both hosts and between: agent to manager, and answers back)";
    let key = "the key is another one than the manager's (there: (1403), (1404) or (1408) in logs/ossec.log; compare the sums that 'diagnose' shows, import it again with manage_agents)";
    let daemon = "ossec-remoted does not run there ('ossec-control diagnose' on the manager)";
    if reachable.is_empty() {
        format!("One of: {firewall}; {daemon}; {key}.")
    } else {
        format!("The host itself is up. One of: {key}; {firewall}; {daemon}.")
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn each_answer_of_a_hello_has_its_finding() {
        for (word, number) in [
            ("closed", "(1216)"),
            ("refused", "old numbers"),
            ("blocked", "firewall"),
            ("silent", "(4101)"),
            ("unreachable", "(1216)"),
        ] {
            let finding = judge(&format!("10.0.0.1 {word} so"), "", &[]).unwrap();
            assert_eq!(finding.state, State::Problem, "{word}");
            assert!(finding.found.contains(number) && !finding.remedy.is_empty(), "{word}");
        }
        assert_eq!(judge("m answered after 3 ms", "", &[]).unwrap().state, State::Fine);
        assert_eq!(judge("m unresolved x", "", &[]), None);
        assert_eq!(judge("", "", &[]), None);
    }
}
