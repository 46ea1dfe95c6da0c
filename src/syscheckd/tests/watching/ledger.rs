//! What the manager was told, file by file, and that nothing of it was said without cause.

use std::collections::BTreeMap;

use crate::bench::Bench;
use crate::operations::{GONE, Sum, Tree, agree};

/// The manager's knowledge.
#[derive(Default)]
pub(crate) struct Ledger {
    /// By name as sent.
    pub(crate) files: BTreeMap<String, Sum>,
    /// Messages so far.
    pub(crate) count: u64,
}

impl Ledger {
    /// Takes in what was told since the last call. Each message must say something new of its file, and nothing that never was.
    pub(crate) fn hear(&mut self, bench: &Bench, tree: &Tree) {
        let root = format!(" {}/", bench.home.path().join("tree").display());
        for line in bench.manager.take() {
            // Who did it may stand below.
            let first = line.split('\n').next().unwrap_or_default();
            let Some((sum, name)) = first.split_once(&root) else { continue };
            self.count += 1;
            assert!(tree.was_ever(name, sum), "'{name}' never was {sum}");
            let before = match sum {
                GONE => self.files.remove(name).unwrap_or_else(|| GONE.to_owned()),
                _ => self.files.insert(name.to_owned(), sum.to_owned()).unwrap_or_default(),
            };
            assert_ne!(before, sum, "told twice of '{name}'");
        }
    }

    /// Where it is not the tree.
    pub(crate) fn differences(&self, tree: &Tree) -> Vec<String> {
        let sums = tree.sums();
        let mut differences = Vec::new();
        for name in sums.keys().chain(self.files.keys()) {
            let (told, there) = (self.files.get(name), sums.get(name));
            let is_so = told.zip(there).is_some_and(|(told, there)| agree(there, told));
            if !is_so {
                differences.push(format!("'{name}': told {told:?}, there {there:?}"));
            }
        }
        differences
    }
}
