//! Whether a package vouches for one change.

use std::collections::{BTreeMap, HashMap};
use std::io;

use fim::Sum;
use fim::note::Package;
use fim::sum::hex;

use super::super::database::{Content, Database, Shipped, canonical, without_architecture};
use super::super::index::{Index, Noted};
use super::{Asked, Digests};

const TYPE: u32 = 0o170_000;
const LINK: u32 = 0o120_000;
/// Setuid, setgid, writable by everyone.
const DANGEROUS: u32 = 0o6002;

/// What the records say of the packages that were in a transaction since the index was made, also of removed ones.
#[derive(Debug, Default)]
pub(super) struct Now {
    /// `None`: it was in none after all.
    packages: Vec<Option<Package>>,
    /// Files of those that are installed: the package's number, and what it shipped.
    files: HashMap<Vec<u8>, (usize, Option<Shipped>)>,
}

/// For each name all that is installed: version, and when.
type Installed = BTreeMap<Vec<u8>, Vec<(Vec<u8>, u64)>>;

impl Now {
    /// # Errors
    /// The records cannot be read: then nobody vouches for anything.
    pub(super) fn read(database: &dyn Database, index: &Index) -> io::Result<Self> {
        let logged = database.logged_since(index.mark);
        // Without a log, what is recorded of a package's installation has to do.
        let in_log = |package: &[u8]| {
            let name = without_architecture(package).to_vec();
            logged.as_ref().is_none_or(|logged| logged.binary_search(&name).is_ok())
        };
        let mut before = Installed::new();
        for Noted { name, version, installed, .. } in index.packages() {
            before.entry(name.clone()).or_default().push((version.clone(), *installed));
        }
        let mut after = Installed::new();
        let mut numbers = BTreeMap::new();
        let mut files = HashMap::new();
        database.each(&mut |package| {
            let one = (package.version.to_vec(), package.installed);
            let same = before.get(package.name).is_some_and(|known| *known == [one.clone()]);
            after.entry(package.name.to_vec()).or_default().push(one);
            // Where several are installed, only the end shows whether all are as before.
            if same || !in_log(package.name) {
                return Ok(());
            }
            let next = numbers.len();
            let number = *numbers.entry(package.name.to_vec()).or_insert(next);
            (package.files)(&mut |path, shipped| {
                let of = files.entry(path.to_vec()).or_insert((number, shipped));
                if shipped.is_some() {
                    *of = (number, shipped);
                }
            })
        })?;
        for name in before.keys().filter(|name| !after.contains_key(*name) && in_log(name)) {
            let next = numbers.len();
            numbers.insert(name.clone(), next);
        }
        let mut packages = vec![None; numbers.len()];
        for (name, number) in numbers {
            let (old, new) = (versions(before.get(&name)), versions(after.get(&name)));
            if old != new
                && let Some(package) = packages.get_mut(number)
            {
                *package = Some(Package { name, old: listed(old), new: listed(new) });
            }
        }
        Ok(Self { packages, files })
    }

    /// The package that a change belongs to, and whether it vouches for it; `None` when it belongs to none.
    pub(super) fn judge(
        &self,
        index: &Index,
        asked: &Asked<'_>,
        read: &mut dyn FnMut(&[u8]) -> Option<Digests>,
    ) -> Option<(Package, bool)> {
        let gone = asked.now.starts_with(b"-1");
        match self.files.get(&canonical(asked.path)) {
            Some((number, shipped)) => {
                let vouched = !gone && shipped.is_some_and(|shipped| is_as(shipped, asked, read));
                Some((self.packages.get(*number)?.clone()?, vouched))
            }
            // Only the index still knows whose it was.
            None if gone => {
                let owner = &index.owner(asked.path)?.name;
                let mut packages = self.packages.iter().flatten();
                let package = packages.find(|package| package.name == *owner)?;
                Some((package.clone(), true))
            }
            None => None,
        }
    }
}

fn versions(all: Option<&Vec<(Vec<u8>, u64)>>) -> Vec<(Vec<u8>, u64)> {
    let mut all = all.cloned().unwrap_or_default();
    all.sort_unstable();
    all
}

/// `6.1,6.2` where several are installed.
fn listed(all: Vec<(Vec<u8>, u64)>) -> Option<Vec<u8>> {
    let all: Vec<_> = all.into_iter().map(|(version, _)| version).collect();
    (!all.is_empty()).then(|| all.join(&b","[..]))
}

/// Whether a file is as it was shipped.
fn is_as(
    shipped: Shipped,
    asked: &Asked<'_>,
    read: &mut dyn FnMut(&[u8]) -> Option<Digests>,
) -> bool {
    let Ok(Sum::Present(now)) = Sum::parse(asked.now) else { return false };
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u32>().ok();
    let mode = number(now.mode).unwrap_or(0);
    let harmless = now.uid == b"0" && (mode & TYPE == LINK || mode & DANGEROUS == 0);
    let before = match asked.before.map(Sum::parse) {
        Some(Ok(Sum::Present(before))) => Some(before),
        _ => None,
    };
    let as_before = before.as_ref().is_some_and(|before| {
        before.mode == now.mode && before.uid == now.uid && before.gid == now.gid
    });
    let permitted = match shipped.mode {
        Some(shipped) => as_before || (harmless && mode == shipped),
        // Not recorded: as before, or new and harmless.
        None => as_before || (harmless && before.is_none()),
    };
    if !permitted {
        return false;
    }
    if mode & TYPE == LINK {
        return shipped.mode.is_none_or(|shipped| shipped & TYPE == LINK);
    }
    // What is vouched for is what is told, not what came since.
    let told = (hex::<16>(now.md5), now.sha256.and_then(hex::<32>));
    match (shipped.content, told) {
        (None, _) => false,
        (Some(Content::Md5(shipped)), (Some(told), _)) => shipped == told,
        (Some(Content::Sha256(shipped)), (_, Some(told))) => shipped == told,
        (Some(shipped), (told_md5, told_sha256)) => {
            let Some((md5, sha256)) = read(asked.path) else { return false };
            let same = match shipped {
                Content::Md5(shipped) => shipped == md5,
                Content::Sha256(shipped) => shipped == sha256,
            };
            same && told_md5.is_none_or(|told| told == md5)
                && told_sha256.is_none_or(|told| told == sha256)
        }
    }
}
