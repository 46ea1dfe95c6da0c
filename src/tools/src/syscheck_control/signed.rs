//! `--sign`, `--verify`: a baseline as it is known to be good, under an Ed25519 signature.
//!
//! ```text
//! oxsec-baseline 1
//! host (web01) any->syscheck
//! signed 1795220196
//! files 2
//! 4:33188:0:0:c193... /etc/hostname
//! 12:33188:0:0:07a8... /etc/motd
//! signature <128 hex digits>
//! ```
//! The lines are the files that were there, in the order of their paths as bytes; the signature is over all that stands before its line. Keys
//! are a line each: `oxsec-ed25519 private <64 hex digits>`, mode 0600, read and made before root is given up, so that no daemon can sign; and
//! `oxsec-ed25519 public ...` beside it in `<key>.pub`. Keep a copy of that one, and of what was signed, elsewhere: who owns the manager can
//! put an older signed state in its place.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use fim::Sum;
use fim::change::changes;
use serde_json::json;

use super::NAME;
use super::compare::present;
use super::database::Database;
use crate::agent_tools::client::{Client, printable, quoted};
use crate::agent_tools::options::{Form, Options};
use crate::agent_tools::{Reply, World, json_error, json_response, times};

const HEADER: &str = "oxsec-baseline 1\n";
const SIGNATURE: &[u8] = b"signature ";
const PRIVATE: &str = "oxsec-ed25519 private ";
const PUBLIC: &str = "oxsec-ed25519 public ";
/// Largest signed state.
const MAX_FILE: u64 = 2 << 30;

/// Where key and signed state are.
pub(super) struct Paths {
    /// The key that was named, if one was.
    key: Option<PathBuf>,
    file: PathBuf,
    root: PathBuf,
}

/// A key to sign with.
pub(super) struct Key {
    key: SigningKey,
    path: PathBuf,
    is_new: bool,
}

