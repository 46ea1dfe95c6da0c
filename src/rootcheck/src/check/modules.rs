//! Kernel modules: what one list of the kernel shows and another one hides, and what does not come with the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crate::pace::Stopped;
use crate::scene::{Scene, whole};

const MODULES: &str = "/proc/modules";
const OBJECTS: &str = "/sys/module";
const TAINT: &str = "/proc/sys/kernel/tainted";
/// "An out-of-tree module was loaded" of the kernel's tainted-kernels document.
const OUT_OF_TREE: u64 = 1 << 12;
/// A module that comes or goes at this moment has done so then.
const SETTLE: Duration = Duration::from_millis(200);

/// Looks at both lists, twice where they differ.
pub(crate) fn run(scene: &mut Scene<'_>) -> Result<(), Stopped> {
    let Some(first) = View::take(MODULES, OBJECTS) else {
        scene.say_once("No list of kernel modules here: they are not checked.");
        return Ok(());
    };
    let mut hidden = first.hidden();
    if !hidden.is_empty() {
        scene.pace.wait(SETTLE)?;
        let second = View::take(MODULES, OBJECTS).map(|view| view.hidden()).unwrap_or_default();
        hidden.retain(|finding| second.contains(finding));
    }
    for (name, list) in hidden {
        let name = fim::path::printable(&name).into_owned();
        scene.found(&[
            b"Kernel module '",
            &name,
            b"' hidden from ",
            list.as_bytes(),
            b". Possible kernel-level rootkit.",
        ])?;
    }
    for (name, flags) in first.foreign() {
        let name = fim::path::printable(name).into_owned();
        scene.found(&[
            b"Kernel module '",
            &name,
            b"' does not come with the kernel (",
            flags,
            b").",
        ])?;
    }
    let taint = whole(Path::new(TAINT)).unwrap_or_default();
    let taint = std::str::from_utf8(&taint).ok().and_then(|text| text.trim().parse::<u64>().ok());
    if taint.is_some_and(|taint| taint & OUT_OF_TREE != 0) && first.foreign().next().is_none() {
        scene.found(&[b"A kernel module that does not come with the kernel was loaded, and is not listed (any more)."])?;
    }
    Ok(())
}

#[derive(Debug)]
struct View {
    /// Name -> taint flags, such as `OE`; mostly none.
    listed: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Loaded, by sysfs.
    objects: BTreeSet<Vec<u8>>,
}

impl View {
    /// `None` without either list: no modules in this kernel, or not shown here.
    fn take(modules: &str, objects: &str) -> Option<Self> {
        let listed = listed(&whole(Path::new(modules))?);
        let folder = fs::read_dir(objects).ok()?;
        // What is built in has a folder too, without a state.
        let loaded = folder.flatten().filter(|entry| entry.path().join("initstate").exists());
        let objects = loaded.map(|entry| entry.file_name().as_bytes().to_vec()).collect();
        Some(Self { listed, objects })
    }

    fn hidden(&self) -> Vec<(Vec<u8>, &'static str)> {
        let from_list = self.objects.iter().filter(|name| !self.listed.contains_key(*name));
        let from_objects = self.listed.keys().filter(|name| !self.objects.contains(*name));
        let from_list = from_list.map(|name| (name.clone(), MODULES));
        from_list.chain(from_objects.map(|name| (name.clone(), OBJECTS))).collect()
    }

    /// Out of tree, forced, unsigned or proprietary.
    fn foreign(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let tainted = self.listed.iter().filter(|(_, flags)| !flags.is_empty());
        tainted.map(|(name, flags)| (name.as_slice(), flags.as_slice()))
    }
}

/// `name size users by state address (flags)`
fn listed(text: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let lines = text.split(|&b| b == b'\n').filter(|line| !line.is_empty());
    let modules = lines.filter_map(|line| {
        let name = line.split(|&b| b == b' ').next().filter(|name| !name.is_empty())?;
        let last = line.trim_ascii_end().rsplit(|&b| b == b' ').next().unwrap_or_default();
        let flags = last.strip_prefix(b"(").and_then(|rest| rest.strip_suffix(b")"));
        // A state, not a taint.
        let flags = flags.unwrap_or_default().iter().filter(|flag| !matches!(flag, b'+' | b'-'));
        Some((name.to_vec(), flags.copied().collect()))
    });
    modules.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "ext4 851968 1 - Live 0x0000000000000000\nvbox 1 0 - Live 0xffffffffc0 (OE)\ngoing 1 0 - Unloading 0x0 (-)\n";

    fn view(objects: &[&str]) -> View {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("modules"), LIST).unwrap();
        for name in objects {
            fs::create_dir_all(folder.path().join("module").join(name)).unwrap();
            fs::write(folder.path().join("module").join(name).join("initstate"), "live\n").unwrap();
        }
        fs::create_dir_all(folder.path().join("module/built_in")).unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        View::take(&path("modules"), &path("module")).unwrap()
    }

    #[test]
    fn a_module_that_one_list_hides_is_found_by_the_other() {
        let hidden = view(&["ext4", "vbox", "evil"]).hidden();
        assert_eq!(hidden, [(b"evil".to_vec(), MODULES), (b"going".to_vec(), OBJECTS)]);
        assert!(view(&["ext4", "vbox", "going"]).hidden().is_empty());
    }

    #[test]
    fn only_a_taint_makes_a_module_foreign() {
        let view = view(&["ext4"]);
        assert_eq!(view.foreign().collect::<Vec<_>>(), [(&b"vbox"[..], &b"OE"[..])]);
    }
}
