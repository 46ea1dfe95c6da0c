//! Whether a package vouches for one change.

use std::collections::{BTreeMap, HashMap, HashSet};

use fim::Sum;
use fim::note::Package;
use fim::sum::hex;

use super::super::dpkg::{Dpkg, Installed, canonical, without_architecture};
use super::super::index::Index;
use super::{Asked, Digests};

const TYPE: u32 = 0o170_000;
const LINK: u32 = 0o120_000;
/// Setuid, setgid, writable by everyone.
const DANGEROUS: u32 = 0o6002;

/// What dpkg's records say after a transaction.
#[derive(Debug)]
pub(super) struct Now {
    installed: BTreeMap<Vec<u8>, Installed>,
    /// Packages that were in a transaction since the index was made, also removed ones.
    touched: HashSet<Vec<u8>>,
    /// Paths of those that are installed.
    owners: HashMap<Vec<u8>, Vec<u8>>,
    shipped: HashMap<Vec<u8>, HashMap<Vec<u8>, [u8; 16]>>,
}

impl Now {
    /// Reads what is needed; what can't be read vouches for nothing.
    pub(super) fn read(dpkg: &Dpkg, index: &Index) -> Self {
        let installed = dpkg.installed().unwrap_or_default();
        let logged = dpkg.logged_since(index.log_end);
        // Without a log the lists' times have to do.
        let in_log = |package: &[u8]| {
            let name = without_architecture(package).to_vec();
            logged.as_ref().is_none_or(|logged| logged.binary_search(&name).is_ok())
        };
        let mut now = Self {
            installed,
            touched: HashSet::new(),
            owners: HashMap::new(),
            shipped: HashMap::new(),
        };
        for (package, written) in dpkg.lists().unwrap_or_default() {
            let Some(found) = now.installed.get(&package) else { continue };
            let other = index.version(&package) != Some(&found.version);
            if (other || written > index.made) && in_log(&package) {
                let owners = &mut now.owners;
                let read = dpkg.each_path(&package, |path| {
                    owners.insert(path.to_vec(), package.clone());
                });
                if read.is_ok() {
                    now.touched.insert(package);
                }
            }
        }
        let gone = index.packages().filter(|name| !now.installed.contains_key(*name));
        let gone: Vec<_> = gone.filter(|name| in_log(name)).map(<[u8]>::to_vec).collect();
        now.touched.extend(gone);
        now
    }

    /// The package that a change belongs to, and whether it vouches for it; `None` when it belongs to none.
    pub(super) fn judge(
        &mut self,
        dpkg: &Dpkg,
        index: &Index,
        asked: &Asked<'_>,
        read: &mut dyn FnMut(&[u8]) -> Option<Digests>,
    ) -> Option<(Package, bool)> {
        let path = canonical(asked.path);
        let gone = asked.now.starts_with(b"-1");
        let owner = match self.owners.get(&path) {
            Some(owner) => owner.clone(),
            // Only the index still knows whose it was.
            None if gone => index.owner(asked.path)?.name.to_vec(),
            None => return None,
        };
        if !self.touched.contains(&owner) {
            return None;
        }
        let package = Package {
            name: owner.clone(),
            old: index.version(&owner).map(<[u8]>::to_vec),
            new: self.installed.get(&owner).map(|found| found.version.clone()),
        };
        let vouched = match gone {
            true => !self.owners.contains_key(&path),
            false => self.vouches(dpkg, &owner, &path, asked, read),
        };
        Some((package, vouched))
    }

    fn vouches(
        &mut self,
        dpkg: &Dpkg,
        owner: &[u8],
        path: &[u8],
        asked: &Asked<'_>,
        read: &mut dyn FnMut(&[u8]) -> Option<Digests>,
    ) -> bool {
        let Ok(Sum::Present(now)) = Sum::parse(asked.now) else { return false };
        let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u32>().ok();
        let mode = number(now.mode).unwrap_or(0);
        // dpkg's records hold no permissions: as before, or harmless.
        let harmless = match asked.before.map(Sum::parse) {
            Some(Ok(Sum::Present(before))) => {
                before.mode == now.mode && before.uid == now.uid && before.gid == now.gid
            }
            _ => now.uid == b"0" && (mode & TYPE == LINK || mode & DANGEROUS == 0),
        };
        if !harmless {
            return false;
        }
        if mode & TYPE == LINK {
            return true;
        }
        let Some(shipped) = self.shipped(dpkg, owner, path) else { return false };
        if let Some(md5) = hex::<16>(now.md5) {
            return md5 == shipped;
        }
        let Some((md5, sha256)) = read(asked.path) else { return false };
        let told = now.sha256.and_then(hex::<32>);
        md5 == shipped && told.is_none_or(|told| told == sha256)
    }

    fn shipped(&mut self, dpkg: &Dpkg, owner: &[u8], path: &[u8]) -> Option<[u8; 16]> {
        if let Some(md5) = self.installed.get(owner).and_then(|found| found.conffiles.get(path)) {
            return Some(*md5);
        }
        let shipped = self.shipped.entry(owner.to_vec());
        shipped.or_insert_with(|| dpkg.shipped(owner)).get(path).copied()
    }
}
