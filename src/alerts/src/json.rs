//! The JSON forms: one compact object per line of `alerts.json` and `archives.json`.
//!
//! Written by hand because the order of the keys is part of the promise, and because values are bytes. A byte that is no
//! part of UTF-8, as in old log files and odd file names, becomes the character of that number (Latin-1), so that each
//! line is JSON to every reader. Keys without a value are left out.

use crate::text::{write_id, write_number};
use crate::value::{Alert, Decoder, Event, FileFacts, FileState, Origin, Rule};

/// Appends one `alerts.json` line.
pub fn write_alert(alert: &Alert<'_>, out: &mut Vec<u8>) {
    let event = &alert.event;
    let mut top = Object::open(out);
    write_rule(&alert.rule, event.full_log, &mut top);
    let id = top.key(b"id");
    id.push(b'"');
    write_id(alert, id);
    id.push(b'"');
    top.number(b"TimeStamp", u64::try_from(alert.id.epoch).unwrap_or(0).saturating_mul(1000));
    top.text(b"decoder", event.decoder.name);
    top.text(b"decoder_parent", event.decoder.parent);
    top.text(b"action", event.action);
    top.text(b"protocol", event.protocol);
    top.text(b"srcip", event.srcip);
    top.text(b"srcport", event.srcport);
    top.text(b"srcuser", event.srcuser);
    top.text(b"dstip", event.dstip);
    top.text(b"dstport", event.dstport);
    top.text(b"dstuser", event.dstuser);
    top.text(b"location", Some(event.location));
    top.text(b"full_log", Some(event.full_log));
    top.text(b"previous_output", alert.samples.get(1).copied());
    if let Some(file) = &event.file {
        let mut inner = Object::open(top.key(b"SyscheckFile"));
        inner.text(b"path", Some(file.path));
        write_changes(file, &mut inner);
        inner.close();
    }
    top.text(b"hostname", Some(event.hostname));
    top.text(b"program_name", event.program_name);
    top.text(b"status", event.status);
    top.text(b"url", event.url);
    top.text(b"data", event.data);
    top.text(b"systemname", event.systemname);
    for (name, value) in &event.dynamic {
        top.text(name, Some(value));
    }
    write_fields(event, &mut top);
    write_decoder(b"decoder_desc", &event.decoder, &mut top);
    let origin = Origin::of(event.location);
    write_agent(&origin, event, &mut top);
    write_timestamp(event, &mut top);
    top.text(b"logfile", Some(origin.logfile));
    top.close();
    out.push(b'\n');
}

/// Appends one `archives.json` line; `rule` is the rule that alerted, if one did.
pub fn write_archive(event: &Event<'_>, rule: Option<&Rule<'_>>, out: &mut Vec<u8>) {
    let mut top = Object::open(out);
    top.text(b"program_name", event.program_name);
    top.text(b"log", Some(event.log));
    top.text(b"srcip", event.srcip);
    top.text(b"dstip", event.dstip);
    top.text(b"srcport", event.srcport);
    top.text(b"dstport", event.dstport);
    top.text(b"protocol", event.protocol);
    top.text(b"action", event.action);
    top.text(b"srcuser", event.srcuser);
    top.text(b"dstuser", event.dstuser);
    top.text(b"id", event.id);
    top.text(b"status", event.status);
    top.text(b"url", event.url);
    top.text(b"data", event.data);
    top.text(b"systemname", event.systemname);
    if let Some(file) = &event.file {
        top.text(b"filename", Some(file.path));
        if file.before.has_any() {
            write_changes(file, &mut top);
        }
    }
    if let Some(rule) = rule {
        write_rule(rule, event.full_log, &mut top);
    }
    for (name, value) in &event.dynamic {
        top.text(name, Some(value));
    }
    write_fields(event, &mut top);
    write_decoder(b"decoder", &event.decoder, &mut top);
    top.text(b"full_log", Some(event.full_log));
    write_timestamp(event, &mut top);
    let origin = Origin::of(event.location);
    write_agent(&origin, event, &mut top);
    top.text(b"logfile", Some(origin.logfile));
    top.close();
    out.push(b'\n');
}

