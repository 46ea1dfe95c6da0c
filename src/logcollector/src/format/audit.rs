//! `audit`: the kernel's audit log. Consecutive lines with the same id are one event, joined by single spaces.
//!
//! ```text
//! type=SYSCALL msg=audit(1364481363.243:24287): arch=c000003e ...
//! type=CWD msg=audit(1364481363.243:24287):  cwd="/home/shadowman"
//! ```
//! An event has at most 16 lines. The original throws further ones away; here they go on as another event. A file at rest
//! ends an event.

use memchr::memmem;
use wire::Kind;

use super::joiner::Joiner;
use super::{Format, Line, Records};

const MAX_LINES: u32 = 16;

/// The kernel's audit log.
#[derive(Default)]
pub(super) struct Audit {
    id: Vec<u8>,
    event: Joiner,
}

impl Format for Audit {
    fn line(&mut self, line: &Line<'_>, out: &mut Records) {
        let Some(id) = id(line.bytes) else {
            self.event.flush(Kind::Log, out);
            return out.malformed(
                "ERROR: discarding audit message because of invalid syntax",
                Some(line.end),
            );
        };
        if self.id != id || self.event.lines() >= MAX_LINES {
            self.event.flush(Kind::Log, out);
            self.id = id.to_vec();
        }
        self.event.add(Kind::Log, line, line.bytes, out);
    }

    fn rest(&mut self, out: &mut Records) {
        self.event.flush(Kind::Log, out);
    }
}

/// `1364481363.243:24287` of `type=X msg=audit(1364481363.243:24287): ...`.
fn id(line: &[u8]) -> Option<&[u8]> {
    let after_type = line.strip_prefix(b"type=")?;
    let start = memmem::find(after_type, b" msg=audit(")? + b" msg=audit(".len();
    let length = memmem::find(&after_type[start..], b"): ")?;
    Some(&after_type[start..start + length])
}

#[cfg(test)]
mod tests {
    use super::super::laws::{payloads_at_rest, run};
    use super::*;

    #[test]
    fn lines_of_one_id_are_one_event() {
        let text = b"type=A msg=audit(1.2:3): a\ntype=B msg=audit(1.2:3):  b\ntype=C msg=audit(1.2:4): c\n";
        let expected = [
            "type=A msg=audit(1.2:3): a type=B msg=audit(1.2:3):  b",
            "type=C msg=audit(1.2:4): c",
        ];
        assert_eq!(payloads_at_rest(&mut Audit::default(), text), expected);
    }

    #[test]
    fn the_seventeenth_line_begins_another_event() {
        let text = "type=A msg=audit(1.2:3): a\n".repeat(17);
        let events = payloads_at_rest(&mut Audit::default(), text.as_bytes());
        assert_eq!(events.len(), 2);
        assert_eq!(events[1], "type=A msg=audit(1.2:3): a");
    }

    #[test]
    fn a_line_of_another_kind_ends_the_event_and_is_counted() {
        let out = run(&mut Audit::default(), b"type=A msg=audit(1.2:3): a\nnoise\n", false);
        assert_eq!((out.ready.len(), out.malformed), (1, 1));
    }
}
