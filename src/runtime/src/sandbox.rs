//! What is left to a daemon that was taken over: the paths that it declares, no network unless declared, no
//! programs unless declared, and no system call that changes the machine.
//!
//! Landlock closes the paths (on kernels without it, a chroot into the install root, where root starts the
//! daemon and nothing outside is declared); seccomp closes the calls. What cannot be had here is said once.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

/// What a daemon declares to need after its start. Paths are relative to the install root, or absolute.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sandbox<'a> {
    /// Files, and folders with all below them, that it reads. `etc` and the folder of the configuration file always are.
    pub read: &'a [&'a str],
    /// Files, and folders with all below them, that it reads and writes. `/` lifts the limits on paths altogether.
    pub write: &'a [&'a str],
    /// It talks to other machines (TCP, UDP); sockets of this machine are always open.
    pub network: bool,
    /// It takes ports of this machine, to see which are free, but connects to nobody. (No sandbox of this kind closes the sending of
    /// UDP datagrams.)
    pub bind: bool,
    /// Programs, and folders with all programs below them, that it runs: they inherit the sandbox, read everything, and write only what is
    /// declared here. Where the kernel has no Landlock, any program can be run if one can.
    pub exec: &'a [&'a str],
}

impl Sandbox<'_> {
    /// Whether a chroot into the install root leaves everything that is declared in reach.
    pub(crate) fn fits_in_root(&self) -> bool {
        self.exec.is_empty()
            && !self.read.iter().chain(self.write).any(|path| path.starts_with('/'))
    }

    /// Closes all paths but the declared ones, by Landlock. What a reload reads stays open: `etc/` and the folder of
    /// the configuration file (the folder, since an editor puts a new file in the place of the old one).
    pub(crate) fn close_paths(&self, root: &Path, config: &Path) {
        if self.write.contains(&"/") {
            log::debug!("declares to write everywhere: paths stay open");
            return;
        }
        self.warn_of_missing(root);
        match self.restrict(root, config) {
            Ok(RulesetStatus::FullyEnforced) => log::debug!("paths closed by Landlock"),
            Ok(RulesetStatus::PartiallyEnforced) => {
                log::info!(
                    "This kernel's Landlock is an early one: paths are closed, some other doors are not."
                );
            }
            Ok(RulesetStatus::NotEnforced) => {
                log::info!(
                    "This kernel has no Landlock: paths stay open as far as file modes allow."
                );
            }
            Err(error) => log::info!("Landlock could not close the paths: {error}."),
        }
    }

    fn restrict(&self, root: &Path, config: &Path) -> Result<RulesetStatus, RulesetError> {
        let below =
            |paths: &[&str]| -> Vec<PathBuf> { paths.iter().map(|path| root.join(path)).collect() };
        let mut rules = Ruleset::default().handle_access(AccessFs::from_all(HANDLED))?;
        if self.bind && !self.network {
            rules = rules.handle_access(AccessNet::ConnectTcp)?;
        } else if !self.network {
            rules = rules.handle_access(AccessNet::from_all(HANDLED))?;
        }
        // What we start is in our own scope; programs that people choose may have others to signal.
        if !self.exec.contains(&"/") {
            rules = rules.scope(Scope::Signal)?;
        }
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let mut rules = rules
            .create()?
            .add_rules(path_beneath_rules(below(self.read), read))?
            .add_rules(path_beneath_rules(config.parent(), read))?
            .add_rules(path_beneath_rules([root.join("etc")], read))?
            .add_rules(path_beneath_rules(below(self.write), writing()))?
            // Append to the log and make a new one after a rotation, but never remove or cut it.
            .add_rules(path_beneath_rules([root.join("logs")], LOGGING))?
            .add_rules(path_beneath_rules([root.join(crate::instance::RUN)], writing()))?
            .add_rules(path_beneath_rules(["/dev/null"], AccessFs::ReadFile | AccessFs::WriteFile))?
            .add_rules(path_beneath_rules(ALWAYS_READ, read))?;
        if self.network {
            rules = rules.add_rules(path_beneath_rules(NETWORK_READ, read))?;
        }
        if !self.exec.is_empty() {
            let programs = below(self.exec).into_iter().chain(LOADERS.map(PathBuf::from));
            rules = rules
                .add_rules(path_beneath_rules(["/"], read))?
                .add_rules(path_beneath_rules(programs, read | AccessFs::Execute))?;
        }
        Ok(rules.restrict_self()?.ruleset)
    }

    /// Landlock closes a path that is not there for good, even if it comes later.
    fn warn_of_missing(&self, root: &Path) {
        for path in self.write.iter().map(|path| root.join(path)).filter(|path| !path.exists()) {
            log::warn!(
                "'{}' does not exist and stays out of reach until the next start.",
                path.display()
            );
        }
    }
}

/// Whether this kernel can close paths at all.
pub(crate) fn kernel_has_landlock() -> bool {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(Ruleset::create)
        .is_ok()
}

/// All that files need; no devices, no programs.
fn writing() -> BitFlags<AccessFs> {
    AccessFs::from_all(HANDLED)
        & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev)
}

/// The version of Landlock whose doors are known here and tested; older kernels do what they can of it.
const HANDLED: ABI = ABI::V6;

const LOGGING: BitFlags<AccessFs> =
    landlock::make_bitflags!(AccessFs::{WriteFile | MakeReg | ReadDir});

/// What the standard library and every daemon may want to look at.
const ALWAYS_READ: [&str; 4] = ["/dev/urandom", "/dev/random", "/etc/localtime", "/proc/self"];

/// What resolving names takes.
const NETWORK_READ: [&str; 6] = [
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/run/systemd/resolve",
];

/// What the kernel runs for a program with shared libraries (the library itself is only read).
const LOADERS: [&str; 6] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-linux-riscv64-lp64d.so.1",
    "/lib64/ld64.so.2",
    "/lib/ld64.so.1",
    "/lib/ld-linux-armhf.so.3",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_below_the_root_fits_in_a_chroot() {
        let inside = Sandbox { read: &["etc"], write: &["queue"], ..Sandbox::default() };
        assert!(inside.fits_in_root());
        assert!(!Sandbox { exec: &["/bin/sh"], ..inside }.fits_in_root());
        assert!(!Sandbox { read: &["etc", "/var/log"], ..inside }.fits_in_root());
    }
}
