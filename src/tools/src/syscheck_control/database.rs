//! One host's integrity database as the tool reads it: every state of every file, in the order in which they were seen.
//!
//! Line: `FFF<sum> !<epoch> <path>`, for instance `!!+12:33188:0:0:07a8...:2e6b...:f4e8... !1795220196 /etc/motd`. `FFF` counts the changes;
//! `#` in its first place: a later line holds. The analysis daemon appends while we read; only the three flags are ever rewritten.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use fim::extra;
use serde_json::{Value, json};

use crate::agent_tools::client::{printable, quoted};
use crate::agent_tools::times;

/// Largest file that is read.
const MAX_FILE: u64 = 2 << 30;

/// All states.
#[derive(Debug, Default)]
pub(super) struct Database {
    pub(super) entries: Vec<Entry>,
}

/// A file as it was seen once.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Where its line begins.
    offset: u64,
    flags: [u8; 3],
    sum: Vec<u8>,
    /// Epoch seconds; 0 in lines of old versions.
    pub(super) at: i64,
    /// As the database has it.
    pub(super) path: Vec<u8>,
}

impl Database {
    /// Reads a file; a missing one is empty.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(data) if data.len() > MAX_FILE => Err(io::ErrorKind::FileTooLarge.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
            Ok(_) => Ok(Self::parse(&fs::read(path)?)),
        }
    }

    /// Reads a file's bytes; lines that can't be read are passed over.
    pub(super) fn parse(file: &[u8]) -> Self {
        let mut offset = 0;
        let mut entries = Vec::new();
        for line in file.split_inclusive(|&b| b == b'\n') {
            if let Some(body) = line.strip_suffix(b"\n") {
                entries.extend(Entry::parse(offset, body));
            }
            offset += line.len() as u64;
        }
        Self { entries }
    }

    /// Rewrites the flags of the lines that hold and match; gives their names.
    pub(super) fn set_flags(
        &self,
        path: &Path,
        wanted: &pattern::Match,
        flags: [u8; 3],
    ) -> io::Result<Vec<String>> {
        let holding =
            self.entries.iter().filter(|entry| entry.holds() && wanted.is_match(&entry.path));
        let holding: Vec<&Entry> = holding.collect();
        if holding.is_empty() {
            return Ok(Vec::new());
        }
        let file = File::options().read(true).write(true).open(path)?;
        let mut set = Vec::new();
        for entry in holding {
            let mut now = [0; 3];
            file.read_exact_at(&mut now, entry.offset)?;
            // Superseded since we read: the later line is another state, which nobody asked about.
            if now == entry.flags {
                file.write_all_at(&flags, entry.offset)?;
                set.push(printable(&entry.path));
            }
        }
        Ok(set)
    }
}

impl Entry {
    fn parse(offset: u64, line: &[u8]) -> Option<Self> {
        let (flags, rest) = line.split_first_chunk::<3>()?;
        let space = rest.iter().position(|&b| b == b' ')?;
        let (sum, behind) = (&rest[..space], &rest[space + 1..]);
        let timed = behind.strip_prefix(b"!").and_then(|behind| {
            let space = behind.iter().position(|&b| b == b' ')?;
            let at = std::str::from_utf8(&behind[..space]).ok()?.parse().ok()?;
            Some((at, &behind[space + 1..]))
        });
        let (at, path) = timed.unwrap_or((0, behind));
        Some(Self { offset, flags: *flags, sum: sum.to_vec(), at, path: path.to_vec() })
    }

    /// The file's attributes as one word, `-1` when it was gone.
    pub(super) fn sum(&self) -> &[u8] {
        &self.sum
    }

    /// Whether no later line holds.
    pub(super) fn holds(&self) -> bool {
        self.flags[0] != b'#'
    }

    /// Whether it tells of a change: all but files that are as they were first seen.
    pub(super) fn is_change(&self) -> bool {
        self.flags != *b"+++"
    }

    /// Which change it is: 0 for the first sight and, as ever, for the first change; `None` when changes are ignored.
    fn changes(&self) -> Option<u8> {
        match self.flags[1..] {
            [b'!', b'+'] => Some(2),
            [b'!', b'!'] => Some(3),
            [b'!', b'?'] => None,
            _ => Some(0),
        }
    }

