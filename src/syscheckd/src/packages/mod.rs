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

use std::path::Path;

use database::Database;
use dpkg::Dpkg;
pub use gate::{Asked, Gate, Told};

/// The databases of this machine.
pub fn found() -> Vec<Box<dyn Database>> {
    let dpkg = Dpkg::at(Path::new("/var/lib/dpkg"), Path::new("/var/log/dpkg.log"));
    dpkg.into_iter().map(|dpkg| Box::new(dpkg) as Box<dyn Database>).collect()
}