/// Appends `text` as a JSON string, quotes included; a byte that is no UTF-8 as the character of its number.
pub fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        write_escaped(chunk.valid().as_bytes(), out);
        chunk.invalid().iter().for_each(|&byte| write_code(byte, out));
    }
    out.push(b'"');
}

fn write_escaped(text: &[u8], out: &mut Vec<u8>) {
    let mut plain = 0;
    for (at, &byte) in text.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(text.get(plain..at).unwrap_or_default());
        plain = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => write_code(control, out),
        }
    }
    out.extend_from_slice(text.get(plain..).unwrap_or_default());
}

fn write_code(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\\u00");
    for nibble in [byte >> 4, byte & 15] {
        out.push(b"0123456789abcdef".get(usize::from(nibble)).copied().unwrap_or(b'0'));
    }
}

fn write_rule(rule: &Rule<'_>, full_log: &[u8], top: &mut Object<'_>) {
    let mut object = Object::open(top.key(b"rule"));
    if rule.level > 0 {
        object.number(b"level", rule.level.into());
    }
    object.text(b"comment", Some(rule.comment));
    object.number(b"sidid", rule.id.into());
    object.text(b"cve", rule.cve);
    object.text(b"info", rule.info);
    if rule.frequency > 0 {
        object.number(b"frequency", rule.frequency.into());
    }
    if rule.fired > 0 {
        object.number(b"firedtimes", rule.fired);
    }
    object.text(b"group", Some(rule.groups));
    write_groups(rule.groups, &mut object);
    if groups_of(rule.groups).any(|group| group == b"rootcheck") {
        write_references(full_log, &mut object);
    }
    if !rule.mitre.is_empty() {
        let mut inner = Object::open(object.key(b"mitre"));
        inner.array(b"id", rule.mitre.iter().map(Vec::as_slice));
        inner.close();
    }
    object.close();
}

/// The group string as an array; entries that name a standard go to an array of that standard.
fn write_groups(groups: &[u8], object: &mut Object<'_>) {
    const STANDARDS: [(&[u8], &[u8]); 7] = [
        (b"pci_dss_", b"PCI_DSS"),
        (b"cis_", b"CIS"),
        (b"gdpr_", b"GDPR"),
        (b"gpg13_", b"GPG13"),
        (b"hipaa_", b"HIPAA"),
        (b"nist_800_53_", b"NIST_800_53"),
        (b"tsc_", b"TSC"),
    ];
    let plain = groups_of(groups)
        .filter(|group| STANDARDS.iter().all(|(prefix, _)| !group.starts_with(prefix)));
    object.array(b"groups", plain);
    for (prefix, key) in STANDARDS {
        let mut named = groups_of(groups).filter_map(|g| g.strip_prefix(prefix)).peekable();
        if named.peek().is_some() {
            object.array(key, named);
        }
    }
}

fn groups_of(groups: &[u8]) -> impl Iterator<Item = &[u8]> {
    groups.split(|&byte| byte == b',').filter(|group| !group.is_empty())
}

/// `{CIS: 2.3 Debian} {PCI_DSS: 2.2.4, 6.1}` in a rootcheck text become arrays of these names.
fn write_references(text: &[u8], object: &mut Object<'_>) {
    const MAX_REFERENCE: usize = 30;
    let mut rest = text;
    while let Some(open) = rest.iter().position(|&byte| byte == b'{') {
        rest = rest.get(open + 1..).unwrap_or_default();
        let Some(close) = rest.iter().position(|&byte| byte == b'}') else { return };
        let inner = rest.get(..close).unwrap_or_default();
        rest = rest.get(close + 1..).unwrap_or_default();
        let Some(colon) = inner.iter().position(|&byte| byte == b':') else { continue };
        let (name, values) = inner.split_at(colon);
        let name = name.trim_ascii();
        if name.is_empty() || name.len() > MAX_REFERENCE {
            continue;
        }
        let values = values
            .get(1..)
            .unwrap_or_default()
            .split(|&byte| byte == b',')
            .map(|value| value.trim_ascii())
            .filter(|value| !value.is_empty())
            .map(|value| value.get(..MAX_REFERENCE).unwrap_or(value));
        object.array(name, values);
    }
}

