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

#[cfg(test)]
mod tests {
    use super::super::super::database::double::Double;
    use super::*;

    const SHA256: [u8; 32] = [7; 32];

    fn shipped(mode: u32) -> Option<Shipped> {
        Some(Shipped { content: Some(Content::Sha256(SHA256)), mode: Some(mode) })
    }

    fn sum(mode: u32, uid: u32, sha256: [u8; 32]) -> Vec<u8> {
        let (mode, uid) = (Some(mode), Some(uid));
        fim::Attributes { mode, uid, gid: Some(0), sha256: Some(sha256), ..Default::default() }
            .encode()
    }

    /// An index of what is said now.
    fn index(double: &Double) -> Index {
        let folder = tempfile::tempdir().unwrap();
        Index::make(double, &folder.path().join("index")).unwrap()
    }

    #[test]
    fn a_recorded_mode_is_vouched_for_unless_it_is_dangerous() {
        const FILE: u32 = 0o100_755;
        let (double, index) = (Double::default(), index(&Double::default()));
        let files = [
            ("/usr/bin/tool", shipped(FILE)),
            ("/usr/bin/root", shipped(0o104_755)),
            ("/usr/bin/claimed", None),
            ("/usr/bin/link", Some(Shipped { content: None, mode: Some(0o120_777) })),
        ];
        double.say(vec![("tool", "1", 5, files.to_vec())]);
        let now = Now::read(&double, &index).unwrap();
        let before = sum(0o100_644, 0, [1; 32]);
        for (path, before, after, expected) in [
            ("tool", None, sum(FILE, 0, SHA256), true),
            ("tool", Some(&before), sum(FILE, 0, SHA256), true),
            ("tool", None, sum(FILE, 0, [1; 32]), false),
            ("tool", None, sum(0o100_700, 0, SHA256), false),
            ("tool", None, sum(FILE, 1000, SHA256), false),
            ("tool", None, sum(0o120_777, 0, SHA256), false),
            ("tool", Some(&before), b"-1".to_vec(), false),
            ("root", None, sum(0o104_755, 0, SHA256), false),
            ("root", Some(&sum(0o104_755, 0, [1; 32])), sum(0o104_755, 0, SHA256), true),
            ("claimed", None, sum(FILE, 0, SHA256), false),
            ("link", None, sum(0o120_777, 0, [1; 32]), true),
        ] {
            let path = format!("/usr/bin/{path}");
            let before = before.map(Vec::as_slice);
            let asked = Asked { path: path.as_bytes(), before, now: &after };
            let (_, vouched) = now.judge(&index, &asked, &mut |_| None).unwrap();
            assert_eq!(vouched, expected, "{path} {}", String::from_utf8_lossy(&after));
        }
    }

    #[test]
    fn several_of_one_name_are_one_package_with_its_versions() {
        let double = Double::default();
        let kernel = |version, installed, path| {
            ("kernel", version, installed, vec![(path, shipped(0o100_644))])
        };
        let (one, two) = (kernel("6.1", 5, "/boot/1"), kernel("6.2", 6, "/boot/2"));
        let other = ("other", "1", 5, vec![("/other", shipped(0o100_644))]);
        double.say(vec![one.clone(), two.clone(), other.clone()]);
        let index = index(&double);
        let judge = |path: &str, sum: &[u8]| {
            let now = Now::read(&double, &index).unwrap();
            now.judge(&index, &Asked { path: path.as_bytes(), before: None, now: sum }, &mut |_| {
                None
            })
        };
        let file = sum(0o100_644, 0, SHA256);
        double.say(vec![other.clone(), two.clone(), one]);
        assert_eq!(judge("/boot/1", &file), None, "in another order, nothing happened");
        double.say(vec![two, kernel("6.3", 9, "/boot/3"), other]);
        let text = |text: &str| Some(text.as_bytes().to_vec());
        let package =
            Package { name: b"kernel".to_vec(), old: text("6.1,6.2"), new: text("6.2,6.3") };
        assert_eq!(judge("/boot/1", b"-1"), Some((package.clone(), true)));
        assert_eq!(judge("/boot/2", b"-1"), Some((package.clone(), false)));
        assert_eq!(judge("/boot/3", &file), Some((package, true)));
        assert_eq!(judge("/other", &file), None);
    }

    #[test]
    fn what_was_installed_anew_was_in_a_transaction_too() {
        let double = Double::default();
        let tool = |installed| vec![("tool", "1", installed, vec![("/tool", shipped(0o100_644))])];
        double.say(tool(5));
        let index = index(&double);
        double.say(tool(6));
        let file = sum(0o100_644, 0, SHA256);
        let asked = Asked { path: b"/tool", before: None, now: &file };
        let verdict = Now::read(&double, &index).unwrap().judge(&index, &asked, &mut |_| None);
        assert!(verdict.unwrap().1);
    }
}
