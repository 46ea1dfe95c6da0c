//! Attributes of a file that OSSEC does not know, for the eighth field of a sum ([`fim::extra`]).
//!
//! All are asked of an `O_PATH` descriptor, so that they are those of the very file whose sum they belong to. What the file system does
//! not know, and what may not be seen (names below `trusted.` without the right), is not there for us.

use std::fmt::Write;
use std::os::fd::{AsRawFd, BorrowedFd};

use fim::extra::{Extra, Writer};
use rustix::fs::{AtFlags, Statx, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use settings::{CheckOptions, ExtraChecks};

/// Longest value and list of names (the kernel's own limit).
const LONGEST: usize = 65_536;

/// Writes what the options ask for; empty when they ask for nothing. For a symbolic link it is the link itself that is asked.
pub fn collect(found: BorrowedFd<'_>, options: &CheckOptions, blake3: Option<[u8; 32]>) -> Vec<u8> {
    let wanted = options.extra;
    if wanted.is_empty() {
        return Vec::new();
    }
    let mut writer = Writer::default();
    if let Ok(stat) = rustix::fs::statx(found, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS) {
        put_numbers(&stat, wanted, &mut writer);
    }
    let attributes = Attributes::of(found);
    if wanted.has(ExtraChecks::ACL)
        && let Some(list) = attributes.value(b"system.posix_acl_access")
    {
        writer.put(Extra::Acl, access_list(&list).as_bytes());
    }
    if wanted.has(ExtraChecks::XATTR) {
        writer.put(Extra::Xattr, &attributes.others());
    }
    if wanted.has(ExtraChecks::CAPABILITIES)
        && let Some(value) = attributes.value(b"security.capability")
    {
        writer.put(Extra::Capabilities, hex(&value).as_bytes());
    }
    if wanted.has(ExtraChecks::SELINUX)
        && let Some(value) = attributes.value(b"security.selinux")
    {
        writer.put(Extra::Selinux, value.strip_suffix(b"\0").unwrap_or(&value));
    }
    if let Some(digest) = blake3 {
        writer.put(Extra::Blake3, hex(&digest).as_bytes());
    }
    writer.finish()
}

fn put_numbers(stat: &Statx, wanted: ExtraChecks, writer: &mut Writer) {
    let nanoseconds = |time: rustix::fs::StatxTimestamp| {
        (i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)).to_string()
    };
    if wanted.has(ExtraChecks::INODE) {
        writer.put(Extra::Inode, stat.stx_ino.to_string().as_bytes());
    }
    if wanted.has(ExtraChecks::LINKS) {
        writer.put(Extra::Links, stat.stx_nlink.to_string().as_bytes());
    }
    if wanted.has(ExtraChecks::DEVICE) {
        let device = format!("{}.{}", stat.stx_dev_major, stat.stx_dev_minor);
        writer.put(Extra::Device, device.as_bytes());
    }
    if wanted.has(ExtraChecks::MODIFIED) {
        writer.put(Extra::Modified, nanoseconds(stat.stx_mtime).as_bytes());
    }
    if wanted.has(ExtraChecks::CHANGED) {
        writer.put(Extra::Changed, nanoseconds(stat.stx_ctime).as_bytes());
    }
    let flags = [(StatxAttributes::IMMUTABLE, 'i'), (StatxAttributes::APPEND, 'a')];
    let known = flags.iter().any(|(flag, _)| stat.stx_attributes_mask.contains(*flag));
    if wanted.has(ExtraChecks::FLAGS) && known {
        let is_set = |(flag, _): &&(StatxAttributes, char)| stat.stx_attributes.contains(*flag);
        let letters: String = flags.iter().filter(is_set).map(|(_, letter)| letter).collect();
        writer.put(Extra::Flags, letters.as_bytes());
    }
}

/// The extended attributes of one file.
struct Attributes {
    /// By which an `O_PATH` descriptor can be asked for them; it ends at the file itself, be it a link.
    path: String,
}

impl Attributes {
    fn of(found: BorrowedFd<'_>) -> Self {
        Self { path: format!("/proc/self/fd/{}", found.as_raw_fd()) }
    }

