//! Lines of JSON: each value of an object becomes a field, nested names joined by dots.
//!
//! `{"user":{"name":"bob"},"tags":["a","b"],"n":3}` has `user.name`, `tags` (its text, `["a","b"]`) and `n`. An array that
//! holds objects is taken apart by position: `hits.0.id`. What is no object from its first byte to its last has no fields.
//! The journal's own form (`journalctl -o json`) is a header: its `MESSAGE` is the log.

use std::ops::Range;

use crate::event::{Decoded, Field, Span};

/// Objects and arrays in each other.
const MAX_DEPTH: usize = 16;
/// Fields of one line; later ones are left out.
const MAX_FIELDS: usize = 256;
/// Bytes of a field's whole name; longer ones are left out.
const MAX_NAME: usize = 256;

/// What an object holds.
#[derive(Debug, Default)]
pub(crate) struct Object {
    names: Vec<u8>,
    leaves: Vec<Leaf>,
}

#[derive(Debug)]
struct Leaf {
    name: Range<usize>,
    /// In the text, without quotes.
    value: Range<usize>,
    /// The value has escapes.
    escaped: bool,
}

/// Reads a text that is one object, blanks around it apart.
pub(crate) fn parse(text: &[u8]) -> Option<Object> {
    let mut reader =
        Reader { text, at: 0, depth: 0, name: Vec::new(), found: Object::default(), silent: false };
    reader.blanks();
    if reader.peek()? != b'{' {
        return None;
    }
    reader.value()?;
    reader.blanks();
    (reader.at == text.len()).then_some(reader.found)
}

/// Gives the fields of the object in the event's log to the event; false if there is none.
pub(crate) fn decode(event: &mut Decoded) -> bool {
    let log = event.log();
    let Some(from) = memchr::memchr(b'{', log) else { return false };
    let Some(object) = log.get(from..).and_then(parse) else { return false };
    let base = event.log.start() + from;
    take(&object, base, event);
    true
}

/// A line of the journal gives log, program and host; true if it was one.
pub(crate) fn journal(event: &mut Decoded) -> bool {
    let log = event.log();
    if log.first() != Some(&b'{') || memchr::memmem::find(log, b"\"MESSAGE\"").is_none() {
        return false;
    }
    let Some(object) = parse(log) else { return false };
    let has = |name: &[u8]| object.leaves.iter().any(|leaf| object.name(leaf) == name);
    let is_journal = [&b"SYSLOG_IDENTIFIER"[..], b"_COMM", b"_HOSTNAME", b"__CURSOR"];
    if !has(b"MESSAGE") || !is_journal.into_iter().any(has) {
        return false;
    }
    let base = event.log.start();
    take(&object, base, event);
    let value = |name: &[u8]| {
        let found = event.named.iter().find(|(known, _)| known.of(&event.bytes) == Some(name));
        found.map(|(_, value)| *value).filter(|value| value.of(&event.bytes) != Some(b""))
    };
    let message = value(b"MESSAGE");
    let program = value(b"SYSLOG_IDENTIFIER").or_else(|| value(b"_COMM"));
    let host = value(b"_HOSTNAME");
    event.log = message.unwrap_or(event.log);
    event.program_name = program.unwrap_or(Span::NONE);
    event.hostname = host.unwrap_or(event.hostname);
    true
}

fn take(object: &Object, base: usize, event: &mut Decoded) {
    for leaf in &object.leaves {
        let known = |(name, _): &(Span, Span)| name.of(&event.bytes) == Some(object.name(leaf));
        if event.named.iter().any(known) {
            continue;
        }
        let raw = Span::within(base, leaf.value.clone());
        let value = if leaf.escaped {
            let plain = unescape(raw.of(&event.bytes).unwrap_or_default());
            event.has_foreign_values = true;
            event.append(&plain)
        } else {
            raw
        };
        if let Some(field) = known_field(object.name(leaf))
            && event.field(field).is_none()
        {
            event.set(field, value);
        }
        let name = event.append(object.name(leaf));
        event.named.push((name, value));
    }
}

