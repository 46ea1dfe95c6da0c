//! Who has a port: from the kernel's tables of sockets to the process that holds one, below `/proc`.
//!
//! ```text
//!   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
//!  712: 00000000:05EA 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 48213 2 0 0
//! ```

use std::fs;
use std::path::Path;

use settings::Protocol;

/// The process with a socket on this port, for instance `ossec-remoted (pid 4711)`; `None`: not to be seen from here, for want of
/// power or because it is in another namespace.
pub fn of(port: u16, protocol: Protocol) -> Option<String> {
    let tables = match protocol {
        Protocol::Udp => ["net/udp", "net/udp6"],
        Protocol::Tcp => ["net/tcp", "net/tcp6"],
    };
    let proc = Path::new("/proc");
    let table: String =
        tables.iter().filter_map(|name| fs::read_to_string(proc.join(name)).ok()).collect();
    let targets: Vec<String> =
        inodes(&table, port).iter().map(|inode| format!("socket:[{inode}]")).collect();
    if targets.is_empty() {
        return None;
    }
    let processes = fs::read_dir(proc).ok()?.filter_map(Result::ok);
    // Not `self`: the number is wanted.
    processes.filter(|process| holds(&process.path(), &targets)).find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(process.path().join("comm")).ok()?;
        Some(format!("{} (pid {pid})", name.trim().escape_default()))
    })
}

fn holds(process: &Path, targets: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    descriptors.filter_map(Result::ok).any(|descriptor| {
        let link = fs::read_link(descriptor.path()).ok();
        link.as_deref()
            .and_then(Path::to_str)
            .is_some_and(|link| targets.iter().any(|target| target == link))
    })
}

/// The inodes of sockets on a port; of TCP, those that listen.
fn inodes(table: &str, port: u16) -> Vec<u64> {
    // "Unconnected" of UDP, "listen" of TCP.
    const STATES: [&str; 2] = ["07", "0A"];
    let of_line = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (_, hex) = fields.get(1)?.rsplit_once(':')?;
        let is_it = u16::from_str_radix(hex, 16) == Ok(port) && STATES.contains(fields.get(3)?);
        fields.get(9).filter(|_| is_it)?.parse().ok()
    };
    table.lines().filter_map(of_line).filter(|&inode| inode != 0).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn a_port_leads_to_its_inode() {
        let table = "  sl  local_address rem_address st ...\n\
            712: 00000000:05EA 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 48213 2 0 0\n\
            713: 00000000000000000000000000000000:05EA 0:0 0A 0:0 00:0 0 0 0 99 1\n\
            714: 00000000:05EB 00000000:0000 07 0:0 00:0 0 0 0 77 2\n\
            715: 0100007F:05EA 0100007F:9999 01 0:0 00:0 0 0 0 55 2\n broken:05EA\n";
        assert_eq!(inodes(table, 1514), [48213, 99]);
        for cut in 0..table.len() {
            assert!(inodes(&table[..cut], 1514).len() <= 2);
        }
    }

    #[test]
    fn the_holder_of_a_socket_is_found() {
        let (udp, tcp) =
            (UdpSocket::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let pid = format!("(pid {})", std::process::id());
        for (port, protocol) in [
            (udp.local_addr().unwrap().port(), Protocol::Udp),
            (tcp.local_addr().unwrap().port(), Protocol::Tcp),
        ] {
            let holder = of(port, protocol).unwrap_or_default();
            assert!(holder.ends_with(&pid), "{holder}");
        }
    }
}
