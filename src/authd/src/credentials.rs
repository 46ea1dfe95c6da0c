//! What a program shows of itself: a certificate and its key; and the manager's password.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use runtime::errno;
use rustix::rand::{GetRandomFlags, getrandom};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::fingerprint::Fingerprint;

/// Certificate and key, below the install root.
pub const CERTIFICATE: &str = "etc/sslmanager.cert";
/// See [`CERTIFICATE`].
pub const KEY: &str = "etc/sslmanager.key";
/// The password's file, below the install root.
pub const PASSWORD: &str = "etc/authd.pass";
/// Longest password: a question has to hold it and a name.
const MAX_PASSWORD: usize = 2048;
/// Largest file that is read.
const MAX_FILE: u64 = 1 << 20;

/// A certificate with what stands behind it, and its key.
#[derive(Debug)]
pub struct Credentials {
    /// The own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Not shown by `Debug`.
    pub key: PrivateKeyDer<'static>,
}

impl Credentials {
    /// Reads both from PEM files.
    ///
    /// # Errors
    /// Which file, why, and what to do.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, String> {
        let chain = certificates(certificate)?;
        let pem = read(key)?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
            format!(
                "Unable to read private key '{}': {error}. It has to be a PEM file with an unencrypted key.",
                key.display()
            )
        })?;
        Ok(Self { chain, key })
    }

    /// Of the own certificate.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.chain.first().map(|certificate| Fingerprint::of(certificate))
    }
}

/// The certificates of a PEM file, one at least.
///
/// # Errors
/// Which file, why, and what to do.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!(
            "Unable to read certificate file '{}': no '-----BEGIN CERTIFICATE-----' in it.",
            path.display()
        )),
        Err(error) => {
            Err(format!("Unable to read certificate file '{}': {error}.", path.display()))
        }
    }
}

/// The authorities of a PEM file.
///
/// # Errors
/// Which file, why, and what to do.
pub fn authorities(path: &Path) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store.add(certificate).map_err(|error| {
            format!("Unable to read CA certificate '{}': {error}.", path.display())
        })?;
    }
    Ok(store)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: &io::Error| {
        format!("(1103) Could not open file '{}' due to [{}].", path.display(), errno(error))
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| failed(&error))?;
    io::Read::read_to_end(&mut io::Read::take(file, MAX_FILE), &mut bytes)
        .map_err(|error| failed(&error))?;
    Ok(bytes)
}

/// Makes the manager's certificate and key where there are none; a key that is there is kept. Says whether it did.
///
/// The key's file appears whole, readable by `group` and never by others.
///
/// # Errors
/// Which file, why, and what to do.
pub fn make_missing(certificate: &Path, key: &Path, group: Option<u32>) -> Result<bool, String> {
    if certificate.exists() {
        return match key.exists() {
            true => Ok(false),
            false => Err(format!(
                "'{}' is there, but its key '{}' is not. Restore the key; or remove the certificate, then a new pair is made, and agents that know the old one have to be told.",
                certificate.display(),
                key.display()
            )),
        };
    }
    let made = |error: rcgen::Error| format!("No certificate could be made: {error}.");
    let pair = if key.exists() {
        let pem = read(key)?;
        let pem = String::from_utf8_lossy(&pem);
        KeyPair::from_pem(&pem).map_err(|error| {
            format!(
                "The certificate '{}' is missing, and from the key '{}' none can be made: {error}. Make one with openssl, or remove the key as well.",
                certificate.display(),
                key.display()
            )
        })?
    } else {
        let pair = KeyPair::generate().map_err(made)?;
        create(key, pair.serialize_pem().as_bytes(), 0o640, group)?;
        pair
    };
    let pem = own_certificate(&pair).map_err(made)?.pem();
    create(certificate, pem.as_bytes(), 0o644, group)?;
    Ok(true)
}

fn own_certificate(pair: &KeyPair) -> Result<rcgen::Certificate, rcgen::Error> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let names = if host.is_empty() || host == "localhost" {
        vec!["localhost".to_owned()]
    } else {
        vec![host.clone(), "localhost".to_owned()]
    };
    // A host may be called what no name in a certificate may be.
    let mut params = CertificateParams::new(names)
        .or_else(|_| CertificateParams::new(vec!["localhost".to_owned()]))?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, if host.is_empty() { "localhost" } else { &host });
    params.distinguished_name = subject;
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2049, 12, 31);
    params.self_signed(pair)
}