fn write_changes(file: &FileFacts<'_>, object: &mut Object<'_>) {
    let (before, after) = (&file.before, &file.after);
    object.pair(b"md5", before.md5, after.md5);
    object.pair(b"sha1", before.sha1, after.sha1);
    object.pair(b"sha256", before.sha256, after.sha256);
    object.pair(b"owner", before.owner, after.owner);
    object.pair(b"gowner", before.group, after.group);
    if let (Some(old), Some(new)) = (before.mode, after.mode)
        && old != new
    {
        object.number(b"perm_before", old.into());
        object.number(b"perm_after", new.into());
    }
    for (name, new) in after.more {
        let old = before.more.iter().find(|(known, _)| known == name);
        object.pair(name.as_bytes(), old.map(|(_, old)| old.as_slice()), Some(new));
    }
}

impl FileState<'_> {
    fn has_any(&self) -> bool {
        [self.md5, self.sha1, self.sha256, self.owner, self.group].iter().any(Option::is_some)
            || self.mode.is_some()
            || !self.more.is_empty()
    }
}

/// Fields that the line itself names get an object of their own: a name like `rule` must not pass for ours.
fn write_fields(event: &Event<'_>, top: &mut Object<'_>) {
    if event.fields.is_empty() {
        return;
    }
    let mut object = Object::open(top.key(b"fields"));
    for (name, value) in &event.fields {
        object.text(name, Some(value));
    }
    object.close();
}

fn write_decoder(key: &[u8], decoder: &Decoder<'_>, top: &mut Object<'_>) {
    let mut object = Object::open(top.key(key));
    if decoder.fts > 0 {
        object.number(b"fts", decoder.fts.into());
    }
    if decoder.accumulate {
        object.number(b"accumulate", 1);
    }
    object.text(b"parent", decoder.parent);
    object.text(b"name", decoder.name);
    object.close();
}

fn write_agent(origin: &Origin<'_>, event: &Event<'_>, top: &mut Object<'_>) {
    match origin.agent {
        Some((name, address)) => {
            top.text(b"agent_name", Some(name));
            top.text(b"agentip", Some(address));
        }
        None => top.text(b"agent_name", Some(event.hostname)),
    }
}

fn write_timestamp(event: &Event<'_>, top: &mut Object<'_>) {
    let out = top.key(b"timestamp");
    out.push(b'"');
    event.moment.write_date(out);
    out.push(b'"');
}

