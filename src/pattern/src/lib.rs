//! The three pattern languages of OSSEC rules: OS_Regex, OS_Match, PCRE2.
//!
//! | type | rule tags | matched by |
//! |---|---|---|
//! | [`Regex`] | `<regex>`, `<prematch>`, `<field>` | translation to an automaton |
//! | [`Match`] | `<match>`, `<id>`, `<user>`, `<url>` ... | byte comparison, or an automaton |
//! | [`Pcre`] | `<pcre2>` and every `*_pcre2` | translation; backtracking only for what needs it |
//! | [`has_word`] | `<if_group>` | byte comparison |
//!
//! All are case-insensitive, take any bytes, and match in time linear in the text. The one exception is a PCRE2 pattern with
//! look-around, back-references or atomic groups: it backtracks, within a step limit (see [`Pcre::needs_backtracking`]).

mod anchored;
mod captures;
mod error;
mod os_match;
mod os_regex;
mod pcre;
mod program;
mod required;
mod words;

pub use captures::Captures;
pub use error::PatternError;
pub use os_match::Match;
pub use os_regex::Regex;
pub use pcre::Pcre;
pub use required::literals_apply;
pub use words::has_word;
