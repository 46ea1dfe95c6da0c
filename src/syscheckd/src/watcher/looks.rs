//! Looks at single paths that the worker was asked for, and of which not all was heard yet. Pure.
//!
//! The worker looks in the order in which it is asked, and counts.

use std::collections::{HashMap, VecDeque};

/// Paths that are looked at.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// How many were asked for.
    asked: u64,
    /// Those that are not done, in their order.
    open: VecDeque<Vec<u8>>,
    /// How often each path is among them.
    counts: HashMap<Vec<u8>, u32>,
}

impl Looks {
    /// The worker was asked for one more.
    pub(super) fn ask(&mut self, path: Vec<u8>) {
        self.asked += 1;
        *self.counts.entry(path.clone()).or_default() += 1;
        self.open.push_back(path);
    }

    /// All that was said of the first so many was heard.
    pub(super) fn heard(&mut self, looked: u64) {
        let open = usize::try_from(self.asked.saturating_sub(looked)).unwrap_or(usize::MAX);
        while self.open.len() > open {
            let Some(path) = self.open.pop_front() else { return };
            if let Some(count) = self.counts.get_mut(&path) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&path);
                }
            }
        }
    }

    /// Whether this very path is looked at.
    pub(super) fn waits(&self, path: &[u8]) -> bool {
        self.counts.contains_key(path)
    }
}

/// A path, and the folders above it but the root.
pub(super) fn upwards(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(path), |path| {
        let slash = path.iter().rposition(|&byte| byte == b'/')?;
        path.get(..slash).filter(|folder| !folder.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_waits_until_its_last_look_was_heard_of() {
        let mut looks = Looks::default();
        for path in ["/a", "/b", "/a"] {
            looks.ask(path.into());
        }
        looks.heard(1);
        assert!(looks.waits(b"/a") && looks.waits(b"/b"));
        looks.heard(2);
        assert!(looks.waits(b"/a") && !looks.waits(b"/b"));
        looks.heard(3);
        assert!(!looks.waits(b"/a"));
        looks.ask(b"/c".to_vec());
        assert!(looks.waits(b"/c"));
    }

    #[test]
    fn folders_are_named_up_to_the_root() {
        let of = |path: &'static str| {
            upwards(path.as_bytes()).map(String::from_utf8_lossy).collect::<Vec<_>>()
        };
        assert_eq!(of("/a/b/c"), ["/a/b/c", "/a/b", "/a"]);
        assert_eq!(of("/a"), ["/a"]);
    }
}
