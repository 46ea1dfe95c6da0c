//! The effects of judging that outlive the engine: keys to persist, contents to compare and keep.

use std::collections::HashMap;

/// What the engine asks its surroundings to do. Called in the order of events, by the judging thread.
pub trait World {
    /// A first-seen key is new: append it as a line to `queue/fts/fts-queue`.
    fn first_seen(&mut self, key: &[u8]);

    /// A rule put this entry on the ignore list: append it as a line to `queue/fts/ig-queue`.
    fn ignore(&mut self, entry: &[u8]);

    /// Compares `content` with what is kept for this host and rule (`queue/diff/<host>/<rule>/last-entry`) and keeps
    /// it in its place. `host` comes from the event: check it before it becomes part of a path.
    fn swap_output(&mut self, host: &[u8], rule: u32, content: &[u8]) -> PreviousOutput;
}

/// What was kept before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreviousOutput {
    /// Nothing, or it could not be read or written.
    None,
    /// The same content.
    Same,
    /// Other content, which is now replaced.
    Different(Vec<u8>),
}

/// A world that keeps everything in memory, for tools and tests.
#[derive(Debug, Default)]
pub struct MemoryWorld {
    /// First-seen keys, in order.
    pub first_seen: Vec<Vec<u8>>,
    /// Ignore entries, in order.
    pub ignored: Vec<Vec<u8>>,
    outputs: HashMap<(Vec<u8>, u32), Vec<u8>>,
}

impl World for MemoryWorld {
    fn first_seen(&mut self, key: &[u8]) {
        self.first_seen.push(key.to_vec());
    }

    fn ignore(&mut self, entry: &[u8]) {
        self.ignored.push(entry.to_vec());
    }

    fn swap_output(&mut self, host: &[u8], rule: u32, content: &[u8]) -> PreviousOutput {
        match self.outputs.insert((host.to_vec(), rule), content.to_vec()) {
            None => PreviousOutput::None,
            Some(old) if old == content => PreviousOutput::Same,
            Some(old) => PreviousOutput::Different(old),
        }
    }
}
