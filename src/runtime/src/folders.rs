//! Whether the daemon's user can write where it must: said at start, with the remedy, not at the first loss.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::failure::{Failure, plain};
use crate::identity::{Identity, Names};

/// Checks folders of the install root; the failure names each one that cannot be written.
///
/// `assumed`: whether the process already is who it is to be. Then a file is created and removed; before,
/// owner and mode decide.
pub(crate) fn require_writable(
    root: &Path,
    folders: &[&str],
    identity: Identity,
    assumed: bool,
    names: &Names<'_>,
) -> Result<(), Failure> {
    let mut failure: Option<Failure> = None;
    for folder in folders {
        let folder = root.join(folder);
        let tried = match identity {
            Identity::Become(_) | Identity::Reduce { .. } if !assumed => by_mode(&folder, identity),
            _ => by_trying(&folder),
        };
        let Err(error) = tried else { continue };
        let one = remedy(&folder, &error, identity, names);
        failure = Some(failure.map_or(one.clone(), |others| others.and(&one)));
    }
    failure.map_or(Ok(()), Err)
}

fn by_mode(folder: &Path, identity: Identity) -> io::Result<()> {
    let metadata = fs::metadata(folder)?;
    if !metadata.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    match identity.may_write(&metadata) {
        true => Ok(()),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

fn by_trying(folder: &Path) -> io::Result<()> {
    let probe = folder.join(format!(".writable-{}", std::process::id()));
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&probe)?;
    fs::remove_file(&probe)
}

fn remedy(folder: &Path, error: &io::Error, identity: Identity, names: &Names<'_>) -> Failure {
    let Names { user, group } = names;
    let path = folder.display();
    let missing = error.kind() == io::ErrorKind::NotFound;
    let who =
        if identity == Identity::Stay { "this user".into() } else { format!("user '{user}'") };
    let what = match (identity, missing) {
        (Identity::Stay, true) => format!("mkdir -p {path}"),
        (Identity::Stay, false) => format!("chmod u+rwx {path}, or start as its owner"),
        (_, true) => format!("mkdir -p {path} && chown {user}:{group} {path}"),
        (_, false) => format!("chown -R {user}:{group} {path}"),
    };
    Failure::new(
        None,
        format!("folder '{path}' cannot be written by {who} ({}): {what}", plain(error)),
    )
}

#[cfg(test)]
mod tests {
    use sys::users::User;

    use super::*;

    const NAMES: Names<'static> = Names { user: "ossec", group: "ossec" };

    #[test]
    fn each_unusable_folder_is_named_with_its_remedy() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("logs")).unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        let check = |identity, assumed| {
            require_writable(root.path(), &["logs", "queue", "file"], identity, assumed, &NAMES)
        };
        let failure = check(Identity::Stay, true).unwrap_err().to_string();
        let queue = root.path().join("queue").display().to_string();
        assert_eq!(failure.lines().count(), 2, "{failure}");
        assert!(
            failure.contains(&format!("'{queue}' cannot be written by this user")),
            "{failure}"
        );
        assert!(failure.contains(&format!("mkdir -p {queue}")), "{failure}");

        let stranger = Identity::Become(User { uid: 12345, gid: 12345 });
        let failure = check(stranger, false).unwrap_err().to_string();
        let logs = root.path().join("logs").display().to_string();
        assert_eq!(failure.lines().count(), 3, "{failure}");
        assert!(
            failure.contains(&format!("(permission denied): chown -R ossec:ossec {logs}")),
            "{failure}"
        );
    }

    #[test]
    fn a_usable_folder_is_left_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        require_writable(root.path(), &["."], Identity::Stay, true, &NAMES).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