/// Puts a whole new file in place; one that is there already is never touched.
fn create(path: &Path, content: &[u8], mode: u32, group: Option<u32>) -> Result<(), String> {
    let temporary = PathBuf::from(format!("{}.{}.new", path.display(), std::process::id()));
    let put = || -> io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        if group.is_some() {
            // Whoever may not give it away made it for himself.
            let _ = fchown(&file, None, group);
        }
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::hard_link(&temporary, path)
    };
    let done = put();
    // Its second name has done its work, or it failed.
    let _ = fs::remove_file(&temporary);
    done.map_err(|error| format!("cannot create '{}': [{}].", path.display(), errno(&error)))
}

/// The password that agents have to know.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Vec<u8>);

impl Password {
    /// The first line of a file, whole, without its end of line. `None` when there is no file, or its first line
    /// has less than two characters (the original's measure).
    ///
    /// # Errors
    /// The file can't be read, or what is in it is no password.
    pub fn read(path: &Path) -> Result<Option<Self>, String> {
        if !path.exists() {
            return Ok(None);
        }
        let text = read(path)?;
        let line = text.split(|&b| b == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > MAX_PASSWORD {
            let path = path.display();
            return Err(format!("The first line of '{path}' is longer than {MAX_PASSWORD} bytes."));
        }
        if fs::metadata(path).is_ok_and(|file| file.mode() & 0o004 != 0) {
            log::warn!(
                "'{path}' is readable by every user of this host: chmod 640 {path}",
                path = path.display()
            );
        }
        Ok((line.len() >= 2).then(|| Self(line.to_vec())))
    }

    /// 32 hex digits.
    ///
    /// # Errors
    /// That of getrandom(2).
    pub fn random() -> io::Result<Self> {
        let mut bits = [0; 16];
        let mut filled = 0;
        while filled < bits.len() {
            filled += getrandom(&mut bits[filled..], GetRandomFlags::empty())?;
        }
        Ok(Self(bits.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()))
    }

    /// All of it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(not shown)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_made_once_and_then_kept() {
        let temp = tempfile::tempdir().unwrap();
        let (certificate, key) = (temp.path().join("c"), temp.path().join("k"));
        assert_eq!(make_missing(&certificate, &key, None), Ok(true));
        let first = Credentials::read(&certificate, &key).unwrap().fingerprint().unwrap();
        assert_eq!(make_missing(&certificate, &key, None), Ok(false));
        let second = Credentials::read(&certificate, &key).unwrap().fingerprint().unwrap();
        assert_eq!(first, second);
        let mode = |path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&key), mode(&certificate)), (0o640, 0o644));
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 2, "no left-overs");
    }

    #[test]
    fn half_a_pair_is_completed_or_refused_never_overwritten() {
        let temp = tempfile::tempdir().unwrap();
        let (certificate, key) = (temp.path().join("c"), temp.path().join("k"));
        make_missing(&certificate, &key, None).unwrap();
        let old = fs::read(&key).unwrap();
        fs::remove_file(&certificate).unwrap();
        assert_eq!(make_missing(&certificate, &key, None), Ok(true));
        assert_eq!(fs::read(&key).unwrap(), old);
        fs::remove_file(&key).unwrap();
        let refused = make_missing(&certificate, &key, None).unwrap_err();
        assert!(refused.contains("Restore the key"), "{refused}");
        assert!(!key.exists());
    }

    #[test]
    fn the_password_is_the_whole_first_line() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("authd.pass");
        assert_eq!(Password::read(&path), Ok(None));
        let long = "p".repeat(33);
        for (text, password) in [
            ("sekret\n", Some("sekret")),
            ("sekret", Some("sekret")),
            ("sekret\r\nrest", Some("sekret")),
            (&long, Some(&long)),
            ("", None),
            ("x\nyz\n", None),
        ] {
            fs::write(&path, text).unwrap();
            let read = Password::read(&path).unwrap();
            assert_eq!(
                read.as_ref().map(Password::as_bytes),
                password.map(str::as_bytes),
                "{text}"
            );
        }
        fs::write(&path, "p".repeat(MAX_PASSWORD + 1)).unwrap();
        assert!(Password::read(&path).is_err());
    }

    #[test]
    fn a_file_without_a_certificate_is_refused_by_name() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x.pem");
        fs::write(&path, "no pem").unwrap();
        for refused in [certificates(&path).unwrap_err(), authorities(&path).unwrap_err()] {
            assert!(
                refused.contains("x.pem") && refused.contains("BEGIN CERTIFICATE"),
                "{refused}"
            );
        }
        assert!(Credentials::read(&path, &path).is_err());
    }
}