    /// A value; empty when there is none, `None` when that can't be told.
    fn value(&self, name: &[u8]) -> Option<Vec<u8>> {
        let mut small = [0_u8; 256];
        match rustix::fs::getxattr(&self.path, name, &mut small) {
            Ok(len) => Some(small.get(..len)?.to_vec()),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Some(Vec::new()),
            Err(Errno::RANGE) => {
                let mut large = vec![0_u8; LONGEST];
                let len = rustix::fs::getxattr(&self.path, name, large.as_mut_slice()).ok()?;
                large.truncate(len);
                Some(large)
            }
            Err(_) => None,
        }
    }

    /// All that have no room of their own.
    fn others(&self) -> Vec<u8> {
        let mut list = vec![0_u8; LONGEST];
        let len = rustix::fs::listxattr(&self.path, list.as_mut_slice()).unwrap_or(0);
        list.truncate(len);
        digests(&list, |name| self.value(name))
    }
}

/// `name=digest,...` of the names in a list (each with a NUL behind it) that have no room of their own, sorted. What would end a name is
/// percent-escaped: another set of names and values never reads alike.
pub fn digests(list: &[u8], value: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
    let own = |name: &&[u8]| {
        name.starts_with(b"system.")
            || [&b""[..], b"security.capability", b"security.selinux"].contains(name)
    };
    let mut names: Vec<&[u8]> = list.split(|&byte| byte == 0).filter(|name| !own(name)).collect();
    names.sort_unstable();
    let mut text = Vec::new();
    for name in names {
        if !text.is_empty() {
            text.push(b',');
        }
        for &byte in name {
            match byte {
                b',' | b'=' | b'%' => text.extend_from_slice(format!("%{byte:02x}").as_bytes()),
                _ => text.push(byte),
            }
        }
        let digest = value(name).map(|value| blake3::hash(&value).to_hex());
        let digest = digest.as_ref().and_then(|digest| digest.get(..16)).unwrap_or("unreadable");
        text.extend_from_slice(&[b"=", digest.as_bytes()].concat());
    }
    text
}

/// The kernel's form of a POSIX access list (version 2, then entries of tag, permissions and number) in the words of acl(5). What is no
/// such list comes as hexadecimal digits: a change of it is seen all the same.
pub fn access_list(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return String::new();
    }
    entries(bytes).unwrap_or_else(|| hex(bytes))
}