/// A signed state whose signature holds.
struct Signed {
    at: i64,
    files: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What is not as it was signed.
#[derive(Default)]
struct Difference {
    changed: Vec<String>,
    missing: Vec<String>,
    new: Vec<String>,
}

impl Paths {
    /// As the options say, or where they usually are.
    pub(super) fn of(world: &World, client: &Client, options: &Options) -> Self {
        let named = |word: &str| options.word(word)?.first().map(PathBuf::from);
        let usual = format!("queue/syscheck/.{}.signed", client.database("syscheck"));
        Self {
            key: named("key"),
            file: named("file").unwrap_or_else(|| world.root.join(usual)),
            root: world.root.clone(),
        }
    }
}

impl Key {
    /// Reads the key, or makes one where there is none; neither file of a key is ever overwritten.
    pub(super) fn open(world: &World, options: &Options) -> Result<Self, Reply> {
        let named = options.word("key").and_then(|values| values.first()).map(PathBuf::from);
        let path = named.unwrap_or_else(|| world.root.join("etc/syscheck.key"));
        let failed = |error: io::Error| {
            Reply::failed(NAME, &format!("cannot use the key '{}': {error}", path.display()))
        };
        match fs::read(&path) {
            Ok(text) => {
                let seed = read_key(&text, PRIVATE).map_err(failed)?;
                Ok(Self { key: SigningKey::from_bytes(&seed), path: path.clone(), is_new: false })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Self::make(&path).map_err(failed)
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn make(path: &Path) -> io::Result<Self> {
        let mut seed = [0; 32];
        let mut filled = 0;
        while let Some(rest) = seed.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty())?;
        }
        let key = SigningKey::from_bytes(&seed);
        write_new(&public_of(path), PUBLIC, key.verifying_key().as_bytes(), 0o644)?;
        write_new(path, PRIVATE, &seed, 0o600)?;
        Ok(Self { key, path: path.to_owned(), is_new: true })
    }
}

/// Signs what the manager knows of a host now.
pub(super) fn sign(
    world: &World,
    client: &Client,
    paths: &Paths,
    key: &Key,
    form: Form,
) -> Result<Reply, Reply> {
    let database = baseline(world, client, form)?;
    let files = present(&database);
    let mut text = HEADER.as_bytes().to_vec();
    let (host, at, count) = (client.database("syscheck"), world.epoch(), files.len());
    text.extend(format!("host {host}\nsigned {at}\nfiles {count}\n").into_bytes());
    for (path, entry) in files {
        text.extend([entry.sum(), b" ", path, b"\n"].concat());
    }
    let signature = key.key.sign(&text);
    text.extend([SIGNATURE, hex(&signature.to_bytes()).as_bytes(), b"\n"].concat());
    let fresh = paths.file.with_extension("signed.new");
    let written = put(&fresh, &text).and_then(|()| fs::rename(&fresh, &paths.file));
    written.map_err(|error| failure(form, &paths.file, "write", &error))?;
    let file = paths.file.display().to_string();
    Ok(Reply::of(match form {
        Form::Json => json_response(json!({"file": file, "signed": at, "files": count})),
        Form::Csv => format!("{file},{at},{count}\n"),
        Form::Text => {
            let path = key.path.display();
            let made = match key.is_new {
                true => format!(
                    "A new key was made: '{path}', and '{path}.pub' to verify with. Keep copies of both elsewhere.\n"
                ),
                false => String::new(),
            };
            format!(
                "\n{made}The baseline of {} was signed: {count} files, '{file}'.\n\n",
                client.titled(world)
            )
        }
    }))
}

/// Compares what the manager knows of a host with what was signed; exit code 1 unless that is the same.
pub(super) fn verify(
    world: &World,
    client: &Client,
    paths: &Paths,
    form: Form,
) -> Result<Reply, Reply> {
    let usual = paths.root.join("etc/syscheck.key");
    let key = paths.key.clone().unwrap_or_else(|| public_of(&usual));
    let key_text = fs::read(&key).map_err(|error| failure(form, &key, "read", &error))?;
    let bytes = read_key(&key_text, PUBLIC).map_err(|error| failure(form, &key, "use", &error))?;
    let key = VerifyingKey::from_bytes(&bytes)
        .map_err(|error| failure(form, &key, "use", &io::Error::other(error)))?;
    let text =
        read_whole(&paths.file).map_err(|error| failure(form, &paths.file, "read", &error))?;
    let signed = Signed::open(&text, &key, &client.database("syscheck"))
        .map_err(|why| failure(form, &paths.file, "trust", &io::Error::other(why)))?;
    let database = baseline(world, client, form)?;
    let found = signed.differs_from(&database);
    let code = u8::from(!found.is_empty());
    let out = match form {
        Form::Json => json_response(json!({
            "signed": signed.at,
            "files": signed.files.len(),
            "changed": found.changed,
            "missing": found.missing,
            "new": found.new,
        })),
        Form::Csv => found.csv(),
        Form::Text => found.text(&client.titled(world), &signed),
    };
    Ok(Reply { out, code, ..Reply::default() })
}

impl Signed {
    /// Reads a signed state; the reason when it is not what was signed with this key for this host.
    fn open(text: &[u8], key: &VerifyingKey, host: &str) -> Result<Self, &'static str> {
        const DAMAGED: &str = "it is not a signed state";
        let body = text.strip_suffix(b"\n").ok_or(DAMAGED)?;
        let at = body.iter().rposition(|&b| b == b'\n').ok_or(DAMAGED)? + 1;
        let (body, last) = text.split_at(at);
        let last = last.strip_suffix(b"\n").and_then(|line| line.strip_prefix(SIGNATURE));
        let signature = last.and_then(unhex::<64>).ok_or(DAMAGED)?;
        key.verify_strict(body, &Signature::from_bytes(&signature)).map_err(
            |_| "its signature does not fit: it was altered, or signed with another key",
        )?;
        let body = body.strip_prefix(HEADER.as_bytes()).ok_or(DAMAGED)?;
        let mut lines = body.split(|&b| b == b'\n');
        let mut field =
            |name: &str| lines.next().and_then(|line| line.strip_prefix(name.as_bytes()));
        if field("host ").ok_or(DAMAGED)? != host.as_bytes() {
            return Err("it is that of another host");
        }
        let signed = field("signed ").ok_or(DAMAGED)?;
        let at = std::str::from_utf8(signed).ok().and_then(|text| text.parse().ok());
        field("files ").ok_or(DAMAGED)?;
        let files = lines.filter_map(|line| {
            let at = line.iter().position(|&b| b == b' ')?;
            Some((line.get(at + 1..)?.to_vec(), line.get(..at)?.to_vec()))
        });
        Ok(Self { at: at.ok_or(DAMAGED)?, files: files.collect() })
    }

