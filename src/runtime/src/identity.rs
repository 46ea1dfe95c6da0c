//! Who a daemon becomes: looked up at start, while the user database is in reach.

use std::env;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use sys::Capability;
use sys::privilege;
use sys::users::{self, User};

use crate::failure::{Failure, errno};
use crate::{Privilege, logging};

/// Set by tests and `make demo` when root runs them in a root of its own: nobody is become.
pub(crate) const STAY: &str = "OXSEC_STAY_USER";

/// The outcome of the look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// We stay who we are; said at start.
    Stay,
    /// Root now; to become this user for good.
    Become(User),
    /// Root now; to keep these capabilities only, with this group.
    Reduce { gid: u32, keep: &'static [Capability] },
}

impl Identity {
    /// Finds out who the daemon is to be. `user` and `group` come from the command line.
    pub(crate) fn find(
        privilege: &Privilege,
        user: Option<&str>,
        group: Option<&str>,
    ) -> Result<Self, Failure> {
        if privilege::effective_uid() != 0 {
            log::info!("Not started as root: stays user id {}.", privilege::effective_uid());
            return Ok(Self::Stay);
        }
        if env::var_os(STAY).is_some_and(|value| value == "1") {
            log::info!("{STAY} is set: stays root, with all of its power.");
            return Ok(Self::Stay);
        }
        let names = Names::of(privilege, user, group);
        let gid = found(users::group(names.group), &names)?;
        match *privilege {
            Privilege::User { .. } => {
                let User { uid, .. } = found(users::user(names.user), &names)?;
                logging::set_owner(Some(uid), gid);
                Ok(Self::Become(User { uid, gid }))
            }
            Privilege::Root { group, keep } => {
                // The log belongs to the suite's user, who is called like its group.
                let owner = users::user(group).ok().flatten().map(|user| user.uid);
                logging::set_owner(owner, gid);
                Ok(Self::Reduce { gid, keep })
            }
        }
    }

    /// The group of files that all daemons read, if this process can give files away.
    pub(crate) fn gid(self) -> Option<u32> {
        match self {
            Self::Stay => None,
            Self::Become(User { gid, .. }) | Self::Reduce { gid, .. } => Some(gid),
        }
    }

    /// Takes the step, for good.
    pub(crate) fn assume(self, names: &Names<'_>) -> Result<(), Failure> {
        match self {
            Self::Stay => Ok(()),
            Self::Become(User { uid, gid }) => {
                privilege::become_user(uid, gid).map_err(|error| {
                    let why = errno(&error);
                    Failure::new(
                        Some(1131),
                        format!("Unable to switch to user '{}' due to [{why}].", names.user),
                    )
                })?;
                log::debug!("now user '{}' ({uid}), group '{}' ({gid})", names.user, names.group);
                Ok(())
            }
            Self::Reduce { keep, .. } => {
                self.join_group(names)?;
                match privilege::keep_only(keep) {
                    Ok(()) => log::debug!("root in name, with the capabilities {keep:?}"),
                    // Containers may lack CAP_SETPCAP; the user asked for such a place.
                    Err(error) => {
                        let why = errno(&error);
                        log::info!("Capabilities are not reduced here: [{why}].");
                    }
                }
                Ok(())
            }
        }
    }

    /// Makes the group the only one; the user and all capabilities stay.
    pub(crate) fn join_group(self, names: &Names<'_>) -> Result<(), Failure> {
        let Some(gid) = self.gid() else { return Ok(()) };
        privilege::become_group(gid).map_err(|error| {
            let why = errno(&error);
            Failure::new(
                Some(1130),
                format!("Unable to switch to group '{}' due to [{why}].", names.group),
            )
        })
    }

    /// Whether this identity, once assumed, may create files in a folder; decided by owner and mode.
    pub(crate) fn may_write(self, folder: &Metadata) -> bool {
        const WRITE_AND_SEARCH: u32 = 0o3;
        let (uid, gid, all) = match self {
            Self::Stay => return true,
            Self::Become(User { uid, gid }) => (uid, gid, false),
            Self::Reduce { gid, keep } => (0, gid, keep.contains(&Capability::DacOverride)),
        };
        let shift = match (folder.uid() == uid, folder.gid() == gid) {
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        all || folder.mode() >> shift & WRITE_AND_SEARCH == WRITE_AND_SEARCH
    }
}

/// The names behind an identity, for messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    pub(crate) user: &'a str,
    pub(crate) group: &'a str,
}

impl<'a> Names<'a> {
    pub(crate) fn of(privilege: &Privilege, user: Option<&'a str>, group: Option<&'a str>) -> Self {
        let (own_user, own_group) = match *privilege {
            Privilege::User { user, group } => (user, group),
            Privilege::Root { group, .. } => ("root", group),
        };
        Self { user: user.unwrap_or(own_user), group: group.unwrap_or(own_group) }
    }
}

fn found<T>(entry: std::io::Result<Option<T>>, names: &Names<'_>) -> Result<T, Failure> {
    let Names { user, group } = names;
    let text = format!("Invalid user '{user}' or group '{group}' given.");
    match entry {
        Ok(Some(entry)) => Ok(entry),
        Ok(None) => Err(Failure::new(
            Some(1203),
            format!(
                "{text} Create them (install.sh does), or set {STAY}=1 to try the suite out as root."
            ),
        )),
        Err(error) => {
            Err(Failure::new(Some(1203), format!("{text} The look-up failed: {}.", errno(&error))))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn write_access_follows_owner_group_and_mode() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path();
        let owner = fs::metadata(folder).unwrap();
        let (uid, gid) = (owner.uid(), owner.gid());
        let stranger = Identity::Become(User { uid: uid + 1, gid: gid + 1 });
        let member = Identity::Become(User { uid: uid + 1, gid });
        let itself = Identity::Become(User { uid, gid: gid + 1 });
        for (mode, expected) in [
            (0o700, [true, false, false]),
            (0o770, [true, true, false]),
            (0o777, [true, true, true]),
            (0o077, [false, true, true]),
            (0o720, [true, false, false]),
        ] {
            fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
            let folder = fs::metadata(folder).unwrap();
            let may = [itself, member, stranger].map(|identity| identity.may_write(&folder));
            assert_eq!(may, expected, "{mode:o}");
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    }
}