/// The field that a name means by custom.
fn known_field(name: &[u8]) -> Option<Field> {
    const NAMES: [(Field, &[&str]); 12] = [
        (
            Field::SrcIp,
            &[
                "srcip",
                "src_ip",
                "source_ip",
                "source.ip",
                "client.ip",
                "client_ip",
                "clientip",
                "remote_addr",
                "remote_ip",
            ],
        ),
        (Field::DstIp, &["dstip", "dst_ip", "dest_ip", "destination_ip", "destination.ip"]),
        (Field::SrcPort, &["srcport", "src_port", "source_port", "source.port", "client.port"]),
        (
            Field::DstPort,
            &["dstport", "dst_port", "dest_port", "destination_port", "destination.port"],
        ),
        (Field::DstUser, &["dstuser", "dst_user", "user", "username", "user_name", "user.name"]),
        (Field::SrcUser, &["srcuser", "src_user", "source.user.name"]),
        (Field::Protocol, &["protocol", "proto", "network.transport"]),
        (Field::Action, &["action", "event.action"]),
        (Field::Id, &["id", "event.id"]),
        (
            Field::Status,
            &["status", "status_code", "http.status_code", "http.response.status_code"],
        ),
        (Field::Url, &["url", "uri", "request_uri", "url.original", "http.url"]),
        (Field::Data, &["data", "extra_data"]),
    ];
    let named = |names: &[&str]| names.iter().any(|n| n.as_bytes().eq_ignore_ascii_case(name));
    NAMES.iter().find(|(_, names)| named(names)).map(|(field, _)| *field)
}

impl Object {
    fn name(&self, leaf: &Leaf) -> &[u8] {
        self.names.get(leaf.name.clone()).unwrap_or_default()
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
    /// Name of the value that is read, with dots.
    name: Vec<u8>,
    found: Object,
    /// Looks, and takes nothing.
    silent: bool,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Steps over one byte, if it is the next.
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self) -> Option<()> {
        match self.peek()? {
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            b'"' => {
                let (value, escaped) = self.string()?;
                self.leaf(value, escaped);
                Some(())
            }
            _ => self.word(),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Option<()>) -> Option<()> {
        if self.depth >= MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        read(self)?;
        self.depth -= 1;
        Some(())
    }

    fn object(&mut self) -> Option<()> {
        self.at += 1;
        self.blanks();
        if self.eat(b'}') {
            return Some(());
        }
        loop {
            self.blanks();
            if self.peek()? != b'"' {
                return None;
            }
            let (key, escaped) = self.string()?;
            self.blanks();
            if !self.eat(b':') {
                return None;
            }
            self.blanks();
            let key = self.text.get(key).unwrap_or_default();
            let outer = self.name.len();
            if escaped {
                let plain = unescape(key);
                self.enter(&plain);
            } else {
                self.enter(key);
            }
            self.value()?;
            self.name.truncate(outer);
            self.blanks();
            if self.eat(b'}') {
                return Some(());
            }
            if !self.eat(b',') {
                return None;
            }
        }
    }

    /// Adds a step to the name; one that is too long already grows no more.
    fn enter(&mut self, step: &[u8]) {
        if self.name.len() > MAX_NAME {
            return;
        }
        if !self.name.is_empty() {
            self.name.push(b'.');
        }
        self.name.extend(step.iter().take(MAX_NAME + 1));
    }

    fn array(&mut self) -> Option<()> {
        let start = self.at;
        let silent = std::mem::replace(&mut self.silent, true);
        let objects = self.elements()?;
        self.silent = silent;
        if silent {
            return Some(());
        }
        if objects {
            // Once more, now with positions.
            self.at = start;
            self.elements()?;
        } else {
            self.leaf(start..self.at, false);
        }
        Some(())
    }

    /// Reads elements; tells whether one is an object.
    fn elements(&mut self) -> Option<bool> {
        self.at += 1;
        self.blanks();
        if self.eat(b']') {
            return Some(false);
        }
        let (mut objects, mut position) = (false, 0_usize);
        loop {
            self.blanks();
            objects |= self.peek()? == b'{';
            let outer = self.name.len();
            if !self.silent {
                self.enter(position.to_string().as_bytes());
            }
            self.value()?;
            self.name.truncate(outer);
            position += 1;
            self.blanks();
            if self.eat(b']') {
                return Some(objects);
            }
            if !self.eat(b',') {
                return None;
            }
        }
    }

    /// Where a string lies, without its quotes, and whether it has escapes.
    fn string(&mut self) -> Option<(Range<usize>, bool)> {
        let start = self.at + 1;
        let (mut at, mut escaped) = (start, false);
        loop {
            let rest = self.text.get(at..)?;
            let found = memchr::memchr2(b'"', b'\\', rest)?;
            if rest.get(found) == Some(&b'"') {
                self.at = at + found + 1;
                return Some((start..at + found, escaped));
            }
            escaped = true;
            at += found + 2;
        }
    }

    /// `true`, `false`, `null`, or a number.
    fn word(&mut self) -> Option<()> {
        let start = self.at;
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        self.at += self.text.get(start..)?.iter().take_while(|byte| is_part(byte)).count();
        let word = self.text.get(start..self.at)?;
        match word {
            b"null" => {}
            b"true" | b"false" => self.leaf(start..self.at, false),
            [b'-' | b'0'..=b'9', ..] => self.leaf(start..self.at, false),
            _ => return None,
        }
        Some(())
    }

    fn leaf(&mut self, value: Range<usize>, escaped: bool) {
        let usable = !self.silent && !self.name.is_empty() && self.name.len() <= MAX_NAME;
        if !usable || self.found.leaves.len() >= MAX_FIELDS {
            return;
        }
        let start = self.found.names.len();
        self.found.names.extend_from_slice(&self.name);
        let name = start..self.found.names.len();
        self.found.leaves.push(Leaf { name, value, escaped });
    }
}

/// The text that escapes stand for; control characters become blanks, so that no value breaks a line of output.
fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        let escape = rest.get(at + 1).copied().unwrap_or(b' ');
        rest = rest.get(at + 2..).unwrap_or_default();
        match escape {
            b'u' => {
                let (character, used) = unicode(rest);
                let character = if character.is_control() { ' ' } else { character };
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = rest.get(used..).unwrap_or_default();
            }
            b'n' | b'r' | b't' | b'b' | b'f' => out.push(b' '),
            other => out.push(other),
        }
    }
    out.extend_from_slice(rest);
    out
}

