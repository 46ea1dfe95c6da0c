//! The manager's UDP port: bound, by remoted, and how much its buffer has lost.

use std::fs;

use settings::Connection;

use super::Patient;
use super::finding::Finding;
use crate::control::status;

const PORT: &str = "port";
const BUFFER: &str = "socket buffers";
/// Room for some thousand datagrams.
const LEAST_BUFFER: u64 = 4 << 20;

/// A line of `/proc/net/udp`.
#[derive(Debug, PartialEq, Eq)]
struct Bound {
    port: u16,
    inode: u64,
    drops: u64,
}

pub(super) fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let remotes = patient.settings.iter().flat_map(|settings| &settings.remotes);
    let secure: Vec<u16> = remotes
        .filter(|remote| remote.connection == Connection::Secure)
        .map(|remote| remote.port)
        .collect();
    if secure.is_empty() {
        return vec![Finding::note(
            PORT,
            "looked for <remote> in etc/ossec.conf",
            "there is no <remote><connection>secure</connection>: agents are not heard",
            "Add one to hear agents.",
        )];
    }
    let table = bound();
    let pid = status::look(&patient.suite.root, "ossec-remoted").ok().flatten();
    let mut findings: Vec<Finding> =
        secure.into_iter().flat_map(|port| look(port, &table, pid)).collect();
    findings.push(buffer());
    findings
}

fn look(port: u16, table: &[Bound], pid: Option<u32>) -> Vec<Finding> {
    let tried = format!("looked for UDP port {port} in /proc/net/udp and udp6");
    let on_port: Vec<&Bound> = table.iter().filter(|bound| bound.port == port).collect();
    if on_port.is_empty() {
        return vec![Finding::problem(
            PORT,
            &tried,
            format!("nobody listens on UDP {port}: agents log (4101)"),
            "'ossec-control start'; a (1206) of ossec-remoted in logs/ossec.log says why it cannot listen.",
        )];
    }
    let own = pid.map(sockets_of).unwrap_or_default();
    if !on_port.iter().any(|bound| own.contains(&bound.inode)) {
        return vec![Finding::problem(
            PORT,
            &tried,
            format!("(1206) another program than ossec-remoted has UDP {port}"),
            format!(
                "'ss -lunp sport = :{port}' shows which: stop it, or give <remote> another <port> (and <client> of all agents)."
            ),
        )];
    }
    let mut findings =
        vec![Finding::fine(PORT, &tried, format!("ossec-remoted listens on UDP {port}"))];
    let drops: u64 = on_port.iter().map(|bound| bound.drops).sum();
    if drops > 0 {
        findings.push(Finding::note(
            BUFFER,
            &tried,
            format!("{drops} datagrams were lost since the start because the buffer was full"),
            "Raise net.core.rmem_max (sysctl -w net.core.rmem_max=134217728) and restart.",
        ));
    }
    findings
}

fn buffer() -> Finding {
    let tried = "read /proc/sys/net/core/rmem_max";
    let text = fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap_or_default();
    match text.trim().parse::<u64>() {
        Ok(max) if max < LEAST_BUFFER => Finding::note(
            BUFFER,
            tried,
            format!(
                "net.core.rmem_max is {max}: started without root, remoted gets no larger buffer"
            ),
            "sysctl -w net.core.rmem_max=134217728",
        ),
        Ok(max) => Finding::fine(BUFFER, tried, format!("net.core.rmem_max is {max}")),
        Err(_) => Finding::fine(BUFFER, tried, "it cannot be seen here"),
    }
}

fn bound() -> Vec<Bound> {
    let mut all = Vec::new();
    for name in ["/proc/net/udp", "/proc/net/udp6"] {
        let text = fs::read_to_string(name).unwrap_or_default();
        all.extend(text.lines().skip(1).filter_map(parse));
    }
    all
}

/// `  33: 00000000:05EA 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 12345 2 0000000000000000 0`
fn parse(line: &str) -> Option<Bound> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let port = u16::from_str_radix(words.get(1)?.rsplit_once(':')?.1, 16).ok()?;
    let inode = words.get(9)?.parse().ok()?;
    Some(Bound { port, inode, drops: words.get(12)?.parse().ok()? })
}

/// The inodes of a process's sockets.
fn sockets_of(pid: u32) -> Vec<u64> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let inode = |link: &str| link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    links.filter_map(|link| inode(link.to_str()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_is_read() {
        let line = "  33: 0100007F:05EA 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 12345 2 0000000000000000 9";
        assert_eq!(parse(line), Some(Bound { port: 1514, inode: 12345, drops: 9 }));
        assert_eq!(parse("  sl  local_address"), None);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let own = sockets_of(std::process::id());
        assert!(bound().iter().any(|bound| bound.port == port && own.contains(&bound.inode)));
    }
}
