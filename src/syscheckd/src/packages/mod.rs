//! Package awareness: a file that a package manager has just put there as shipped is no alert of its own.
//!
//! ```text
//! change --> held while dpkg is at work --> its package was in a transaction, and shipped just this? --> silent, one summary a package
//!                                                            \--> no: told as ever
//! ```
//! Only dpkg's own records vouch ([`dpkg`]): the lists and digests of the installed packages, and its log. What they said before the transaction
//! is kept in an index on disk ([`index`]), since a file that a package no longer has is in no list afterwards. Records that
//! change while dpkg was not at work are told as such. Permissions are never vouched for: what became setuid is told.

pub mod dpkg;
pub mod gate;
pub mod index;

pub use gate::{Asked, Gate, Told};
