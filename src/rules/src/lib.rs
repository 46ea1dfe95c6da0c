//! One engine for OSSEC's rule language: pre-decoding, decoders, rules, correlation.
//!
//! Pure: no file, clock, thread. Rule files come in as bytes ([`load`]), effects go out through [`World`].
//! An event is judged in two phases:
//!
//! 1. [`Engine::decode`] is stateless (`&self`, any thread): it pre-decodes, decodes and answers every condition that
//!    depends on the event alone. What is left is the *pruned tree*: the few rules that can still match.
//! 2. [`Engine::judge`] walks that tree with the [`State`] in the order in which events arrived: first-seen,
//!    frequencies, silence windows. Its result never depends on how many threads ran phase 1.
//!
//! ```
//! use rules::{Engine, MemoryWorld, Options, RawEvent, Source, State};
//!
//! let decoders = br#"<decoder name="app"><program_name>^app</program_name></decoder>"#;
//! let rules = br#"<group name="local,"><rule id="100001" level="5">
//!     <decoded_as>app</decoded_as><match>failed</match><description>app failed</description></rule></group>"#;
//! let loaded = rules::load(
//!     &[Source { name: "decoder.xml", text: decoders }],
//!     &[Source { name: "local_rules.xml", text: rules }],
//!     &[],
//!     Options::default(),
//! ).unwrap();
//! let engine: Engine = loaded.engine;
//! let mut state = State::new(&engine);
//! let mut event = engine.decode(&RawEvent {
//!     moment: alerts::Moment::utc(1_700_000_000),
//!     location: b"/var/log/app.log",
//!     payload: b"Nov 14 22:13:20 host1 app[7]: login failed",
//! });
//! let judgement = engine.judge(&mut state, &mut event, &mut MemoryWorld::default());
//! assert_eq!(engine.rule(judgement.rule.unwrap()).id, 100_001);
//! ```
//!
//! The language as observed from OSSEC 4.3; where this engine differs, `docs/differences.md` says so.

mod accumulate;
mod address;
mod builtin;
mod condition;
mod correlate;
mod decoder;
mod engine;
mod event;
pub mod explain;
mod facts;
mod first_seen;
mod forwarded;
mod gates;
mod json;
mod judge;
pub mod lint;
mod lists;
mod load;
mod memory;
mod modern;
mod options;
mod plugin;
mod predecode;
mod prefilter;
mod rule;
mod runs;
mod scanner;
mod schedule;
mod sonicwall;
mod state;
mod text;
mod verdict;
mod world;

pub use engine::Engine;
pub use event::{Builtin, Decoded, Field, FileAttributes, FileChange, FileDetails, RawEvent};
pub use load::{Loaded, Source, load};
pub use options::{EventTime, LoadError, Mode, Options, ResponseBinding};
pub use rule::{Info, InfoKind, Rule, RuleIndex};
pub use state::{Counts, State};
pub use verdict::{Fate, Judgement, Step};
pub use world::{MemoryWorld, PreviousOutput, World};
