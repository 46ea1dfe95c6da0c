//! A daemon from its start to its end: [`Start`] before it runs, [`Daemon`] while it does.

use std::io;
use std::path::{Path, PathBuf};

use settings::InternalOptions;
use sys::background::{self, Side};

use crate::args::Arguments;
use crate::failure::{Failure, errno};
use crate::identity::{Identity, Names};
use crate::instance::{Held, RUN};
use crate::sandbox::{self, Sandbox};
use crate::signals::Signals;
use crate::{Program, accounts, folders, logging, notify, seccomp};

/// A program that has been started and has read its options, but does nothing yet: here settings are read and checked.
#[derive(Debug)]
pub struct Start {
    program: &'static Program,
    root: PathBuf,
    config: PathBuf,
    arguments: Arguments,
    options: InternalOptions,
}

impl Start {
    pub(crate) fn prepare(
        program: &'static Program,
        root: PathBuf,
        arguments: Arguments,
    ) -> Result<Self, Failure> {
        let config = arguments.config.clone().unwrap_or_else(|| root.join("etc/ossec.conf"));
        // A daemon leaves its working folder, and reads its configuration again on reload.
        let config = std::path::absolute(&config).unwrap_or(config);
        let options = InternalOptions::load(&root)?;
        let this = Self { program, root, config, arguments, options };
        logging::set_debug(this.debug());
        Ok(this)
    }

    /// The command line overrides the option of the program.
    fn debug(&self) -> u8 {
        match (self.arguments.debug, self.program.debug_option) {
            (0, Some(option)) => u8::try_from(self.options.number(option)).unwrap_or(u8::MAX),
            (level, _) => level,
        }
    }

    /// The install root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The configuration file, absolute.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Whether only the configuration is to be checked (`-t`): then `run` returns instead of entering.
    pub fn test_only(&self) -> bool {
        self.arguments.test_only
    }

    /// The checked values of `internal_options.conf`.
    pub fn options(&self) -> &InternalOptions {
        &self.options
    }

    /// Goes to the background unless `-f`, takes the instance lock and the pid file, installs signal handling.
    ///
    /// To be called before any thread is started. The launcher's process ends in here.
    ///
    /// # Errors
    /// The user is unknown (1203), fork failed (1101), another instance runs, `var/run` cannot be written (1212).
    pub fn enter(self) -> Result<Daemon, Failure> {
        let Arguments { user, group, foreground, .. } = &self.arguments;
        let (user, group) = (user.as_deref(), group.as_deref());
        let identity = Identity::find(&self.program.privilege, user, group)?;
        let launched = if *foreground { None } else { Some(go_to_background()?) };
        let held = Held::take(&self.root, self.program.name, identity.gid())?;
        let signals = Signals::install().map_err(|error| {
            Failure::new(None, format!("signals cannot be handled due to [{}]", errno(&error)))
        })?;
        let daemon = Daemon { start: self, identity, assumed: false, held, signals };
        daemon.require_writable(&[RUN])?;
        logging::open_now();
        // One that stays root appends to the log by its group, and leaves making a new one to the others.
        if !matches!(identity, Identity::Reduce { .. })
            && let Err(failure) = daemon.require_writable(&["logs"])
        {
            log::warn!("{failure}");
        }
        if let Some(launched) = launched {
            logging::set_terminal(false);
            launched.standing().map_err(cannot_fork)?;
        }
        Ok(daemon)
    }
}

fn go_to_background() -> Result<background::Launched, Failure> {
    match background::detach().map_err(cannot_fork)? {
        Side::Daemon(launched) => Ok(launched),
        #[expect(
            clippy::disallowed_methods,
            reason = "the launcher holds nothing; the daemon lives on"
        )]
        Side::Launcher { standing } => std::process::exit(i32::from(!standing)),
    }
}

fn cannot_fork(error: io::Error) -> Failure {
    let why = errno(&error);
    Failure::new(
        Some(1101),
        format!("Could not fork due to [{why}]. With -f it stays in the foreground."),
    )
}

/// A daemon at work; dropping it removes the pid file.
#[derive(Debug)]
pub struct Daemon {
    start: Start,
    identity: Identity,
    /// Whether we are who we are to be.
    assumed: bool,
    held: Held,
    signals: Signals,
}

