//! What `/proc` says of a process (proc(5)): its user, its login, its program, its parent.
//!
//! Asked anew at each event unless that was a moment ago, since the same process may run another program by then.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, Instant};

use fim::note::Who;

/// How long an answer holds.
const HOLDS: Duration = Duration::from_millis(200);
/// Processes remembered at a time.
const MAX_PROCESSES: usize = 256;
/// How long names of users hold.
const NAMES_HOLD: Duration = Duration::from_secs(60);
/// A file below `/proc/<pid>` is read so far.
const MOST: u64 = 4096;
/// `/etc/passwd` is read so far.
const MOST_USERS: u64 = 1 << 22;
/// loginuid(5) of a process that nobody logged in for.
const UNSET: u32 = u32::MAX;

/// Recent answers.
#[derive(Debug, Default)]
pub struct Processes {
    known: HashMap<u32, (Instant, Who)>,
    users: HashMap<u32, Vec<u8>>,
    users_read: Option<Instant>,
}

impl Processes {
    /// Asks for a process; not for ourselves. One that has ended is only its number.
    pub fn look(&mut self, pid: u32, now: Instant) -> Option<Who> {
        if pid == std::process::id() {
            return None;
        }
        if let Some((asked, who)) = self.known.get(&pid)
            && now.saturating_duration_since(*asked) < HOLDS
        {
            return Some(who.clone());
        }
        let mut who = ask(pid);
        self.add_names(&mut who, now);
        if self.known.len() >= MAX_PROCESSES {
            self.known.clear();
        }
        self.known.insert(pid, (now, who.clone()));
        Some(who)
    }

    /// Fills in the names of users, from `/etc/passwd` alone: a look-up over the network could make us wait.
    pub fn add_names(&mut self, who: &mut Who, now: Instant) {
        if self.users_read.is_none_or(|read| now.saturating_duration_since(read) > NAMES_HOLD) {
            self.users = users(&read("/etc/passwd", MOST_USERS).unwrap_or_default());
            self.users_read = Some(now);
        }
        who.user = who.uid.and_then(|uid| self.users.get(&uid).cloned());
        who.auser = who.auid.and_then(|uid| self.users.get(&uid).cloned());
    }
}

fn ask(pid: u32) -> Who {
    let mut who = Who { pid: Some(pid), ..Who::default() };
    let of = |pid: u32, name: &str| read(&format!("/proc/{pid}/{name}"), MOST);
    let Some(status) = of(pid, "status") else { return who };
    // Real, effective, saved and file system's user.
    who.uid = field(&status, b"Uid:").and_then(|ids| number(ids.split(|b| *b == b'\t').nth(1)?));
    who.ppid = field(&status, b"PPid:").and_then(number).filter(|&parent| parent != 0);
    who.auid = of(pid, "loginuid").as_deref().and_then(number).filter(|&uid| uid != UNSET);
    who.exe = program(pid).or_else(|| field(&status, b"Name:").map(<[u8]>::to_vec));
    who.pexe = who.ppid.and_then(|parent| {
        let name = || field(&of(parent, "status")?, b"Name:").map(<[u8]>::to_vec);
        program(parent).or_else(name)
    });
    who.cmd = of(pid, "cmdline").filter(|line| !line.is_empty()).map(|line| words(&line));
    who
}

fn program(pid: u32) -> Option<Vec<u8>> {
    let link = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    Some(link.into_os_string().into_vec())
}

/// The words of a command line lie between NULs.
fn words(line: &[u8]) -> Vec<u8> {
    let line = line.strip_suffix(b"\0").unwrap_or(line);
    line.iter().map(|&byte| if byte == 0 { b' ' } else { byte }).collect()
}

fn read(path: &str, most: u64) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    fs::File::open(path).ok()?.take(most).read_to_end(&mut content).ok()?;
    Some(content)
}

/// The value of a line `Name:<tab>value` of `status`.
fn field<'a>(status: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(name))?;
    Some(line.trim_ascii())
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok()
}

/// Names by number (passwd(5)).
fn users(passwd: &[u8]) -> HashMap<u32, Vec<u8>> {
    let mut users = HashMap::new();
    for line in passwd.split(|&byte| byte == b'\n') {
        let mut fields = line.split(|&byte| byte == b':');
        if let (Some(name), Some(uid)) = (fields.next(), fields.nth(1).and_then(number)) {
            users.entry(uid).or_insert_with(|| name.to_vec());
        }
    }
    users
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_is_described() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mut processes = Processes::default();
        let who = processes.look(child.id(), Instant::now());
        child.kill().unwrap();
        child.wait().unwrap();
        let who = who.unwrap();
        assert_eq!((who.pid, who.ppid), (Some(child.id()), Some(std::process::id())));
        // Right after the fork the program may still be ours.
        assert!(who.exe.is_some() && who.pexe.is_some() && who.uid.is_some());
    }

    #[test]
    fn one_that_has_ended_is_only_its_number() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let who = Processes::default().look(child.id(), Instant::now());
        assert_eq!(who, Some(Who { pid: Some(child.id()), ..Who::default() }));
    }

    #[test]
    fn we_are_nobody() {
        assert_eq!(Processes::default().look(std::process::id(), Instant::now()), None);
    }

    #[test]
    fn users_are_known_by_their_first_name() {
        let users = users(b"root:x:0:0:root:/root:/bin/sh\nother:x:0:0::/:\nbroken\n:x:\n");
        assert_eq!(users.get(&0).map(Vec::as_slice), Some(&b"root"[..]));
        assert_eq!(users.len(), 1);
    }

    #[test]
    fn words_are_separated_by_blanks() {
        assert_eq!(words(b"vim\0/etc/passwd\0"), b"vim /etc/passwd");
    }
}
