//! Maintenance of a host: while its marker file is there, changed files become the baseline without an alert.
//!
//! ```text
//! queue/syscheck/.syscheck.maint         of the manager itself
//! queue/syscheck/.(web01) any.maint      of an agent
//!
//! #!maint
//! enabled_at=1795220266
//! pending_end=0
//! silent_updates=3
//! ```
//! Made by `agent_control -M`, counted and, after `-M end`, deleted by the analysis daemon. Whoever rewrites it holds a lock
//! (flock) on the folder. A marker without values is on since its last modification.

const MARK: &str = "#!maint";

/// What a marker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// Epoch seconds.
    pub enabled_at: i64,
    /// The next complete scan ends it.
    pub pending_end: bool,
    /// Changes that nobody was told of.
    pub silent_updates: u64,
}

impl Marker {
    /// A new one.
    pub fn since(enabled_at: i64) -> Self {
        Self { enabled_at, pending_end: false, silent_updates: 0 }
    }

    /// Reads a file; what is missing or garbled is 0, the time `modified`.
    pub fn parse(file: &[u8], modified: i64) -> Self {
        let mut marker = Self::since(modified);
        for line in file.split(|&b| b == b'\n') {
            let Ok(line) = std::str::from_utf8(line) else { continue };
            match line.trim().split_once('=') {
                Some(("enabled_at", value)) => {
                    marker.enabled_at = value.parse().unwrap_or(modified)
                }
                Some(("pending_end", value)) => marker.pending_end = value == "1",
                Some(("silent_updates", value)) => {
                    marker.silent_updates = value.parse().unwrap_or(0)
                }
                _ => (),
            }
        }
        marker
    }

    /// The file.
    pub fn to_text(&self) -> String {
        let Self { enabled_at, pending_end, silent_updates } = self;
        let pending_end = u8::from(*pending_end);
        format!(
            "{MARK}\nenabled_at={enabled_at}\npending_end={pending_end}\nsilent_updates={silent_updates}\n"
        )
    }

    /// As the tools show it: `Maint` or `Maint(pending-end)`.
    pub fn label(&self) -> &'static str {
        if self.pending_end { "Maint(pending-end)" } else { "Maint" }
    }
}

/// The host behind an event's location: `(web01) any` for `(web01) any->syscheck`, else `syscheck`.
pub fn host(location: &[u8]) -> &[u8] {
    match location.windows(2).position(|pair| pair == b"->") {
        Some(at) => &location[..at],
        None => b"syscheck",
    }
}

/// Name of a host's marker.
pub fn file_name(host: &[u8]) -> Vec<u8> {
    [b".", host, b".maint"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_read_back() {
        let marker = Marker { enabled_at: 1_795_220_266, pending_end: true, silent_updates: 3 };
        let text = marker.to_text();
        assert_eq!(text, "#!maint\nenabled_at=1795220266\npending_end=1\nsilent_updates=3\n");
        assert_eq!(Marker::parse(text.as_bytes(), 0), marker);
        for cut in 0..text.len() {
            let _ = Marker::parse(&text.as_bytes()[..cut], 7);
        }
    }

    #[test]
    fn a_bare_or_garbled_marker_is_on_since_its_time() {
        for text in [&b""[..], b"#!maint\n", b"enabled_at=x\nsilent_updates=-1\n\xff\n"] {
            assert_eq!(Marker::parse(text, 42), Marker::since(42), "{text:?}");
        }
    }

    #[test]
    fn hosts_are_found_in_locations() {
        assert_eq!(host(b"(web01) any->syscheck-registry"), b"(web01) any");
        assert_eq!(host(b"syscheck-registry"), b"syscheck");
        assert_eq!(file_name(b"(web01) any"), b".(web01) any.maint");
    }
}
