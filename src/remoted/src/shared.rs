//! The files that all agents share: `etc/shared`, packed into merged.mg, and pushed to whom it differs at. An agent so old that it
//! reports its files one by one gets them one by one.
//!
//! The files are packed in the order of their names, so that the sum is the same on every host, and again as soon as one
//! of them changes. A push is 31 pieces a second to each agent, to a few dozen agents at a time.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agents::AgentId;
use wire::control::ToAgent;
use wire::digest::Md5Hex;
use wire::keepalive::{KeepaliveError, SharedSum};
use wire::merged::{self, Entry};
use wire::shared::{PIECE, PIECES_PER_SECOND, is_plain};

/// The folder below the install root.
pub const FOLDER: &str = "etc/shared";
const MERGED: &str = "merged.mg";
/// All files together may not be larger: a push of it takes some five minutes.
const MAX_MERGED: usize = 8 << 20;
/// Agents that are served at a time.
const AT_A_TIME: usize = 64;

/// What is pushed: merged.mg, or one file for an agent that does not know it.
#[derive(Debug, PartialEq, Eq)]
pub struct Merged {
    name: String,
    sum: Md5Hex,
    content: Vec<u8>,
    /// The sums of the files in merged.mg, reckoned once.
    files: Vec<Md5Hex>,
}

/// The folder as it was seen last.
#[derive(Debug)]
pub struct Shared {
    folder: PathBuf,
    seen: Option<Vec<Stamp>>,
    merged: Option<Arc<Merged>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    name: String,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    /// Moves with the mode, too.
    changed: (i64, i64),
}

impl Shared {
    /// Nothing is read yet.
    pub fn new(root: &Path) -> Self {
        Self { folder: root.join(FOLDER), seen: None, merged: None }
    }

    /// What agents should have; `None` while there are no files.
    pub fn merged(&self) -> Option<&Arc<Merged>> {
        self.merged.as_ref()
    }

    /// Looks at the folder and packs its files if one of them changed; `true`: agents should have something else now.
    ///
    /// # Errors
    /// The folder can't be read, the files are too large, merged.mg can't be written; what was packed before stays.
    pub fn refresh(&mut self) -> io::Result<bool> {
        let stamps = self.stamps()?;
        if self.seen.as_ref() == Some(&stamps) {
            return Ok(false);
        }
        let mut content = Vec::new();
        for stamp in &stamps {
            let bytes = match fs::read(self.folder.join(&stamp.name)) {
                Ok(bytes) => bytes,
                Err(error) => {
                    // Said once for each state of the folder.
                    log::warn!("The shared file '{}' is left out: {error}.", stamp.name);
                    continue;
                }
            };
            if memchr::memchr(0, &bytes).is_some() {
                log::warn!(
                    "The shared file '{}' holds a zero byte: agents of OSSEC can't receive it, nor what is shared with it.",
                    stamp.name
                );
            }
            merged::pack(&Entry { name: &stamp.name, content: &bytes }, &mut content)
                .map_err(io::Error::other)?;
            if content.len() > MAX_MERGED {
                let text = format!(
                    "the files in {FOLDER} are larger than {} MiB together",
                    MAX_MERGED >> 20
                );
                return Err(io::Error::other(text));
            }
        }
        let merged = (!content.is_empty()).then(|| Arc::new(Merged::new(MERGED, content)));
        if let Some(merged) = &merged {
            self.store(&merged.content)?;
        }
        self.seen = Some(stamps);
        let is_new = self.merged != merged;
        self.merged = merged;
        Ok(is_new)
    }

    fn stamps(&self) -> io::Result<Vec<Stamp>> {
        let mut stamps = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name == MERGED || !is_plain(&name) {
                continue;
            }
            let Ok(data) = fs::metadata(entry.path()) else { continue };
            if data.is_file() {
                let modified = (data.mtime(), data.mtime_nsec());
                let changed = (data.ctime(), data.ctime_nsec());
                stamps.push(Stamp { name, inode: data.ino(), len: data.len(), modified, changed });
            }
        }
        stamps.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(stamps)
    }

    /// Writes merged.mg for who looks at it; what is pushed is in memory.
    fn store(&self, content: &[u8]) -> io::Result<()> {
        let path = self.folder.join(MERGED);
        if fs::read(&path).is_ok_and(|old| old == content) {
            return Ok(());
        }
        let new = self.folder.join(".merged.mg.new");
        fs::write(&new, content)?;
        fs::rename(&new, &path)
    }
}