fn entries(bytes: &[u8]) -> Option<String> {
    let (version, rest) = bytes.split_first_chunk::<4>()?;
    let (entries, rest) = rest.as_chunks::<8>();
    if u32::from_le_bytes(*version) != 2 || !rest.is_empty() {
        return None;
    }
    let mut words = Vec::with_capacity(entries.len());
    for &[t0, t1, p0, p1, i0, i1, i2, i3] in entries {
        let number = u32::from_le_bytes([i0, i1, i2, i3]);
        let who = match u16::from_le_bytes([t0, t1]) {
            0x01 => "user:".to_owned(),
            0x02 => format!("user:{number}"),
            0x04 => "group:".to_owned(),
            0x08 => format!("group:{number}"),
            0x10 => "mask:".to_owned(),
            0x20 => "other:".to_owned(),
            _ => return None,
        };
        let may = u16::from_le_bytes([p0, p1]);
        let letter = |bit: u16, letter| if may & bit == 0 { '-' } else { letter };
        words.push(format!("{who}:{}{}{}", letter(4, 'r'), letter(2, 'w'), letter(1, 'x')));
    }
    Some(words.join(","))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::fd::AsFd;
    use std::path::Path;

    use fim::extra::value;
    use rustix::fs::{Mode, OFlags, XattrFlags};

    const ALL: ExtraChecks = ExtraChecks::all();

    fn collected(path: &Path, extra: ExtraChecks) -> Vec<u8> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = rustix::fs::open(path, flags, Mode::empty()).unwrap();
        collect(found.as_fd(), &CheckOptions { extra, ..CheckOptions::default() }, Some([0xab; 32]))
    }

    #[test]
    fn links_times_and_inode_are_those_of_the_file() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "x").unwrap();
        fs::hard_link(&path, folder.path().join("b")).unwrap();
        let field = collected(&path, ALL);
        let meta = fs::metadata(&path).unwrap();
        let inode = meta.ino().to_string();
        assert_eq!(value(&field, Extra::Inode), Some(inode.as_bytes()));
        assert_eq!(value(&field, Extra::Links), Some(&b"2"[..]));
        let modified = format!("{}{:09}", meta.mtime(), meta.mtime_nsec());
        assert_eq!(value(&field, Extra::Modified), Some(modified.as_bytes()));
        assert_eq!(value(&field, Extra::Blake3), Some("ab".repeat(32).as_bytes()));
    }

    #[test]
    fn what_is_not_asked_for_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "x").unwrap();
        assert_eq!(collected(&path, ExtraChecks::default()), b"");
        assert!(collected(&path, ExtraChecks::LINKS).starts_with(b"links=1"));
    }

    #[test]
    fn extended_attributes_and_access_lists_are_seen_to_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "x").unwrap();
        let wanted = ExtraChecks::XATTR | ExtraChecks::ACL;
        let before = collected(&path, wanted);
        assert_eq!(value(&before, Extra::Xattr), Some(&b""[..]));
        let set = rustix::fs::setxattr(&path, "user.note", &[7; 1000], XattrFlags::empty());
        if set == Err(Errno::OPNOTSUPP) {
            eprintln!("skipped: the folder for temporary files has no extended attributes");
            return;
        }
        set.unwrap();
        let after = collected(&path, wanted);
        assert!(value(&after, Extra::Xattr).unwrap().starts_with(b"user.note="));
        fs::write(&path, "y").unwrap();
        assert_eq!(collected(&path, wanted), after);
    }

    #[test]
    fn other_names_never_read_alike() {
        let value = |name: &[u8]| name.last().map(|last| vec![*last]);
        let two = digests(b"user.b\0user.a\0system.posix_acl_access\0security.selinux\0", value);
        let digest = two.get(b"user.a=".len()..).and_then(|rest| rest.get(..16)).unwrap();
        let one = [b"user.a=", digest, b",user.b\0"].concat();
        assert_ne!(two, digests(&one, value));
        assert_ne!(digests(b"user.\xff\0", value), digests(b"user.\xfe\0", value));
        assert!(digests(b"user.a\0", |_| None).ends_with(b"=unreadable"));
    }

    #[test]
    fn a_link_is_asked_itself() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        let field = collected(&folder.path().join("link"), ALL);
        assert_eq!(value(&field, Extra::Links), Some(&b"1"[..]));
        assert_eq!(value(&field, Extra::Acl), Some(&b""[..]));
    }

    #[test]
    fn an_access_list_reads_as_in_its_manual() {
        let entry =
            |tag: u8, may: u8, number: u32| [&[tag, 0, may, 0][..], &number.to_le_bytes()].concat();
        let nobody = u32::MAX;
        let list = [
            vec![2, 0, 0, 0],
            entry(1, 6, nobody),
            entry(2, 4, 1000),
            entry(4, 4, nobody),
            entry(16, 7, nobody),
            entry(32, 0, nobody),
        ]
        .concat();
        let text = "user::rw-,user:1000:r--,group::r--,mask::rwx,other::---";
        assert_eq!(access_list(&list), text);
        // A cut list is told in digits, except where an entry ends.
        for end in 0..list.len() {
            let cut = access_list(&list[..end]);
            assert_eq!(
                cut.contains("user::") || end <= 4,
                end % 8 == 4 || end <= 4,
                "{end}: {cut}"
            );
        }
        assert_eq!(access_list(&entry(9, 9, 9)), "0900090009000000");
    }

    #[test]
    fn different_access_lists_never_read_alike() {
        let list =
            [&[2, 0, 0, 0], &[1, 0, 6, 0, 255, 255, 255, 255][..], &[2, 0, 4, 0, 232, 3, 0, 0]];
        let list = list.concat();
        let told = access_list(&list);
        // All bits but those that the words leave out: permissions that there are none of, and the number of an owner.
        let counts = |byte: usize, bit: u32| match byte {
            6 | 14 => bit < 3,
            7 | 15 => false,
            8..=11 => false,
            _ => true,
        };
        for byte in 0..list.len() {
            for bit in (0..8).filter(|&bit| counts(byte, bit)) {
                let mut other = list.clone();
                other[byte] ^= 1 << bit;
                assert_ne!(access_list(&other), told, "byte {byte}, bit {bit}");
            }
        }
    }
}