    fn shown_changes(&self) -> String {
        self.changes().map_or("ignored".into(), |changes| changes.to_string())
    }

    /// `2026 Nov 21 00:16:34,0 - /etc/motd`
    pub(super) fn line(&self) -> String {
        format!("{},{} - {}", times::stamp(self.at), self.shown_changes(), printable(&self.path))
    }

    /// `2026 Nov 21 00:16:34,/etc/motd,0`
    pub(super) fn csv(&self) -> String {
        let path = printable(&self.path);
        format!("{},{},{}\n", times::stamp(self.at), quoted(&path), self.shown_changes())
    }

    /// As an object.
    pub(super) fn json(&self) -> Value {
        let changes = self.changes().map_or(json!("ignored"), |changes| json!(changes));
        json!({"readDay": times::stamp(self.at), "file": printable(&self.path), "changes": changes})
    }

    /// As an object with the file's values.
    pub(super) fn json_with_values(&self) -> Value {
        let mut row = self.json();
        let values = self.values();
        row["attrs"] = match values {
            None => json!({"deleted": true}),
            Some(values) => json!({
                "size": values.size, "perm": values.perm, "uid": values.uid, "gid": values.gid,
                "md5": values.md5, "sha1": values.sha1,
            }),
        };
        for (name, value) in self.more() {
            row["attrs"][name] = value.into();
        }
        row
    }

    /// `None`: the file was gone.
    fn values(&self) -> Option<Values> {
        if self.sum == b"-1" {
            return None;
        }
        let mut fields = self.sum.splitn(6, |&b| b == b':');
        let mut next = || fields.next().unwrap_or_default();
        let (size, mode, uid, gid, md5, hashes) = (next(), next(), next(), next(), next(), next());
        // What lies behind the second hash has lines of its own.
        let end = hashes.iter().enumerate().filter(|(_, b)| **b == b':').nth(1);
        let sha1 = hashes.get(..end.map_or(hashes.len(), |(at, _)| at)).unwrap_or_default();
        let perm = printable(&fim::report::permissions(mode));
        let [size, uid, gid, md5, sha1] = [size, uid, gid, md5, sha1].map(printable);
        Some(Values { size, perm, uid, gid, md5, sha1 })
    }
}

impl Entry {
    /// The attributes that OSSEC does not know, by their names.
    fn more(&self) -> Vec<(&'static str, String)> {
        let field = self.sum.splitn(8, |&b| b == b':').nth(7).unwrap_or_default();
        let known = extra::ALL.into_iter();
        known
            .filter_map(|one| {
                Some((one.name(), printable(&extra::shown(extra::value(field, one)?))))
            })
            .collect()
    }
}

/// A sum in words. `sha1` has sha256 behind a colon, as ever.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Values {
    size: String,
    perm: String,
    uid: String,
    gid: String,
    md5: String,
    sha1: String,
}