impl Merged {
    fn new(name: &str, content: Vec<u8>) -> Self {
        let files = if name == MERGED {
            merged::unpack(&content).flatten().map(|entry| Md5Hex::of(entry.content)).collect()
        } else {
            Vec::new()
        };
        Self { name: name.to_owned(), sum: Md5Hex::of(&content), content, files }
    }

    /// The files in it that differ from an agent's, or that it does not mention. Nothing when its list is garbled.
    pub fn missing<'a>(
        &self,
        sums: impl Iterator<Item = Result<SharedSum<'a>, KeepaliveError>>,
    ) -> Vec<Arc<Self>> {
        let Ok(has) = sums.collect::<Result<Vec<_>, _>>() else { return Vec::new() };
        let differs = |entry: &Entry<'_>, sum: &Md5Hex| {
            !has.iter().any(|it| it.name == entry.name.as_bytes() && it.sum == sum.as_bytes())
        };
        merged::unpack(&self.content)
            .flatten()
            .zip(&self.files)
            .filter(|(entry, sum)| differs(entry, sum))
            .map(|(entry, _)| Arc::new(Self::new(entry.name, entry.content.to_vec())))
            .collect()
    }

    /// Whether an agent that says this sum has it.
    pub fn is(&self, sum: &[u8]) -> bool {
        self.sum.as_bytes() == sum
    }

    /// The message at this place of a push; `None` behind the last one.
    fn message(&self, at: usize) -> Option<ToAgent<'_>> {
        let pieces = self.content.len().div_ceil(PIECE);
        match at {
            0 => Some(ToAgent::FileBegin { sum: self.sum.as_bytes(), name: self.name.as_bytes() }),
            _ if at <= pieces => {
                let start = (at - 1) * PIECE;
                let end = (start + PIECE).min(self.content.len());
                self.content.get(start..end).map(ToAgent::FilePiece)
            }
            _ if at == pieces + 1 => Some(ToAgent::FileEnd),
            _ => None,
        }
    }
}

/// What became of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// It is on its way.
    Sent,
    /// Try again in the next turn.
    Later,
    /// This agent can't be reached; its next keepalive begins anew.
    GiveUp,
}

/// The pushes under way, and who waits for one.
#[derive(Debug, Default)]
pub struct Pushes {
    active: HashMap<AgentId, Push>,
    waiting: VecDeque<(AgentId, Vec<Arc<Merged>>)>,
    /// Pushes that went out whole.
    pub done: u64,
}

#[derive(Debug)]
struct Push {
    /// The last one is sent first.
    files: Vec<Arc<Merged>>,
    next: usize,
}

impl Push {
    /// The next message; `None` at the end of the last file.
    fn message(&self) -> Option<ToAgent<'_>> {
        self.files.last()?.message(self.next)
    }

    /// Behind a message that was sent; gives whether a file went out whole.
    fn go_on(&mut self) -> bool {
        self.next += 1;
        let is_whole = self.message().is_none();
        if is_whole {
            self.files.pop();
            self.next = 0;
        }
        is_whole
    }
}

impl Pushes {
    /// Begins a push, or lets it wait for its turn. An agent that has one already gets no second one.
    pub fn add(&mut self, id: &AgentId, mut files: Vec<Arc<Merged>>) {
        files.reverse();
        if files.is_empty()
            || self.active.contains_key(id)
            || self.waiting.iter().any(|(waiting, _)| waiting == id)
        {
            return;
        }
        self.waiting.push_back((id.clone(), files));
        self.fill();
    }

    /// Whether [`turn`](Self::turn) has something to do.
    pub fn is_idle(&self) -> bool {
        self.active.is_empty()
    }