    fn differs_from(&self, database: &Database) -> Difference {
        let now = present(database);
        let mut found = Difference::default();
        for (path, sum) in &self.files {
            match now.get(path.as_slice()) {
                None => found.missing.push(printable(path)),
                Some(entry) if is_same(sum, entry.sum()) => (),
                Some(_) => found.changed.push(printable(path)),
            }
        }
        let new = now.keys().filter(|path| !self.files.contains_key(**path));
        found.new = new.map(|path| printable(path)).collect();
        found
    }
}

impl Difference {
    fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.missing.is_empty() && self.new.is_empty()
    }

    fn rows(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let changed = self.changed.iter().map(|path| ("changed", path));
        let missing = self.missing.iter().map(|path| ("missing", path));
        changed.chain(missing).chain(self.new.iter().map(|path| ("new", path)))
    }

    fn csv(&self) -> String {
        self.rows().map(|(word, path)| format!("{word},{}\n", quoted(path))).collect()
    }

    fn text(&self, title: &str, signed: &Signed) -> String {
        let (count, when) = (signed.files.len(), times::stamp(signed.at));
        let mut text = format!("\nSigned on {when}: {count} files of {title}.\n");
        if self.is_empty() {
            text.push_str("The baseline is as it was signed.\n");
        }
        for (word, path) in self.rows() {
            let _ = writeln!(text, "   {word}: {path}");
        }
        text.push('\n');
        text
    }
}

/// Sums that say the same of a file, though one may know more of it.
fn is_same(signed: &[u8], now: &[u8]) -> bool {
    match (Sum::parse(signed), Sum::parse(now)) {
        (Ok(Sum::Present(signed)), Ok(Sum::Present(now))) => changes(&signed, &now).is_empty(),
        _ => signed == now,
    }
}

fn baseline(world: &World, client: &Client, form: Form) -> Result<Database, Reply> {
    let path = world.root.join("queue/syscheck").join(client.database("syscheck"));
    Database::read(&path).map_err(|error| failure(form, &path, "read", &error))
}

fn failure(form: Form, path: &Path, what: &str, error: &io::Error) -> Reply {
    let text = format!("cannot {what} '{}': {error}", path.display());
    match form {
        Form::Json => Reply::refused(json_error(33, &text)),
        _ => Reply::failed(NAME, &text),
    }
}

fn public_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// Makes a file of a key's line; one that is there stays.
fn write_new(path: &Path, begin: &str, key: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(format!("{begin}{}\n", hex(key)).as_bytes())?;
    file.sync_all()
}

fn read_key(text: &[u8], begin: &str) -> io::Result<[u8; 32]> {
    let line = text.strip_suffix(b"\n").unwrap_or(text);
    let key = line.strip_prefix(begin.as_bytes()).and_then(unhex::<32>);
    key.ok_or_else(|| io::Error::other(format!("it is not '{begin}<64 hex digits>'")))
}

