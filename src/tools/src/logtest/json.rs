//! A verdict as one line of JSON, for programs.
//!
//! ```json
//! {"phase1":{"hostname":"web1","program_name":"sshd","log":"Failed password ..."},"decoder":"sshd",
//!  "fields":[["srcip","203.0.113.9"]],"rule":5716,"level":5,"groups":["syslog","sshd"],"alert":true}
//! ```
//!
//! Bytes that are no UTF-8 become `\udc80` to `\udcff`, from which Python and others get the byte back.

use rules::Engine;

use super::session::Verdict;

/// Appends the line, newline included.
pub(super) fn write(engine: &Engine, verdict: &Verdict, out: &mut Vec<u8>) {
    let event = &verdict.event;
    out.extend_from_slice(b"{\"phase1\":{\"hostname\":");
    string(event.hostname(), out);
    out.extend_from_slice(b",\"program_name\":");
    optional(event.program_name(), out);
    out.extend_from_slice(b",\"log\":");
    string(event.log(), out);
    out.extend_from_slice(b"},\"decoder\":");
    optional(engine.decoder_name(event).map(str::as_bytes), out);
    out.extend_from_slice(b",\"fields\":[");
    for (at, (label, value)) in engine.assignments(event).enumerate() {
        out.extend_from_slice(if at == 0 { b"[" } else { b",[" });
        string(label.as_bytes(), out);
        out.push(b',');
        string(value, out);
        out.push(b']');
    }
    out.push(b']');
    let rule = verdict.judgement.rule.map(|index| engine.rule(index));
    number(b"rule", rule.map(|rule| rule.id), out);
    number(b"level", rule.map(|rule| rule.level.into()), out);
    out.extend_from_slice(b",\"groups\":");
    match rule {
        None => out.extend_from_slice(b"null"),
        Some(rule) => {
            out.push(b'[');
            for (at, group) in rule.group_names().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                string(group, out);
            }
            out.push(b']');
        }
    }
    out.extend_from_slice(if verdict.judgement.log {
        b",\"alert\":true}\n"
    } else {
        b",\"alert\":false}\n"
    });
}

fn number(key: &[u8], value: Option<u32>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key);
    out.extend_from_slice(b"\":");
    match value {
        Some(value) => out.extend_from_slice(value.to_string().as_bytes()),
        None => out.extend_from_slice(b"null"),
    }
}

pub(super) fn optional(text: Option<&[u8]>, out: &mut Vec<u8>) {
    match text {
        Some(text) => string(text, out),
        None => out.extend_from_slice(b"null"),
    }
}

pub(super) fn string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                control if control < ' ' => {
                    out.extend_from_slice(format!("\\u{:04x}", u32::from(control)).as_bytes())
                }
                other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        for byte in chunk.invalid() {
            out.extend_from_slice(format!("\\udc{byte:02x}").as_bytes());
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_become_escapes_that_hold_them() {
        let mut out = Vec::new();
        string(b"\xC3\xA9\"\\\n\xFF\xC3", &mut out);
        assert_eq!(str::from_utf8(&out).unwrap(), r#""é\"\\\u000a\udcff\udcc3""#);
    }
}
