//! The tunables: built-in defaults, `etc/internal_options.conf`, `etc/local_internal_options.conf`, the later wins.
//!
//! The files hold `section.key=value` lines. A value is digits within its range; anything else is an error at start. An
//! unknown key is a warning only, since files of newer and older versions must start. Since each key has a built-in
//! value, OSSEC's `(2301) Definition not found` can't arise.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use config::{Config, Map, Source, Value};

use crate::error::{ConfigError, ConfigErrors};
use crate::nearest::nearest;
use crate::option_table::{OPTIONS, OptionSpec};
use crate::raw::{self, unreadable};
use crate::report::{digits, shown};

/// The files below the root; the later one wins.
const FILES: [&str; 2] = ["etc/internal_options.conf", "etc/local_internal_options.conf"];

/// All tunables with their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InternalOptions {
    values: BTreeMap<&'static str, u64>,
    warnings: Vec<ConfigError>,
}

/// The built-in values.
impl Default for InternalOptions {
    fn default() -> Self {
        let values = OPTIONS.iter().map(|option| (option.key, option.default)).collect();
        Self { values, warnings: Vec::new() }
    }
}

impl InternalOptions {
    /// Reads the files below the root; both may be missing.
    ///
    /// # Errors
    /// A file that can't be read, `(1119)` for a line that is no definition, `(2302)` for a value out of its range.
    pub fn load(root: &Path) -> Result<Self, ConfigErrors> {
        let mut layers = Vec::new();
        for name in FILES {
            let path = root.join(name);
            match raw::read(&path) {
                Ok(text) => layers.push(Layer::read(&text, path)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let hint = "check owner and mode of the file";
                    return Err(ConfigErrors::one(&path, 1103, unreadable(&path, &error), hint));
                }
            }
        }
        Self::of_layers(layers)
    }

    /// Checks the text of one such file over the built-in values; `file` is only named in errors.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(text: &[u8], file: &Path) -> Result<Self, ConfigErrors> {
        Self::of_layers(vec![Layer::read(text, file.to_owned())])
    }

    fn of_layers(layers: Vec<Layer>) -> Result<Self, ConfigErrors> {
        let mut errors: Vec<ConfigError> =
            layers.iter().flat_map(|layer| layer.errors.iter().cloned()).collect();
        let warnings = layers.iter().flat_map(|layer| layer.warnings.iter().cloned()).collect();
        let merged = merge(&layers);
        let mut values = BTreeMap::new();
        for option in OPTIONS {
            match value_of(&merged, option) {
                Ok(value) => {
                    values.insert(option.key, value);
                }
                Err(error) => errors.push(error),
            }
        }
        match errors.first() {
            None => Ok(Self { values, warnings }),
            Some(first) => Err(ConfigErrors::new(&first.file.clone(), errors)),
        }
    }

    /// The value of a known key.
    ///
    /// # Panics
    /// For a key that is not in [`OPTIONS`]: a slip in the program, which any test of the caller shows.
    pub fn number(&self, key: &'static str) -> u64 {
        match self.values.get(key) {
            Some(value) => *value,
            None => panic!("'{key}' is not in the table of internal options"),
        }
    }

    /// Whether the value of a known key is not 0.
    ///
    /// # Panics
    /// As [`number`](Self::number).
    pub fn flag(&self, key: &'static str) -> bool {
        self.number(key) != 0
    }

    /// Lines that mean nothing; each is to be logged once at start.
    pub fn warnings(&self) -> &[ConfigError] {
        &self.warnings
    }
}

/// One file as a source for `config`; its values know their line.
#[derive(Debug, Clone, Default)]
struct Layer {
    values: Map<String, Value>,
    errors: Vec<ConfigError>,
    warnings: Vec<ConfigError>,
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.values.clone())
    }
}

impl Layer {
    fn read(text: &[u8], file: PathBuf) -> Self {
        let mut layer = Self::default();
        for (at, line) in text.split(|b| *b == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !matches!(line.first(), None | Some(b'#' | b' ' | b'\t')) {
                layer.add(&String::from_utf8_lossy(line), &file, at + 1);
            }
        }
        layer
    }

    /// The first definition of a key in a file counts.
    fn add(&mut self, text: &str, file: &Path, line: usize) {
        let complaint = |number, text, hint: &str| ConfigError {
            number,
            text,
            file: file.to_owned(),
            line,
            hint: hint.to_owned(),
        };
        let Some((key, value)) = text.split_once('=').filter(|(key, _)| key.contains('.')) else {
            let text = format!("Invalid line on file '{}': {}.", file.display(), shown(text));
            return self.errors.push(complaint(Some(1119), text, "expected section.key=value"));
        };
        if OptionSpec::of(key).is_none() {
            let text = format!("Unknown internal option '{}', ignoring it.", shown(key));
            let near = nearest(key, OPTIONS.iter().map(|option| option.key));
            let hint = near.map_or("no such option is known".to_owned(), |near| {
                format!("did you mean '{near}'?")
            });
            return self.warnings.push(complaint(None, text, &hint));
        }
        let origin = Place { file: file.to_owned(), line }.to_origin();
        self.values.entry(key.to_owned()).or_insert_with(|| Value::new(Some(&origin), value));
    }
}

/// Where a value comes from, as `config` carries it along.
struct Place {
    file: PathBuf,
    line: usize,
}

impl Place {
    fn to_origin(&self) -> String {
        format!("{}:{}", self.line, self.file.display())
    }

    fn of(origin: Option<&str>) -> Self {
        let (line, file) = origin.and_then(|o| o.split_once(':')).unwrap_or(("0", "built-in"));
        Self { file: PathBuf::from(file), line: line.parse().unwrap_or(0) }
    }
}

/// Built-in values below, then the layers in order.
fn merge(layers: &[Layer]) -> Map<String, Value> {
    let mut builder = Config::builder();
    let defaults = OPTIONS.iter().map(|o| (o.key.to_owned(), Value::new(None, o.default)));
    builder = builder.add_source(Layer { values: defaults.collect(), ..Layer::default() });
    for layer in layers {
        builder = builder.add_source(layer.clone());
    }
    // Layers hold known keys only, which are plain names, and their texts are not looked into here.
    let config = builder.build().expect("layers of plain keys merge");
    config.cache.into_table().unwrap_or_default()
}

fn value_of(merged: &Map<String, Value>, option: &OptionSpec) -> Result<u64, ConfigError> {
    let (section, name) = option.key.split_once('.').unwrap_or((option.key, ""));
    let section = merged.get(section).and_then(|value| value.clone().into_table().ok());
    let Some(value) = section.and_then(|mut section| section.remove(name)) else {
        return Ok(option.default);
    };
    let Place { file, line } = Place::of(value.origin());
    let text = value.into_string().unwrap_or_default();
    let number = digits(text.as_bytes()).filter(|n| (option.min..=option.max).contains(n));
    number.ok_or_else(|| ConfigError {
        number: Some(2302),
        text: format!("Invalid definition for {}: '{}'.", option.key, shown(&text)),
        file,
        line,
        hint: format!(
            "expected a number of digits only, {} to {}, default {}",
            option.min, option.max, option.default
        ),
    })
}
