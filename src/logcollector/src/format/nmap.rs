//! `nmapg`: nmap's grepable output. One event a scanned host, with its open ports.
//!
//! ```text
//! Host: 10.0.0.5 (web)<tab>Ports: 22/open/tcp//ssh///, 25/filtered/tcp//smtp///<tab>Ignored ...
//!    ->  Host: 10.0.0.5 (web), open ports: 22(tcp)
//! ```
//! Comments and `Status` lines are no events.

use memchr::memmem;
use wire::Kind;

use super::{Format, Line, Records};

/// nmap's grepable output.
pub(super) struct Nmap;

impl Format for Nmap {
    fn line(&mut self, line: &Line<'_>, out: &mut Records) {
        let text = line.bytes.trim_ascii_end();
        let is_host = text.starts_with(b"Host: ");
        if text.is_empty()
            || text.starts_with(b"#")
            || (is_host && memmem::find(text, b"Status:").is_some())
        {
            return out.filter(Some(line.end));
        }
        match is_host.then(|| open_ports(text)).flatten() {
            Some(event) => out.emit(Kind::HostInfo, event, line.end),
            None => out.malformed("Bad formatted nmap grepable file.", Some(line.end)),
        }
    }
}

fn open_ports(text: &[u8]) -> Option<Vec<u8>> {
    let ports_at = memmem::find(text, b"\tPorts: ")?;
    let (host, ports) = (&text[..ports_at], &text[ports_at + b"\tPorts: ".len()..]);
    let ports = ports.split(|&b| b == b'\t').next()?;
    let mut event = host.to_vec();
    event.extend_from_slice(b", open ports:");
    for port in ports.split(|&b| b == b',') {
        let mut fields = port.trim_ascii().split(|&b| b == b'/');
        let (number, state, protocol) = (fields.next()?, fields.next()?, fields.next()?);
        if state == b"open" {
            event.extend_from_slice(&[b" ", number, b"(", protocol, b")"].concat());
        }
    }
    Some(event)
}

#[cfg(test)]
mod tests {
    use super::super::laws::{lines, payloads, run};
    use super::*;

    const TEXT: &[u8] = b"# Nmap comment\nHost: 10.0.0.5 (web)\tPorts: 22/open/tcp//ssh///, 25/filtered/tcp//smtp///, 80/open/tcp//http///\tIgnored\nHost: 10.0.0.6 ()\tStatus: Up\n";

    #[test]
    fn open_ports_only() {
        assert_eq!(
            payloads(&mut Nmap, TEXT),
            ["Host: 10.0.0.5 (web), open ports: 22(tcp) 80(tcp)"]
        );
        assert_eq!(lines(&mut Nmap, TEXT)[0].kind, Kind::HostInfo);
    }

    #[test]
    fn another_line_is_complained_about_and_counted() {
        let out = run(&mut Nmap, b"Host: 10.0.0.5 (web)\tPorts: 22\nwhatever\n", false);
        assert_eq!((out.ready.len(), out.malformed), (0, 2));
        assert_eq!(out.complaint, Some("Bad formatted nmap grepable file."));
    }
}
