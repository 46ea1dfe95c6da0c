//! Loading: decoder, rule and list files, given as bytes, become an engine, or a list of what is wrong with them.
//!
//! Nothing is half loaded: with one error there is no engine, so that the one that runs can go on.

mod attributes;
mod decoders;
mod draft;
mod patterns;
mod responses;
mod rules;
mod tree;

use std::collections::HashMap;
use std::sync::Arc;

use crate::decoder::NameId;
use crate::engine::{Engine, Parts};
use crate::lists::KeyList;
use crate::options::{LoadError, Options};

/// One file: its name for messages, and its bytes. For lists the name is the path that rules refer to.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Name in messages.
    pub name: &'a str,
    /// Content.
    pub text: &'a [u8],
}

/// An engine with what its author should know.
#[derive(Debug)]
pub struct Loaded {
    /// Ready to judge; share it between threads by `Arc`.
    pub engine: Engine,
    /// What is odd in the files, though it works as written.
    pub warnings: Vec<LoadError>,
}

/// Builds an engine from decoder files, rule files and lists, each in the order of the configuration.
///
/// # Errors
/// Everything that is wrong, each with file and line.
pub fn load(
    decoders: &[Source<'_>],
    rules: &[Source<'_>],
    lists: &[Source<'_>],
    options: Options,
) -> Result<Loaded, Vec<LoadError>> {
    let mut notes = Notes::default();
    let mut names = Names::new();
    let decoders = decoders::read(decoders, &options, &mut names, &mut notes);
    let json_name = names.number("json").unwrap_or(NameId::NULL);
    let lists = lists.iter().map(|list| {
        let name = list.name.strip_suffix(".cdb").unwrap_or(list.name);
        (name.to_string(), Arc::new(KeyList::parse(list.text)))
    });
    let context = rules::Context { options: &options, names: &names, lists: lists.collect() };
    let tree = rules::read(rules, &context, &mut notes);
    if !notes.errors.is_empty() {
        return Err(notes.errors);
    }
    let tree = tree.finish(&options);
    let parts = Parts { decoders, names: names.into_texts(), json_name, tree, options };
    Ok(Loaded { engine: Engine::new(parts), warnings: notes.warnings })
}

/// Errors and warnings as they come up, with the file that is being read.
#[derive(Debug, Default)]
pub(super) struct Notes {
    file: String,
    errors: Vec<LoadError>,
    warnings: Vec<LoadError>,
}

impl Notes {
    fn enter(&mut self, file: &str) {
        self.file = file.to_string();
    }

    fn error(&mut self, line: usize, text: impl Into<String>) {
        self.errors.push(LoadError { file: self.file.clone(), line, text: text.into() });
    }

    fn warning(&mut self, line: usize, text: impl Into<String>) {
        self.warnings.push(LoadError { file: self.file.clone(), line, text: text.into() });
    }

    /// Reads a file's elements; what is not well formed is an error.
    fn parse(&mut self, source: &Source<'_>) -> Vec<xml::Element> {
        self.enter(source.name);
        match xml::parse_with_variables(source.text) {
            Ok(roots) => roots,
            Err(error) => {
                self.error(error.line, error.kind.to_string());
                Vec::new()
            }
        }
    }
}

/// Decoder names and their numbers.
#[derive(Debug)]
pub(crate) struct Names {
    texts: Vec<String>,
    ids: HashMap<String, NameId>,
}

/// Names of the built-in decoders, in the order of their numbers from 1.
pub(crate) const BUILTIN_NAMES: [&str; 8] = [
    "rootcheck",
    "syscheck_integrity_changed",
    "syscheck_integrity_changed_2nd",
    "syscheck_integrity_changed_3rd",
    "syscheck_new_entry",
    "syscheck_deleted",
    "hostinfo_new",
    "hostinfo_modified",
];

impl Names {
    fn new() -> Self {
        let mut names = Self { texts: vec![String::new()], ids: HashMap::new() };
        for name in BUILTIN_NAMES {
            names.number(name);
        }
        names
    }

    /// The number of a name, a new one if need be; `None` when there are too many.
    fn number(&mut self, name: &str) -> Option<NameId> {
        if let Some(&id) = self.ids.get(name) {
            return Some(id);
        }
        let id = NameId(u16::try_from(self.texts.len()).ok()?);
        self.texts.push(name.to_string());
        self.ids.insert(name.to_string(), id);
        Some(id)
    }

    fn get(&self, name: &str) -> Option<NameId> {
        self.ids.get(name).copied()
    }

    fn into_texts(self) -> Vec<String> {
        self.texts
    }
}
