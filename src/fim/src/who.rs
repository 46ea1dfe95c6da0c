//! Who changed a file, as an alert says it: lines between what changed of the attributes and what changed in the text.
//!
//! ```text
//! Changed by user 'root' (0), login user 'alice' (1000)
//! Process '/usr/bin/vim' (4711), parent '/bin/bash' (4700)
//! Command line: 'vim /etc/motd'
//! ```
//! Parts that the agent could not see are left out. As fields for rules and JSON: `who.user`, `who.login_user`, ... ([`fields`]); never the
//! event's own users, by which an active response might lock out whoever saved a file.

use crate::note::Who;

/// The lines, each with its newline; empty when nothing is known.
pub fn text(who: &Who) -> Vec<u8> {
    let user = named(who.user.as_deref(), who.uid);
    let login = named(who.auser.as_deref(), who.auid);
    let process = named(who.exe.as_deref(), who.pid);
    let parent = named(who.pexe.as_deref(), who.ppid);
    let mut text = Vec::new();
    put(&mut text, "Changed by ", [("user ", user), ("login user ", login)]);
    put(&mut text, "", [("process ", process), ("parent ", parent)]);
    if let Some(command) = &who.cmd {
        text.extend([b"Command line: '", command.as_slice(), b"'\n"].concat());
    }
    text
}

/// The same as named values, what is unknown left out.
pub fn fields(who: &Who) -> Vec<(&'static str, Vec<u8>)> {
    let number = |value: Option<u32>| value.map(|value| value.to_string().into_bytes());
    let all = [
        ("who.user", who.user.clone()),
        ("who.uid", number(who.uid)),
        ("who.login_user", who.auser.clone()),
        ("who.login_uid", number(who.auid)),
        ("who.process", who.exe.clone()),
        ("who.pid", number(who.pid)),
        ("who.parent", who.pexe.clone()),
        ("who.ppid", number(who.ppid)),
        ("who.command", who.cmd.clone()),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// `'root' (0)`, or the half that is known.
fn named(name: Option<&[u8]>, number: Option<u32>) -> Option<Vec<u8>> {
    match (name, number) {
        (Some(name), Some(number)) => {
            Some([b"'", name, b"' (", number.to_string().as_bytes(), b")"].concat())
        }
        (Some(name), None) => Some([b"'", name, b"'"].concat()),
        (None, Some(number)) => Some(number.to_string().into_bytes()),
        (None, None) => None,
    }
}

fn put(text: &mut Vec<u8>, begin: &str, parts: [(&str, Option<Vec<u8>>); 2]) {
    let known = parts.into_iter().filter_map(|(title, value)| Some((title, value?)));
    let line: Vec<Vec<u8>> =
        known.map(|(title, value)| [title.as_bytes(), &value].concat()).collect();
    if line.is_empty() {
        return;
    }
    let start = text.len();
    text.extend([begin.as_bytes(), &line.join(&b", "[..]), b"\n"].concat());
    text.iter_mut().skip(start).take(1).for_each(|first| first.make_ascii_uppercase());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(note: &str) -> String {
        let (notes, _) = crate::note::Notes::split(note.as_bytes());
        String::from_utf8(text(&notes.who.unwrap())).unwrap()
    }

    #[test]
    fn everything_that_is_known_is_said() {
        let note = "@who uid=0 user=root auid=1000 auser=alice pid=4711 exe=/usr/bin/vim ppid=4700 pexe=/bin/bash cmd=vim%20/etc/motd";
        let expected = "Changed by user 'root' (0), login user 'alice' (1000)\n\
            Process '/usr/bin/vim' (4711), parent '/bin/bash' (4700)\n\
            Command line: 'vim /etc/motd'\n";
        assert_eq!(shown(note), expected);
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        assert_eq!(shown("@who"), "");
        assert_eq!(shown("@who pid=7"), "Process 7\n");
        assert_eq!(shown("@who auser=bob pexe=/x"), "Changed by login user 'bob'\nParent '/x'\n");
        let (notes, _) = crate::note::Notes::split(b"@who uid=0 pexe=/x");
        let known = [("who.uid", b"0".to_vec()), ("who.parent", b"/x".to_vec())];
        assert_eq!(fields(&notes.who.unwrap()), known);
    }
}
