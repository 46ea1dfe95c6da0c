//! Package awareness: a file that a package manager has just put there as shipped is no alert of its own.
//!
//! ```text
//! change --> held while one is at work --> its package was in a transaction, and shipped just this? --> silent, one summary a package
//!                                                            \--> no: told as ever
//! ```
//! Only a package manager's own records vouch ([`database`]): the files and digests of the installed packages, and its log where it keeps
//! one. What they said before the transaction is kept in an index on disk ([`index`]), since a file that a package no longer has is in no
//! list afterwards. Records that change while no package manager was at work are told as such. What became setuid is told, whoever shipped it.

pub mod database;
pub mod dpkg;
pub mod gate;
pub mod index;
pub mod rpm;

use std::path::Path;

use database::Database;
use dpkg::Dpkg;
pub use gate::{Asked, Gate, Told};
use rpm::Rpm;

/// The databases of this machine; where there are two of them, each speaks for its own packages.
#[derive(Debug)]
pub struct Found {
    /// dpkg's.
    pub dpkg: Option<Dpkg>,
    /// rpm's: a program has to be run to ask it.
    pub rpm: Option<Rpm>,
}

impl Found {
    /// Looks where distributions keep them.
    pub fn here() -> Self {
        Self {
            dpkg: Dpkg::at(Path::new("/var/lib/dpkg"), Path::new("/var/log/dpkg.log")),
            rpm: Rpm::at(Path::new(rpm::PROGRAM), &rpm::FOLDERS.map(Path::new)),
        }
    }

    /// As the gate wants them.
    pub fn databases(self) -> Vec<Box<dyn Database>> {
        let dpkg = self.dpkg.map(|dpkg| Box::new(dpkg) as Box<dyn Database>);
        dpkg.into_iter().chain(self.rpm.map(|rpm| Box::new(rpm) as Box<dyn Database>)).collect()
    }
}
