//! `<rules>`: which rule, decoder and list files are read, in which order.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use pattern::Regex;
use xml::Element;

use crate::error::{ConfigError, ConfigErrors};
use crate::raw::unreadable;
use crate::report::Report;

const NAMES: &[&str] = &["include", "rule", "rule_dir", "decoder", "decoder_dir", "list"];
const WITH_ATTRIBUTES: &[&str] = &["rule_dir", "decoder_dir"];
const DEFAULT_PATTERN: &[u8] = b".xml$";
/// Read when `<rules>` names no decoder; the second only if it exists.
const DEFAULT_DECODERS: [&str; 2] = ["etc/decoder.xml", "etc/local_decoder.xml"];

/// The entries of `<rules>`, in order, as given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleSources {
    /// In order.
    pub entries: Vec<RuleSource>,
}

/// One entry of `<rules>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSource {
    /// What it names.
    pub kind: RuleSourceKind,
    /// As given: for rules below `rules/`, all else below the installation.
    pub path: String,
    /// Line of the element, for messages.
    pub line: usize,
    file: PathBuf,
}

/// What an entry of `<rules>` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleSourceKind {
    /// A file of rules.
    Rules,
    /// A folder of rule files; those whose path matches the pattern (OS_Regex).
    RulesFolder(Vec<u8>),
    /// A file of decoders.
    Decoders,
    /// A folder of decoder files; those whose path matches the pattern (OS_Regex).
    DecodersFolder(Vec<u8>),
    /// A list.
    List,
}

/// What is to be read; paths begin with the root that was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleFiles {
    /// Decoder files, in order.
    pub decoders: Vec<PathBuf>,
    /// Rule files, in order.
    pub rules: Vec<PathBuf>,
    /// Lists, in order.
    pub lists: Vec<PathBuf>,
}

impl RuleSources {
    pub(crate) fn read(&mut self, section: &Element, report: &mut Report) {
        for child in report.leaves(section, NAMES, WITH_ATTRIBUTES) {
            let Some(path) = report.filled(child) else { continue };
            let kind = match child.name.as_str() {
                "include" | "rule" => RuleSourceKind::Rules,
                "rule_dir" => RuleSourceKind::RulesFolder(pattern(child, report)),
                "decoder" => RuleSourceKind::Decoders,
                "decoder_dir" => RuleSourceKind::DecodersFolder(pattern(child, report)),
                _ => RuleSourceKind::List,
            };
            let (path, file) = (path.trim().to_owned(), report.file().to_owned());
            self.entries.push(RuleSource { kind, path, line: child.line, file });
        }
    }

    /// The texts of the lists, in order.
    pub fn list_files(&self, root: &Path) -> Vec<PathBuf> {
        let lists = self.entries.iter().filter(|entry| entry.kind == RuleSourceKind::List);
        lists.map(|entry| root.join(list_path(&entry.path))).collect()
    }

    /// Looks into the folders now, so that a reload sees new files.
    ///
    /// A file that is named by itself is only checked to be there by whoever reads it.
    ///
    /// # Errors
    /// A folder that can't be read.
    pub fn resolve(&self, root: &Path) -> Result<RuleFiles, ConfigErrors> {
        let mut files = RuleFiles { lists: self.list_files(root), ..RuleFiles::default() };
        for entry in &self.entries {
            match &entry.kind {
                RuleSourceKind::Rules => files.rules.push(root.join("rules").join(&entry.path)),
                RuleSourceKind::Decoders => files.decoders.push(root.join(&entry.path)),
                RuleSourceKind::List => {}
                RuleSourceKind::RulesFolder(pattern) => {
                    entry.add_folder(root, pattern, &mut files.rules)?;
                }
                RuleSourceKind::DecodersFolder(pattern) => {
                    entry.add_folder(root, pattern, &mut files.decoders)?;
                }
            }
        }
        if files.decoders.is_empty() {
            let [shipped, local] = DEFAULT_DECODERS.map(|path| root.join(path));
            files.decoders.push(shipped);
            files.decoders.extend(local.exists().then_some(local));
        }
        Ok(files)
    }
}

/// A list's text below the root: a bare name lies in `rules`, and `x.cdb` is the compiled form of `x`.
fn list_path(given: &str) -> PathBuf {
    let text = given.strip_suffix(".cdb").unwrap_or(given);
    if text.contains('/') { PathBuf::from(text) } else { Path::new("rules").join(text) }
}

impl RuleSource {
    /// Adds the matching files of the folder in the order of their bytes, but those that are listed already.
    fn add_folder(
        &self,
        root: &Path,
        pattern: &[u8],
        list: &mut Vec<PathBuf>,
    ) -> Result<(), ConfigErrors> {
        let folder = root.join(&self.path);
        // Checked when the section was read; if it were not one, the folder would count as empty.
        let pattern = Regex::new(pattern).ok();
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).map_err(|error| self.unreadable(&folder, &error))? {
            let name = entry.map_err(|error| self.unreadable(&folder, &error))?.file_name();
            let shown = Path::new(&self.path).join(&name);
            let shown = shown.as_os_str().as_bytes();
            if pattern.as_ref().is_some_and(|pattern| pattern.is_match(shown)) {
                found.push(folder.join(name));
            }
        }
        found.sort();
        found.retain(|path| !list.contains(path));
        list.extend(found);
        Ok(())
    }

    fn unreadable(&self, folder: &Path, error: &std::io::Error) -> ConfigErrors {
        let complaint = ConfigError {
            number: Some(1103),
            text: unreadable(folder, error),
            file: self.file.clone(),
            line: self.line,
            hint: "expected a folder that can be read".to_owned(),
        };
        ConfigErrors::new(&self.file, vec![complaint])
    }
}

fn pattern(child: &Element, report: &mut Report) -> Vec<u8> {
    report.only_attributes(child, &["pattern"]);
    let pattern = child.attribute("pattern").unwrap_or(DEFAULT_PATTERN);
    report.os_regex(child, pattern);
    pattern.to_vec()
}
