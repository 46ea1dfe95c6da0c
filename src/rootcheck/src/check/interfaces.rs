//! Network interfaces that take in everything that passes, as sniffers have them do.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::pace::Stopped;
use crate::scene::{Scene, whole};

const CLASS: &str = "/sys/class/net";
/// `IFF_PROMISC` of netdevice(7).
const PROMISCUOUS: u32 = 0x100;

/// Looks at the interfaces of this network namespace.
pub(crate) fn run(scene: &mut Scene<'_>) -> Result<(), Stopped> {
    for name in promiscuous(Path::new(CLASS)) {
        let name = fim::path::printable(&name);
        scene.found(&[b"Interface '", &name, b"' in promiscuous mode."])?;
    }
    Ok(())
}

/// The ports of a bridge or a switch are so by their nature, and are left out.
fn promiscuous(class: &Path) -> Vec<Vec<u8>> {
    let Ok(folder) = fs::read_dir(class) else { return Vec::new() };
    let interfaces = folder.flatten().filter(|entry| {
        let path = entry.path();
        let is_port = path.join("brport").exists() || path.join("master").exists();
        let flags = whole(&path.join("flags")).and_then(|text| flags(&text));
        !is_port && flags.is_some_and(|flags| flags & PROMISCUOUS != 0)
    });
    let mut names: Vec<_> = interfaces.map(|entry| entry.file_name().as_bytes().to_vec()).collect();
    names.sort();
    names
}

fn flags(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok()?.trim().strip_prefix("0x")?;
    u32::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_takes_in_everything_is_named_unless_a_bridge_wants_it_so() {
        let class = tempfile::tempdir().unwrap();
        for (name, flags) in
            [("eth0", "0x1003\n"), ("eth1", "0x1103\n"), ("eth2", "0x1103\n"), ("x", "?")]
        {
            fs::create_dir(class.path().join(name)).unwrap();
            fs::write(class.path().join(name).join("flags"), flags).unwrap();
        }
        fs::create_dir(class.path().join("eth2/brport")).unwrap();
        assert_eq!(promiscuous(class.path()), [b"eth1".to_vec()]);
    }
}
