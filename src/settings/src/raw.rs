//! From a file to its sections: well-formed, under the right root, not yet looked into.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use xml::Element;

use crate::error::{ConfigError, ConfigErrors};
use crate::report::Report;

/// A configuration larger than this is none, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// The whole file, within reason.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_FILE).read_to_end(&mut text)?;
    Ok(text)
}

pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, ConfigErrors> {
    match read(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let sentence = format!("Configuration file not found: '{}'.", path.display());
            Err(ConfigErrors::one(path, 1239, sentence, "create it, or name another with -c"))
        }
        Err(error) => {
            let sentence = unreadable(path, &error);
            Err(ConfigErrors::one(path, 1103, sentence, "check owner and mode of the file"))
        }
    }
}

pub(crate) fn unreadable(path: &Path, error: &io::Error) -> String {
    let number = error.raw_os_error().unwrap_or(0);
    let full = error.to_string();
    let reason = full.split(" (os error").next().unwrap_or_default();
    format!("Could not open file '{}' due to [({number})-({reason})].", path.display())
}

/// The root elements; a file without any, such as one cut short by a full disk, is refused rather than taken for defaults.
pub(crate) fn some_roots(text: &[u8], file: &Path) -> Result<Vec<Element>, ConfigErrors> {
    let roots = roots(text, file)?;
    if roots.is_empty() {
        let sentence =
            format!("Invalid NULL element in the configuration. '{}' has none.", file.display());
        return Err(ConfigErrors::one(file, 1231, sentence, "expected <ossec_config>"));
    }
    Ok(roots)
}

/// The root elements, of which there may be none.
pub(crate) fn roots(text: &[u8], file: &Path) -> Result<Vec<Element>, ConfigErrors> {
    xml::parse(text).map_err(|error| {
        // The sentence has file and line already.
        let text = format!("Error reading XML file '{}': {error}.", file.display());
        let (file, line) = (file.to_owned(), error.line);
        let hint = String::new();
        let complaint = ConfigError { number: Some(1226), text, file: file.clone(), line, hint };
        ConfigErrors::new(&file, vec![complaint])
    })
}

/// The sections below all roots of this name; other roots are errors.
pub(crate) fn sections(
    roots: Vec<Element>,
    root_name: &str,
    applies: &dyn Fn(&Element) -> bool,
    report: &mut Report,
) -> Vec<Element> {
    let mut sections = Vec::new();
    for root in roots {
        if root.name != root_name {
            report.unknown(&root, &[root_name]);
            continue;
        }
        let known: &[&str] =
            if root_name == "agent_config" { &["name", "os", "profile", "overwrite"] } else { &[] };
        report.only_attributes(&root, known);
        if applies(&root) {
            sections.extend(root.children);
        }
    }
    sections
}
