//! From the configuration to an engine, as the analysis daemon would build it, but with the test tool's behaviour.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

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

impl Setup {
    /// Reads `config` and what it names below `root`; `host` is who writes lines without a host name.
    pub(super) fn load(root: &Path, config: &Path, host: &str) -> Result<Self, SetupError> {
        let settings = settings::load(config).map_err(SetupError::Settings)?;
        let tunables = InternalOptions::load(root).map_err(SetupError::Settings)?;
        let files = settings.rules.resolve(root).map_err(SetupError::Settings)?;
        let read = |paths: &[PathBuf]| {
            paths.iter().map(|path| Named::read(root, path)).collect::<Result<Vec<_>, _>>()
        };
        let (decoders, rules, lists) =
            (read(&files.decoders)?, read(&files.rules)?, read(&files.lists)?);
        let number = |key| usize::try_from(tunables.number(key)).unwrap_or(usize::MAX);
        let options = Options {
            mode: Mode::Tool,
            hostname: host.as_bytes().to_vec(),
            decoder_order_size: number("analysisd.decoder_order_size"),
            default_timeframe: u32::try_from(tunables.number("analysisd.default_timeframe"))
                .unwrap_or(u32::MAX),
            fts_list_size: number("analysisd.fts_list_size"),
            fts_min_size_for_str: number("analysisd.fts_min_size_for_str"),
            log_level: settings.alerts.log,
            email_level: settings.alerts.email,
            memory_size: settings.global.memory_size,
            sid_prev_matched_max: number("analysisd.sid_prev_matched_max"),
            ..Options::default()
        };
        let loaded = rules::load(&sources(&decoders), &sources(&rules), &sources(&lists), options)
            .map_err(SetupError::Rules)?;
        let warnings = settings.warnings.iter().map(ToString::to_string);
        let warnings = warnings.chain(loaded.warnings.iter().map(ToString::to_string)).collect();
        Ok(Self { engine: loaded.engine, warnings })
    }
}

/// A file's text under the name by which messages call it.
struct Named {
    name: String,
    text: Vec<u8>,
}

impl Named {
    fn read(root: &Path, path: &Path) -> Result<Self, SetupError> {
        let text = fs::read(path).map_err(|error| SetupError::File(path.to_owned(), error))?;
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