    /// Once a second: the next pieces to each agent.
    pub fn turn(&mut self, mut send: impl FnMut(&AgentId, ToAgent<'_>) -> Piece) {
        let done = &mut self.done;
        self.active.retain(|id, push| {
            for _ in 0..PIECES_PER_SECOND {
                let Some(message) = push.message() else { return false };
                match send(id, message) {
                    Piece::Sent => *done += u64::from(push.go_on()),
                    Piece::Later => return true,
                    Piece::GiveUp => return false,
                }
            }
            push.message().is_some()
        });
        self.fill();
    }

    fn fill(&mut self) {
        while self.active.len() < AT_A_TIME
            && let Some((id, files)) = self.waiting.pop_front()
        {
            self.active.insert(id, Push { files, next: 0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use wire::keepalive::Keepalive;
    use wire::shared::Assembler;

    use super::*;

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(FOLDER)).unwrap();
        root
    }

    fn id(number: u32) -> AgentId {
        AgentId::from_number(number).unwrap()
    }

    #[test]
    fn files_are_packed_by_name_and_again_when_one_changes() {
        let root = root();
        let folder = root.path().join(FOLDER);
        let mut shared = Shared::new(root.path());
        assert!(!shared.refresh().unwrap() && shared.merged().is_none());
        fs::write(folder.join("b"), "two").unwrap();
        fs::write(folder.join("a"), "one").unwrap();
        fs::write(folder.join(".hidden"), "x").unwrap();
        fs::create_dir(folder.join("folder")).unwrap();
        assert!(shared.refresh().unwrap());
        assert_eq!(fs::read(folder.join(MERGED)).unwrap(), b"!3 a\none!3 b\ntwo");
        assert!(!shared.refresh().unwrap());
        fs::write(folder.join("a"), "other").unwrap();
        assert!(shared.refresh().unwrap());
        assert_eq!(fs::read(folder.join(MERGED)).unwrap(), b"!5 a\nother!3 b\ntwo");
        assert!(shared.merged().unwrap().is(Md5Hex::of(b"!5 a\nother!3 b\ntwo").as_bytes()));
    }

    #[test]
    fn a_push_arrives_whole_at_a_limited_rate_and_stumbles_over_nothing() {
        let content: Vec<u8> = (0..100_000_u32).map(|n| b'a' + (n % 23) as u8).collect();
        let merged = Arc::new(Merged::new(MERGED, content));
        let mut pushes = Pushes::default();
        pushes.add(&id(1), vec![Arc::clone(&merged)]);
        pushes.add(&id(1), vec![Arc::clone(&merged)]);
        let mut agent = Assembler::new(1 << 20);
        let (mut turns, mut whole) = (0, None);
        while !pushes.is_idle() {
            let mut sent = 0;
            pushes.turn(|_, message| {
                if sent == 20 && turns % 2 == 0 {
                    return Piece::Later;
                }
                sent += 1;
                match message {
                    ToAgent::FileBegin { sum, name } => agent.begin(sum, name).unwrap(),
                    ToAgent::FilePiece(bytes) => agent.piece(bytes).unwrap(),
                    ToAgent::FileEnd => whole = Some(agent.end().unwrap()),
                    other => panic!("{other:?}"),
                }
                Piece::Sent
            });
            turns += 1;
            assert!(sent <= PIECES_PER_SECOND && turns < 100);
        }
        assert_eq!(whole.unwrap().content, merged.content);
        assert_eq!((turns, pushes.done), (5, 1));
    }

    #[test]
    fn an_agent_that_does_not_know_merged_mg_gets_what_differs_file_by_file() {
        let merged = Merged::new(MERGED, b"!3 a\none!3 b\ntwo!5 c\nthree".to_vec());
        let list = format!("L\n{} a\nx b\n", Md5Hex::of(b"one"));
        let has = Keepalive::parse(list.as_bytes()).unwrap();
        let files = merged.missing(has.sums());
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["b", "c"]);
        assert!(merged.missing(Keepalive::parse(b"L\nx a\ngarbled").unwrap().sums()).is_empty());
        let mut pushes = Pushes::default();
        pushes.add(&id(1), files);
        let (mut agent, mut got) = (Assembler::new(100), Vec::new());
        pushes.turn(|_, message| {
            match message {
                ToAgent::FileBegin { sum, name } => agent.begin(sum, name).unwrap(),
                ToAgent::FilePiece(bytes) => agent.piece(bytes).unwrap(),
                ToAgent::FileEnd => got.push(agent.end().unwrap()),
                other => panic!("{other:?}"),
            }
            Piece::Sent
        });
        assert_eq!(
            got.iter().map(|file| &file.content[..]).collect::<Vec<_>>(),
            [&b"two"[..], b"three"]
        );
        assert!(pushes.is_idle() && pushes.done == 2);
    }

    #[test]
    fn many_agents_wait_for_their_turn_and_one_out_of_reach_is_given_up() {
        let merged = Arc::new(Merged::new(MERGED, b"x".to_vec()));
        let mut pushes = Pushes::default();
        for number in 0..AT_A_TIME as u32 + 5 {
            pushes.add(&id(number), vec![Arc::clone(&merged)]);
        }
        assert_eq!(pushes.active.len(), AT_A_TIME);
        pushes.turn(|to, _| if *to == id(3) { Piece::GiveUp } else { Piece::Sent });
        assert_eq!((pushes.active.len(), pushes.done), (5, AT_A_TIME as u64 - 1));
        pushes.turn(|_, _| Piece::Sent);
        assert!(pushes.is_idle());
    }
}
