//! From the configuration to an engine, as the analysis daemon would build it, but with the test tool's behaviour.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rules::lint::{self, Finding};
use rules::{Engine, LoadError, Mode, Options, Source};
use settings::{ConfigErrors, InternalOptions};

/// An engine, and what is odd about its files.
pub(super) struct Setup {
    /// Ready to decode and judge.
    pub(super) engine: Engine,
    /// Sentences for the user.
    pub(super) warnings: Vec<String>,
}

/// Why there is no engine.
#[derive(Debug)]
pub(super) enum SetupError {
    /// `ossec.conf`, `internal_options.conf` or a folder that they name.
    Settings(ConfigErrors),
    /// A file that they name cannot be read.
    File(PathBuf, io::Error),
    /// Decoders, rules or lists.
    Rules(Vec<LoadError>),
}

/// The configured files, read but not yet understood.
pub(super) struct Files {
    decoders: Vec<Named>,
    rules: Vec<Named>,
    lists: Vec<Named>,
    options: Options,
    warnings: Vec<String>,
}

impl Setup {
    /// Reads `config` and what it names below `root`; `host` is who writes lines without a host name.
    pub(super) fn load(root: &Path, config: &Path, host: &str) -> Result<Self, SetupError> {
        Files::read(root, config, host)?.load()
    }
}

impl Files {
    /// Reads `config` and what it names below `root`.
    pub(super) fn read(root: &Path, config: &Path, host: &str) -> Result<Self, SetupError> {
        let settings = settings::load(config).map_err(SetupError::Settings)?;
        let tunables = InternalOptions::load(root).map_err(SetupError::Settings)?;
        let files = settings.rules.resolve(root).map_err(SetupError::Settings)?;
        let options = ruleset::options(Mode::Tool, host, &settings, &tunables);
        Ok(Self {
            decoders: Named::read_all(root, &files.decoders)?,
            rules: Named::read_all(root, &files.rules)?,
            lists: Named::read_lists(root, &files.lists)?,
            options,
            warnings: settings.warnings.iter().map(ToString::to_string).collect(),
        })
    }

    /// Makes an engine of them.
    pub(super) fn load(&self) -> Result<Setup, SetupError> {
        let (decoders, rules) = (sources(&self.decoders), sources(&self.rules));
        let loaded = rules::load(&decoders, &rules, &sources(&self.lists), self.options.clone())
            .map_err(SetupError::Rules)?;
        let warnings = loaded.warnings.iter().map(ToString::to_string);
        let unheard = lint::unheard_file_events(&loaded.engine);
        let warnings = self.warnings.iter().cloned().chain(warnings).chain(unheard).collect();
        Ok(Setup { engine: loaded.engine, warnings })
    }

    /// What is odd in decoders and rules, though they load.
    pub(super) fn lint(&self, engine: &Engine) -> Vec<Finding> {
        lint::lint(&sources(&self.decoders), &sources(&self.rules), engine)
    }

    /// The same, with the rules of a folder in the place of the configured ones: those of the same names in the
    /// same order, then the others by name. A `decoder.xml` or `local_decoder.xml` there is taken, too.
    pub(super) fn with_rules_of(mut self, folder: &Path) -> Result<Self, SetupError> {
        let unreadable = |error| SetupError::File(folder.to_owned(), error);
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "xml") {
                paths.push(path);
            }
        }
        paths.sort();
        let is_decoder = |path: &PathBuf| {
            path.file_name()
                .is_some_and(|name| name == "decoder.xml" || name == "local_decoder.xml")
        };
        let (decoders, mut rules): (Vec<_>, Vec<_>) = paths.into_iter().partition(is_decoder);
        if rules.is_empty() {
            let nothing = io::Error::new(io::ErrorKind::NotFound, "no *.xml rule file in it");
            return Err(unreadable(nothing));
        }
        let place = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_it = |rule: &Named| rule.name.rsplit('/').next() == Some(&*name);
            self.rules.iter().position(is_it).unwrap_or(usize::MAX)
        };
        rules.sort_by_key(place);
        self.rules = Named::read_all(folder, &rules)?;
        if !decoders.is_empty() {
            self.decoders = Named::read_all(folder, &decoders)?;
        }
        Ok(self)
    }
}

/// A file's text under the name by which messages call it.
struct Named {
    name: String,
    text: Vec<u8>,
}

impl Named {
    fn read_all(root: &Path, paths: &[PathBuf]) -> Result<Vec<Self>, SetupError> {
        paths.iter().map(|path| Self::read(root, path)).collect()
    }

    fn read_lists(root: &Path, paths: &[PathBuf]) -> Result<Vec<Self>, SetupError> {
        paths.iter().map(|path| Self::take(root, path, settings::read_list(path))).collect()
    }

    fn read(root: &Path, path: &Path) -> Result<Self, SetupError> {
        Self::take(root, path, fs::read(path))
    }

    fn take(root: &Path, path: &Path, text: io::Result<Vec<u8>>) -> Result<Self, SetupError> {
        let text = text.map_err(|error| SetupError::File(path.to_owned(), error))?;
        Ok(Self { name: path.strip_prefix(root).unwrap_or(path).display().to_string(), text })
    }
}

fn sources(files: &[Named]) -> Vec<Source<'_>> {
    files.iter().map(|file| Source { name: &file.name, text: &file.text }).collect()
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(errors) => write!(f, "{errors}\n{}", errors.closing()),
            Self::File(path, error) => {
                write!(
                    f,
                    "(1103) Could not open file '{}' due to [{}].",
                    path.display(),
                    runtime::errno(error)
                )
            }
            Self::Rules(errors) => {
                for error in errors {
                    writeln!(f, "{error}")?;
                }
                let file = errors.first().map_or("", |error| error.file.as_str());
                write!(f, "(1220) Error loading the rules: '{file}'.")
            }
        }
    }
}