impl Daemon {
    /// The install root as this process sees it: after a chroot by [`Daemon::confine`] that is `/`, so ask again.
    pub fn root(&self) -> &Path {
        &self.start.root
    }

    /// The configuration file, as this process sees it.
    pub fn config(&self) -> &Path {
        &self.start.config
    }

    /// The checked values of `internal_options.conf`.
    pub fn options(&self) -> &InternalOptions {
        &self.start.options
    }

    /// Reads `internal_options.conf` again, for a reload; the debug level follows. On an error all stays as it was.
    ///
    /// # Errors
    /// A value is missing or out of its range.
    pub fn reload_options(&mut self) -> Result<(), Failure> {
        self.start.options = InternalOptions::load(&self.start.root)?;
        logging::set_debug(self.start.debug());
        Ok(())
    }

    /// The signals that have come, and a descriptor to poll for them.
    pub fn signals(&mut self) -> &mut Signals {
        &mut self.signals
    }

    /// Says at once, with the remedy, when one of these folders (relative to the root) cannot be written by the
    /// user whom this daemon is or will be.
    ///
    /// # Errors
    /// One line for each such folder.
    pub fn require_writable(&self, folders: &[&str]) -> Result<(), Failure> {
        folders::require_writable(self.root(), folders, self.identity, self.assumed, &self.names())
    }

    /// Gives up what is not needed, for good: the user or the capabilities, then the paths, then the system calls.
    /// A step that is not possible here is said once, and passed over.
    ///
    /// To be called before any thread is started: these limits are inherited, not shared.
    ///
    /// # Errors
    /// Root could not be given up (1130, 1131, 1132), or threads were started before.
    pub fn confine(&mut self, sandbox: &Sandbox<'_>) -> Result<(), Failure> {
        if sys::process::threads().is_ok_and(|threads| threads > 1) {
            return Err(Failure::new(None, "threads were started before the daemon was confined"));
        }
        let becomes = matches!(self.identity, Identity::Become(_));
        let needs_chroot = becomes && sandbox.fits_in_root() && !sandbox::kernel_has_landlock();
        if needs_chroot {
            self.change_root()?;
        }
        self.identity.assume(&self.names())?;
        self.assumed = true;
        if let Err(error) = sys::privilege::no_new_privileges() {
            log::info!("New privileges cannot be ruled out here: [{}].", errno(&error));
        }
        if !needs_chroot {
            sandbox.close_paths(self.root(), self.config());
        }
        seccomp::close_calls(sandbox.network, sandbox.bind, !sandbox.exec.is_empty());
        Ok(())
    }

    /// Takes on the group, but stays root with all of its power and all paths: for execd, whose scripts may need any
    /// of it, and would inherit whatever confines it.
    ///
    /// # Errors
    /// The group cannot be taken on (1130).
    pub fn join_group(&mut self) -> Result<(), Failure> {
        self.identity.join_group(&self.names())
    }

    fn change_root(&mut self) -> Result<(), Failure> {
        let root = &self.start.root;
        sys::privilege::change_root(root).map_err(|error| {
            let (root, why) = (root.display(), errno(&error));
            Failure::new(
                Some(1132),
                format!("Unable to chroot to directory '{root}' due to [{why}]."),
            )
        })?;
        if let Ok(inside) = self.start.config.strip_prefix(root) {
            self.start.config = Path::new("/").join(inside);
        }
        let outside = std::mem::replace(&mut self.start.root, PathBuf::from("/"));
        logging::set_root(&self.start.root);
        log::info!("This kernel has no Landlock: confined by a chroot to {}.", outside.display());
        Ok(())
    }

    /// Logs `Started (pid: N).` and tells the supervisor that the work begins.
    pub fn ready(&self) {
        log::info!("Started (pid: {}).", std::process::id());
        notify::ready();
    }

    /// Writes the accounts, as lines `key=value`, to `var/run/<name>.state`; readers never see half of them.
    ///
    /// # Errors
    /// `var/run` cannot be written, or the disk is full.
    pub fn write_state(&self, accounts: &[(&str, u64)]) -> io::Result<()> {
        accounts::write(self.root(), self.start.program.name, accounts)
    }

    fn names(&self) -> Names<'_> {
        let Arguments { user, group, .. } = &self.start.arguments;
        Names::of(&self.start.program.privilege, user.as_deref(), group.as_deref())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.held.release(&self.start.root);
    }
}
