//! `snort-full`: Snort's full alert file. One event a block.
//!
//! ```text
//! [**] [1:469:3] ICMP PING NMAP [**]
//! [Classification: Attempted Information Leak] [Priority: 2]
//! 11/21-10:00:00.000000 10.0.0.1 -> 10.0.0.2
//! ICMP TTL:54 TOS:0x0 ID:1234
//!   ->  [**] [1:469:3] ICMP PING NMAP [**] [Classification: Attempted Information Leak] [Priority: 2] 10.0.0.1 -> 10.0.0.2
//! ```
//! A block without a classification gets `[Classification: Preprocessor] [Priority: 3]` (with its own priority if it has
//! one). What follows the line of addresses is no event. A block that breaks off is passed on as far as it came, and complained about.

use memchr::memmem;
use wire::Kind;

use super::joiner::Joiner;
use super::{Format, Line, Records};

const BAD: &str = "ERROR: Bad formatted snort full file.";

/// Snort's full alert file.
#[derive(Default)]
pub(super) struct SnortFull {
    event: Joiner,
    classified: bool,
}

impl Format for SnortFull {
    fn line(&mut self, line: &Line<'_>, out: &mut Records) {
        let text = line.bytes.trim_ascii_end();
        if text.starts_with(b"[**] [") {
            self.give_up(out);
            self.event.add(Kind::Log, line, text, out);
            self.classified = false;
        } else if self.event.is_empty() {
            out.filter(Some(line.end));
        } else if !self.classified && text.starts_with(b"[Classification:") {
            self.event.add(Kind::Log, line, text, out);
            self.classified = true;
        } else if !self.classified && text.starts_with(b"[Priority: ") {
            self.event.add(
                Kind::Log,
                line,
                &[b"[Classification: Preprocessor] ", text].concat(),
                out,
            );
            self.classified = true;
        } else if let Some(addresses) = addresses(text) {
            if !self.classified {
                self.event.add(
                    Kind::Log,
                    line,
                    b"[Classification: Preprocessor] [Priority: 3]",
                    out,
                );
            }
            self.event.add(Kind::Log, line, addresses, out);
            self.event.flush(Kind::Log, out);
        } else {
            self.give_up(out);
            out.filter(Some(line.end));
        }
    }
}

impl SnortFull {
    fn give_up(&mut self, out: &mut Records) {
        if !self.event.is_empty() {
            out.complaint = Some(BAD);
            self.event.flush(Kind::Log, out);
        }
    }
}

/// `10.0.0.1 -> 10.0.0.2` of `11/21-10:00:00.000000 10.0.0.1 -> 10.0.0.2`.
fn addresses(text: &[u8]) -> Option<&[u8]> {
    let space = memchr::memchr(b' ', text)?;
    let (date, rest) = (&text[..space], &text[space + 1..]);
    let is_date = date.first().is_some_and(u8::is_ascii_digit);
    (is_date && memmem::find(rest, b" -> ").is_some()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::super::laws::{payloads, run};
    use super::*;

    #[test]
    fn a_block_is_an_event() {
        let text = b"[**] [1:469:3] PING [**]\n[Classification: Leak] [Priority: 2] \n11/21-10:00:00.0 10.0.0.1 -> 10.0.0.2\nICMP TTL:54\n\n";
        let expected =
            ["[**] [1:469:3] PING [**] [Classification: Leak] [Priority: 2] 10.0.0.1 -> 10.0.0.2"];
        assert_eq!(payloads(&mut SnortFull::default(), text), expected);
    }

    #[test]
    fn a_block_without_classification_gets_one() {
        let expected = [
            "[**] [116:55:1] X [**] [Classification: Preprocessor] [Priority: 3] 10.0.0.3:80 -> 10.0.0.4:99",
        ];
        let with_priority =
            b"[**] [116:55:1] X [**]\n[Priority: 3] \n11/21-10:00:01 10.0.0.3:80 -> 10.0.0.4:99\n";
        assert_eq!(payloads(&mut SnortFull::default(), with_priority), expected);
        let without = b"[**] [116:55:1] X [**]\n11/21-10:00:01 10.0.0.3:80 -> 10.0.0.4:99\n";
        assert_eq!(payloads(&mut SnortFull::default(), without), expected);
    }

    #[test]
    fn a_block_that_breaks_off_is_passed_on_and_complained_about() {
        let out = run(&mut SnortFull::default(), b"[**] [1:2:3] X [**]\nwhat is this\n", false);
        assert_eq!(out.ready[0].payload, b"[**] [1:2:3] X [**]");
        assert_eq!(out.complaint, Some(BAD));
    }
}
