//! One scan: the lists are read, then one check after the other tells what it finds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use settings::Rootcheck;

use crate::check::tree::Wanted;
use crate::check::{audit, dev, files, interfaces, modules, pids, ports, preload, tree, trojans};
use crate::grammar::Complaint;
use crate::grammar::policy::Policy;
use crate::grammar::rootkits::Rootkits;
use crate::grammar::trojans::Trojans;
use crate::pace::{Pace, Stopped};
use crate::packages::Ships;
use crate::scene::{Said, Scene, whole};

/// The manager keeps times in whole seconds: what a scan found is to be older than its end.
const BEFORE_THE_END: Duration = Duration::from_secs(2);

/// Where a scan takes place, and whom it tells.
pub struct Scan<'a> {
    /// What is looked for.
    pub settings: &'a Rootcheck,
    /// The install root, for lists that are named relative to it and for what is remembered.
    pub root: &'a Path,
    /// How fast.
    pub pace: Pace,
    /// What was said in the log before.
    pub said: &'a mut Said,
    /// Asked about a file before it is accused.
    pub ships: &'a Ships,
    /// Takes each message for the manager.
    pub tell: &'a mut dyn FnMut(Vec<u8>) -> Result<(), Stopped>,
}

impl Scan<'_> {
    /// Looks for everything; a scan that is stopped does not tell of its end.
    ///
    /// # Errors
    /// When it was stopped.
    pub fn run(self) -> Result<(), Stopped> {
        let mut scene = Scene {
            settings: self.settings,
            base: self.settings.base_directory.clone(),
            root: self.root.to_owned(),
            pace: self.pace,
            said: self.said,
            ships: self.ships,
            tell: self.tell,
        };
        log::info!(target: "rootcheck", "Starting rootcheck scan.");
        scene.found(&[b"Starting rootcheck scan."])?;
        check_all(&mut scene)?;
        scene.pace.wait(BEFORE_THE_END)?;
        scene.found(&[b"Ending rootcheck scan."])?;
        log::info!(target: "rootcheck", "Ending rootcheck scan.");
        Ok(())
    }
}

fn check_all(scene: &mut Scene<'_>) -> Result<(), Stopped> {
    let checks = scene.settings.checks;
    let list = scene.settings.rootkit_files.as_deref().filter(|_| checks.files);
    let rootkits =
        list.and_then(|path| list_of(scene, path, Rootkits::parse, |list| &list.complaints));
    let rootkits = rootkits.unwrap_or_default();
    if checks.files {
        files::run(scene, &rootkits)?;
    }
    let list = scene.settings.rootkit_trojans.as_deref().filter(|_| checks.trojans);
    if let Some(list) =
        list.and_then(|path| list_of(scene, path, Trojans::parse, |list| &list.complaints))
    {
        trojans::run(scene, &list)?;
    }
    if checks.audit && !scene.settings.system_audit.is_empty() {
        let processes = audit::processes();
        for path in &scene.settings.system_audit {
            if let Some(policy) = list_of(scene, path, Policy::parse, |policy| &policy.complaints) {
                audit::run(scene, &policy, &processes)?;
            }
        }
    }
    if checks.dev {
        dev::run(scene)?;
    }
    if checks.sys || checks.suid {
        let names = if checks.sys { rootkits.anywhere.as_slice() } else { &[] };
        tree::run(scene, &Wanted { oddities: checks.sys, special: checks.suid, names })?;
    }
    if checks.preload {
        preload::run(scene)?;
    }
    if checks.modules {
        modules::run(scene)?;
    }
    if checks.pids {
        pids::run(scene, &pids::Linux)?;
    }
    if checks.ports {
        ports::run(scene, &ports::Linux)?;
    }
    if checks.interfaces { interfaces::run(scene) } else { Ok(()) }
}

/// Reads a list, and says what is wrong in it, as OSSEC does with each scan.
fn list_of<T>(
    scene: &mut Scene<'_>,
    path: &Path,
    parse: fn(&[u8]) -> T,
    complaints: fn(&T) -> &Vec<Complaint>,
) -> Option<T> {
    let path: PathBuf = scene.root.join(path);
    let Some(text) = whole(&path) else {
        let path = path.display();
        log::error!(target: "rootcheck", "Unable to read '{path}', a list of <rootcheck>: that check finds nothing.");
        return None;
    };
    let list = parse(&text);
    for complaint in complaints(&list) {
        log::error!(target: "rootcheck", "{complaint} ({} line {})", path.display(), complaint.line);
    }
    Some(list)
}