/// An object under construction: puts the commas and quotes.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    fn close(self) {
        self.out.push(b'}');
    }

    /// Writes the key; the caller writes the value.
    fn key(&mut self, name: &[u8]) -> &mut Vec<u8> {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        write_string(name, self.out);
        self.out.push(b':');
        self.out
    }

    fn text(&mut self, name: &[u8], value: Option<&[u8]>) {
        if let Some(value) = value {
            write_string(value, self.key(name));
        }
    }

    fn number(&mut self, name: &[u8], value: u64) {
        write_number(value, self.key(name));
    }

    fn array<'v>(&mut self, name: &[u8], values: impl Iterator<Item = &'v [u8]>) {
        let out = self.key(name);
        out.push(b'[');
        for (n, value) in values.enumerate() {
            if n > 0 {
                out.push(b',');
            }
            write_string(value, out);
        }
        out.push(b']');
    }

    /// `<name>_before` and `<name>_after` where they differ; `_after` alone where nothing was known before.
    fn pair(&mut self, name: &[u8], before: Option<&[u8]>, after: Option<&[u8]>) {
        match (before, after) {
            (Some(before), Some(after)) if before != after => {
                self.text(&[name, b"_before"].concat(), Some(before));
                self.text(&[name, b"_after"].concat(), Some(after));
            }
            (None, Some(after)) => self.text(&[name, b"_after"].concat(), Some(after)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Moment;
    use crate::value::AlertId;

    #[test]
    fn strings_escape_what_json_forbids() {
        let mut out = Vec::new();
        write_string(b"a\"\\\x08\x0c\n\r\t\x01\x1f/\x7f", &mut out);
        assert_eq!(out, b"\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f/\x7f\"");
    }

    #[test]
    fn a_byte_that_is_no_utf8_is_the_character_of_its_number() {
        let mut out = Vec::new();
        write_string("ü".as_bytes(), &mut out);
        write_string(b"M\xfcller\xe2\x82", &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#""ü""M\u00fcller\u00e2\u0082""#);
    }

    #[test]
    fn standards_named_in_groups_get_arrays_of_their_own() {
        let mut out = Vec::new();
        let mut object = Object::open(&mut out);
        write_groups(b"syslog,pci_dss_10.2.4,sshd,cis_1.1,", &mut object);
        object.close();
        assert_eq!(out, br#"{"groups":["syslog","sshd"],"PCI_DSS":["10.2.4"],"CIS":["1.1"]}"#);
    }

    #[test]
    fn truncated_references_of_a_rootcheck_text_are_left_out() {
        let whole = b"x {CIS: 2.3 Debian, 4} {PCI_DSS: 6.1} y";
        for end in 0..whole.len() {
            let mut out = Vec::new();
            let mut object = Object::open(&mut out);
            write_references(&whole[..end], &mut object);
            object.close();
        }
        let mut out = Vec::new();
        let mut object = Object::open(&mut out);
        write_references(whole, &mut object);
        object.close();
        assert_eq!(out, br#"{"CIS":["2.3 Debian","4"],"PCI_DSS":["6.1"]}"#);
    }

    #[test]
    fn an_alert_of_an_agents_file_names_the_agent() {
        let (before, after) = ([("inode", b"3".to_vec())], [("inode", b"4".to_vec())]);
        let alert = Alert {
            id: AlertId { epoch: 1_700_000_000, number: 1 },
            mail: false,
            rule: Rule {
                id: 550,
                level: 7,
                comment: b"changed",
                groups: b"ossec,",
                cve: None,
                info: None,
                mitre: &[],
                frequency: 0,
                fired: 1,
            },
            event: Event {
                moment: Moment::utc(1_700_000_000),
                location: b"(web01) 10.0.0.5->syscheck",
                hostname: b"(web01) 10.0.0.5->syscheck",
                full_log: b"f",
                file: Some(FileFacts {
                    path: b"/etc/x",
                    before: FileState {
                        md5: Some(b"a"),
                        mode: Some(1),
                        more: &before,
                        ..FileState::default()
                    },
                    after: FileState {
                        md5: Some(b"b"),
                        mode: Some(2),
                        more: &after,
                        ..FileState::default()
                    },
                }),
                ..Event::default()
            },
            samples: Vec::new(),
        };
        let mut out = Vec::new();
        write_alert(&alert, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"rule":{"level":7,"comment":"changed","sidid":550,"firedtimes":1,"group":"ossec,","groups":["ossec"]},"#,
                r#""id":"1700000000.1","TimeStamp":1700000000000,"location":"(web01) 10.0.0.5->syscheck","full_log":"f","#,
                r#""SyscheckFile":{"path":"/etc/x","md5_before":"a","md5_after":"b","perm_before":1,"perm_after":2,"inode_before":"3","inode_after":"4"},"#,
                r#""hostname":"(web01) 10.0.0.5->syscheck","decoder_desc":{},"agent_name":"web01","agentip":"10.0.0.5","#,
                r#""timestamp":"2023 Nov 14 22:13:20","logfile":"syscheck"}"#,
                "\n"
            )
        );
    }
}