/// The character of the digits behind a `\u`, with a second half behind it if it needs one; and the bytes used.
fn unicode(rest: &[u8]) -> (char, usize) {
    const UNKNOWN: char = char::REPLACEMENT_CHARACTER;
    let Some(first) = hex(rest) else { return (UNKNOWN, 0) };
    if (0xd800..0xdc00).contains(&first)
        && let Some(second) = rest.get(4..).and_then(|rest| rest.strip_prefix(b"\\u")).and_then(hex)
        && (0xdc00..0xe000).contains(&second)
    {
        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (char::from_u32(code).unwrap_or(UNKNOWN), 10);
    }
    (char::from_u32(first).unwrap_or(UNKNOWN), 4)
}

fn hex(text: &[u8]) -> Option<u32> {
    let digits = text.get(..4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Option<Vec<(String, String)>> {
        let mut event = Decoded::default();
        event.log = event.append(text.as_bytes());
        let own = |span: Span, event: &Decoded| {
            String::from_utf8_lossy(span.of(&event.bytes).unwrap()).into_owned()
        };
        decode(&mut event)
            .then(|| event.named.iter().map(|(n, v)| (own(*n, &event), own(*v, &event))).collect())
    }

    fn pairs(list: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        Some(list.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect())
    }

    #[test]
    fn nested_names_are_joined_by_dots() {
        assert_eq!(
            fields(
                r#"{"user":{"name":"bob"}, "tags":["a",[1]],"n":-3.5e2,"ok":true,"no":null,"h":[{"id":1},2]}"#
            ),
            pairs(&[
                ("user.name", "bob"),
                ("tags", r#"["a",[1]]"#),
                ("n", "-3.5e2"),
                ("ok", "true"),
                ("h.0.id", "1"),
                ("h.1", "2"),
            ])
        );
    }

    #[test]
    fn escapes_become_text_and_never_a_new_line() {
        assert_eq!(
            fields(r#"{"a":"x\n\"y\" \u00e4 \ud83d\ude00 \ud83d \u12"}"#),
            pairs(&[("a", "x \"y\" \u{e4} \u{1f600} \u{fffd} \u{fffd}12")])
        );
    }

    #[test]
    fn of_equal_names_the_first_counts() {
        assert_eq!(fields(r#"{"a":1,"a":2}"#), pairs(&[("a", "1")]));
    }

    #[test]
    fn what_is_not_wholly_an_object_has_no_fields() {
        for text in ["", "{", "[1]", "{}x", r#"{"a":}"#, r#"{"a" 1}"#, r#"{"a":nul}"#, "{a:1}"] {
            assert_eq!(fields(text), None, "{text}");
        }
        let deep = format!("{}1{}", "{\"a\":".repeat(40), "}".repeat(40));
        assert_eq!(fields(&deep), None);
    }

    #[test]
    fn many_fields_and_long_names_are_bounded() {
        let many: Vec<String> = (0..5000).map(|n| format!("\"k{n}\":{n}")).collect();
        assert_eq!(fields(&format!("{{{}}}", many.join(","))).unwrap().len(), MAX_FIELDS);
        assert_eq!(fields(&format!("{{\"{}\":1}}", "x".repeat(9000))).unwrap().len(), 0);
    }

    #[test]
    fn cut_and_mutated_objects_never_panic() {
        let whole = br#"{"a":{"b":["\u00e4\"",{"c":-1.0}],"d":null},"src_ip":"10.0.0.1"}"#;
        let mut seed = 7_u32;
        for end in 0..=whole.len() {
            for _ in 0..50 {
                let mut text = whole[..end].to_vec();
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if end > 0 {
                    text[(seed >> 8) as usize % end] = b"{}[]\",:\\u1 "[(seed >> 24) as usize % 11];
                }
                let mut event = Decoded::default();
                event.log = event.append(&text);
                decode(&mut event);
                journal(&mut event);
            }
        }
    }
}