fn put(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

fn read_whole(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_FILE).read_to_end(&mut text)?;
    Ok(text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let digits = std::str::from_utf8(pair).ok()?;
        let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
        *byte = u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent_tools::testing::{Bench, words};
    use std::os::unix::fs::PermissionsExt;

    const BASELINE: &str = "+++1:33188:0:0:a:b:c !1 /b\n+++2:33188:0:0:a:b:c !1 /a x\n";

    fn bench() -> Bench {
        let bench = Bench::new("h", "001 web01 any k\n");
        bench.put("queue/syscheck/(web01) any->syscheck", BASELINE);
        bench
    }

    fn run(bench: &Bench, line: &str) -> Reply {
        super::super::run(&bench.world, &words(line))
    }

    fn signed(bench: &Bench) -> PathBuf {
        bench.path("queue/syscheck/.(web01) any->syscheck.signed")
    }

    #[test]
    fn a_signed_baseline_is_verified_and_what_differs_is_named() {
        let bench = bench();
        let reply = run(&bench, "--sign -i 001");
        assert!(reply.out.contains("A new key was made") && reply.code == 0, "{reply:?}");
        let reply = run(&bench, "--verify -i 001");
        assert!(
            reply.out.contains("The baseline is as it was signed.") && reply.code == 0,
            "{reply:?}"
        );
        bench.put(
            "queue/syscheck/(web01) any->syscheck",
            "!++3:33188:0:0:a:b:c !1 /b\n!++-1 !2 /a x\n+++1:33188:0:0:a:b:c !3 /n\n",
        );
        let reply = run(&bench, "--verify -i 001 -s");
        assert_eq!((reply.out.as_str(), reply.code), ("changed,/b\nmissing,/a x\nnew,/n\n", 1));
        let reply = run(&bench, "--verify -i 001 --json");
        let json: serde_json::Value = serde_json::from_str(&reply.out).unwrap();
        assert_eq!((&json["response"]["new"][0], reply.code), (&"/n".into(), 1));
    }

    #[test]
    fn the_private_key_is_its_owners_and_is_never_overwritten() {
        let bench = bench();
        run(&bench, "--sign -i 001");
        let key = bench.path("etc/syscheck.key");
        let before = fs::read(&key).unwrap();
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        let reply = run(&bench, "--sign -i 001");
        assert!(reply.code == 0 && !reply.out.contains("new key"));
        assert_eq!(fs::read(&key).unwrap(), before);
        fs::remove_file(&key).unwrap();
        let reply = run(&bench, "--sign -i 001");
        assert!(
            reply.code == 1 && !key.exists(),
            "a public key without its private one stays: {reply:?}"
        );
        bench.put("etc/syscheck.key", "garbage");
        assert_eq!(run(&bench, "--sign -i 001").code, 1);
        assert_eq!(fs::read(&key).unwrap(), b"garbage");
    }

    #[test]
    fn an_altered_state_is_refused_wherever_it_was_altered() {
        let bench = bench();
        run(&bench, "--sign -i 001");
        let whole = fs::read(signed(&bench)).unwrap();
        for at in 0..whole.len() {
            let mut altered = whole.clone();
            altered[at] ^= 1;
            fs::write(signed(&bench), &altered).unwrap();
            let reply = run(&bench, "--verify -i 001");
            assert!(reply.code == 1 && reply.err.contains("cannot trust"), "{at}: {reply:?}");
            fs::write(signed(&bench), &whole[..at]).unwrap();
            assert_eq!(run(&bench, "--verify -i 001").code, 1, "cut at {at}");
        }
    }

    #[test]
    fn another_key_and_another_host_are_refused() {
        let bench = bench();
        run(&bench, "--sign -i 001");
        let here = bench.path("queue/syscheck/.syscheck.signed");
        fs::copy(signed(&bench), here).unwrap();
        assert!(run(&bench, "--verify").err.contains("that of another host"));
        let other = bench.path("other.key");
        let line = format!("--sign -i 001 --key {0} --file {0}.signed", other.display());
        assert_eq!(run(&bench, &line).code, 0);
        let line = format!("--verify -i 001 --file {}.signed", other.display());
        assert!(run(&bench, &line).err.contains("signature does not fit"));
        let line = format!("--verify -i 001 --key {0}.pub --file {0}.signed", other.display());
        assert_eq!(run(&bench, &line).code, 0);
    }

    #[test]
    fn the_known_answer_of_rfc_8032_is_given() {
        let seed = unhex::<32>(b"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let key = SigningKey::from_bytes(&seed.unwrap());
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(hex(key.verifying_key().as_bytes()), public);
        assert!(hex(&key.sign(b"").to_bytes()).starts_with("e5564300c360ac729086e2cc806e828a"));
    }
}