/// Goes through states in order, comparing each with the one before of the same file.
#[derive(Debug, Default)]
pub(super) struct Changes {
    before: HashMap<Vec<u8>, Option<Values>>,
    /// Of each path, the attributes beyond OSSEC's that the state before had.
    more: HashMap<Vec<u8>, Vec<(&'static str, String)>>,
}

impl Changes {
    /// The state in words; `>` in front of what was another before.
    pub(super) fn next(&mut self, entry: &Entry) -> String {
        let now = entry.values();
        let before = self.before.insert(entry.path.clone(), now.clone());
        let mut text = String::from(match (&before, entry.changes(), &now) {
            (_, _, None) => "File deleted.\n",
            (None, _, _) => "File added to the database. \n",
            (Some(None), _, _) => "File added again.\n",
            (_, None, _) => "File changed. - Further changes are ignored.\n",
            (_, Some(2), _) => "File changed. - 2nd time modified.\n",
            (_, Some(3), _) => "File changed. - 3rd time modified.\n",
            _ => "File changed. - 1st time modified.\n",
        });
        let Some(now) = now else { return text };
        let before = before.flatten().unwrap_or_else(|| now.clone());
        text.push_str("Integrity checking values:\n");
        let rows = [
            ("Size: ", &before.size, &now.size),
            ("Perm: ", &before.perm, &now.perm),
            ("Uid:  ", &before.uid, &now.uid),
            ("Gid:  ", &before.gid, &now.gid),
            ("Md5:  ", &before.md5, &now.md5),
            ("Sha1: ", &before.sha1, &now.sha1),
        ];
        for (title, before, now) in rows {
            let mark = if before == now { "" } else { ">" };
            let _ = writeln!(text, "   {title}{mark}{now}");
        }
        let more = entry.more();
        let before = self.more.insert(entry.path.clone(), more.clone()).unwrap_or_default();
        for (name, value) in more {
            let is_other = before.iter().any(|old| old.0 == name && old.1 != value);
            let mark = if is_other { ">" } else { "" };
            let _ = writeln!(text, "   {name}: {mark}{value}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"#++4:33188:0:0:aa:bb:cc !100 /etc/a b\n!!+-1 !101 /etc/a b\n+++5:33188:0:0:xxx:xxx /old\n!!?1:2 !9 /i\ntorn";

    #[test]
    fn lines_are_read_and_a_torn_end_is_left_out() {
        let database = Database::parse(FILE);
        let shown: Vec<String> = database.entries.iter().map(|e| e.csv().split_off(20)).collect();
        assert_eq!(shown, [",/etc/a b,0\n", ",/etc/a b,2\n", ",/old,0\n", ",/i,ignored\n"]);
        let changes: Vec<bool> = database.entries.iter().map(Entry::is_change).collect();
        assert_eq!(changes, [true, true, false, true]);
    }

    #[test]
    fn a_name_with_a_comma_stays_one_value() {
        let database = Database::parse(b"+++1:2:3:4:a:b:c !5 /a,\"b\"\n+++1:2:3:4:a:b:c !5 /c d\n");
        let shown: Vec<String> = database.entries.iter().map(|e| e.csv().split_off(20)).collect();
        assert_eq!(shown, [",\"/a,\"\"b\"\"\",0\n", ",/c d,0\n"]);
    }

    #[test]
    fn states_are_told_in_words() {
        let database = Database::parse(FILE);
        let mut changes = Changes::default();
        let told: Vec<String> = database.entries.iter().map(|e| changes.next(e)).collect();
        assert!(
            told[0].starts_with("File added to the database. \n")
                && told[0].ends_with("Sha1: bb:cc\n")
        );
        assert_eq!(told[1], "File deleted.\n");
    }

    #[test]
    fn attributes_beyond_the_originals_are_shown_by_name() {
        let database = Database::parse(b"+++1:2:3:4:a:b:c:ino=7;acl= !5 /x\n");
        let entry = &database.entries[0];
        let told = Changes::default().next(entry);
        assert!(told.ends_with("Sha1: b:c\n   inode: 7\n   acl: none\n"), "{told}");
        assert_eq!(entry.json_with_values()["attrs"]["inode"], "7");
        let database = Database::parse(
            b"+++1:2:3:4:a:b:c:ino=7;acl= !5 /x\n!++1:2:3:4:a:b:c:ino=8;acl= !6 /x\n",
        );
        let mut changes = Changes::default();
        let told: Vec<String> = database.entries.iter().map(|e| changes.next(e)).collect();
        assert!(told[1].ends_with("   inode: >8\n   acl: none\n"), "{}", told[1]);
    }

    #[test]
    fn flags_are_set_only_where_the_line_still_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        fs::write(&path, FILE).unwrap();
        let database = Database::read(&path).unwrap();
        let all = pattern::Match::new(b"/").unwrap();
        File::options().write(true).open(&path).unwrap().write_all_at(b"#", 38).unwrap();
        assert_eq!(database.set_flags(&path, &all, *b"+++").unwrap(), ["/old", "/i"]);
        let now = fs::read(&path).unwrap();
        assert!(
            now.starts_with(b"#++4")
                && now[38..].starts_with(b"#!+-1")
                && now.ends_with(b"+++1:2 !9 /i\ntorn")
        );
    }

    #[test]
    fn a_file_cut_anywhere_or_mutated_never_panics() {
        for cut in 0..FILE.len() {
            let mut mutated = FILE.to_vec();
            mutated[cut] = b"\n:! "[cut % 4];
            for bytes in [&FILE[..cut], &mutated] {
                let mut changes = Changes::default();
                for entry in &Database::parse(bytes).entries {
                    let _ = (entry.json_with_values(), entry.line(), changes.next(entry));
                }
            }
        }
    }
}
