//! What the configuration gives to analysis: the engine with its rules, the outputs, the responses. Made at start and on each
//! reload, beside the one in force; a bad file leaves that one running.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rules::{Engine, LoadError, Mode, Options, Source};
use settings::{ConfigErrors, InternalOptions, Settings};

use crate::fim_store::{HistoryLimits, Policy};
use crate::output::Switches;
use crate::response::Responses;
use crate::statistics::Limits;
use crate::storm;

/// Everything that one version of the configuration decides.
#[derive(Debug)]
pub(crate) struct Setup {
    /// Decoders and rules.
    pub engine: Engine,
    /// Which outputs are on.
    pub switches: Switches,
    /// The active responses that rules are bound to.
    pub responses: Responses,
    /// When an hour has too many events.
    pub stats: Limits,
    /// File integrity, the manager's part.
    pub fim: Policy,
    /// When file events are summed up.
    pub storm: storm::Limits,
    /// The settings themselves.
    pub settings: Settings,
}

/// Why there is no setup.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// `ossec.conf`, or a folder that it names.
    Settings(ConfigErrors),
    /// A file that it names cannot be read.
    File(PathBuf, io::Error),
    /// Decoders, rules or lists.
    Rules(Vec<LoadError>),
}

impl Setup {
    /// Reads `config` and all that it names below `root`; `hostname` is this server's, for events without one.
    ///
    /// # Errors
    /// See [`Trouble`]; [`Trouble::log`] says all of it.
    pub(crate) fn load(
        root: &Path,
        config: &Path,
        options: &InternalOptions,
        hostname: &str,
    ) -> Result<Self, Trouble> {
        let settings = settings::load(config).map_err(Trouble::Settings)?;
        for warning in &settings.warnings {
            log::warn!("{warning}");
        }
        let files = settings.rules.resolve(root).map_err(Trouble::Settings)?;
        let decoders = read(root, &files.decoders, |path| fs::read(path))?;
        let rule_files = read(root, &files.rules, |path| fs::read(path))?;
        let lists = read(root, &files.lists, settings::read_list)?;
        let (responses, bindings) = Responses::of(&settings);
        let engine_options = Options {
            responses: bindings,
            ..ruleset::options(Mode::Daemon, hostname, &settings, options)
        };
        let loaded = rules::load(
            &sources(&decoders),
            &sources(&rule_files),
            &sources(&lists),
            engine_options,
        )
        .map_err(Trouble::Rules)?;
        for warning in &loaded.warnings {
            log::warn!("{warning}");
        }
        if let Some(warning) = rules::lint::unheard_file_events(&loaded.engine) {
            log::warn!("{warning}.");
        }
        let fim = Policy {
            auto_ignore: settings.syscheck.auto_ignore,
            often: seconds(options.number("analysisd.fim_often_seconds")),
            alert_new_files: settings.syscheck.alert_new_files,
            alert_first_scan: options.flag("analysisd.alert_first_scan"),
            ignore: settings.syscheck.ignore.iter().filter_map(prefix).collect(),
            resync: options.flag("analysisd.fim_resync"),
            history: HistoryLimits {
                bytes: options.number("analysisd.fim_history_mb") << 20,
                age: seconds(options.number("analysisd.fim_history_days").saturating_mul(86_400)),
            },
        };
        let storm = storm::Limits {
            alerts: options.number("analysisd.fim_storm_alerts"),
            seconds: seconds(options.number("analysisd.fim_storm_seconds")),
            level: u8::try_from(options.number("analysisd.fim_storm_level")).unwrap_or(u8::MAX),
        };
        let switches = Switches::of(&settings.global, options.flag("analysisd.log_fw"));
        let stats = Limits {
            level: settings.global.stats,
            percent: options.number("analysisd.stats_percent_diff"),
            least: options.number("analysisd.stats_mindiff"),
            most: options.number("analysisd.stats_maxdiff"),
        };
        Ok(Self { engine: loaded.engine, switches, responses, stats, fim, storm, settings })
    }
}

fn seconds(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn read(
    root: &Path,
    paths: &[PathBuf],
    content: fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Vec<(String, Vec<u8>)>, Trouble> {
    let name = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
    paths
        .iter()
        .map(|path| {
            content(path)
                .map(|text| (name(path), text))
                .map_err(|error| Trouble::File(path.clone(), error))
        })
        .collect()
}

fn sources(files: &[(String, Vec<u8>)]) -> Vec<Source<'_>> {
    files.iter().map(|(name, text)| Source { name, text }).collect()
}

impl Trouble {
    /// Says everything that is wrong, a line each.
    pub(crate) fn log(&self) {
        match self {
            Self::Settings(errors) => errors.log(),
            Self::File(path, error) => {
                let number = error.raw_os_error().unwrap_or_default();
                log::error!(
                    "(1103) Could not open file '{}' due to [({number})-({error})].",
                    path.display()
                );
            }
            Self::Rules(errors) => errors.iter().for_each(|error| log::error!("{error}")),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(errors) => f.write_str(&errors.closing()),
            Self::File(path, _) => {
                write!(f, "(1220) Error loading the rules: '{}'.", path.display())
            }
            Self::Rules(errors) => {
                let file = errors.first().map_or("", |error| error.file.as_str());
                write!(f, "(1220) Error loading the rules: '{file}'.")
            }
        }
    }
}

fn prefix(ignore: &settings::Ignore) -> Option<Vec<u8>> {
    match ignore {
        settings::Ignore::Prefix(prefix) => Some(prefix.clone()),
        // What matches a pattern is left out where the file lies; the original takes the pattern's text for a prefix here.
        settings::Ignore::Pattern(_) => None,
    }
}
