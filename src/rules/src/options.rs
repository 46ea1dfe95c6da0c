//! What the shell tells the engine at load: limits, levels, which program it serves.

use std::fmt;

/// Settings of an engine; the defaults are the shipped ones.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether the daemon or the test tool asks.
    pub mode: Mode,
    /// Short name of this server, for events without a host name.
    pub hostname: Vec<u8>,
    /// Most fields of one decoder (`analysisd.decoder_order_size`).
    pub decoder_order_size: usize,
    /// Seconds, for rules without `timeframe` (`analysisd.default_timeframe`).
    pub default_timeframe: u32,
    /// First-seen keys of intrusion detection systems that are compared (`analysisd.fts_list_size`).
    pub fts_list_size: usize,
    /// Common bytes that make two such keys similar (`analysisd.fts_min_size_for_str`).
    pub fts_min_size_for_str: usize,
    /// First-seen keys kept; the oldest is forgotten beyond.
    pub fts_max_keys: usize,
    /// Entries of the ignore list kept; the oldest is forgotten beyond.
    pub ignore_max_keys: usize,
    /// Transactions that the accumulator keeps at once; beyond, new ones are not remembered.
    pub accumulate_max_keys: usize,
    /// Events kept for each `if_matched_group`; the oldest leaves beyond.
    pub group_list_max: usize,
    /// Bytes of all events remembered for correlation; the oldest are forgotten beyond.
    pub memory_max_bytes: usize,
    /// Everything beyond the original is off: see `docs/rule-language.md`. (`analysisd.strict_compat`)
    pub strict_compat: bool,
    /// Headers of RFC 5424 and ISO times in `Z` are taken apart (`analysisd.modern_headers`).
    pub modern_headers: bool,
    /// The structured data of RFC 5424 becomes fields `sd.<id>.<name>` (`analysisd.structured_data`).
    pub structured_data: bool,
    /// Lines of JSON that no decoder takes are decoded (`analysisd.decode_json`).
    pub decode_json: bool,
    /// `<different_srcip />` asks for a difference; the original knows the tag and does nothing
    /// (`analysisd.different_srcip`).
    pub different_srcip: bool,
    /// Newlines and tabs stay in all log lines (`analysisd.keep_lines`). In outputs of commands newlines always stay.
    pub keep_lines: bool,
    /// Which time counts for correlation (`analysisd.event_time`, `analysisd.event_time_past`,
    /// `analysisd.event_time_future`).
    pub event_time: EventTime,
    /// Rules from this level on are logged.
    pub log_level: u8,
    /// Rules from this level on are mailed.
    pub email_level: u8,
    /// Events remembered for correlation.
    pub memory_size: usize,
    /// Events remembered per rule that an `if_matched_sid` names.
    pub sid_prev_matched_max: usize,
    /// Firewall events get a line of their own and the suite's words for actions (`analysisd.log_fw`); daemon only.
    pub log_fw: bool,
    /// Firewall events that lack action, address or protocol are dropped unjudged, as the original does.
    pub drop_incomplete_firewall: bool,
    /// Active responses; rules refer to them by position.
    pub responses: Vec<ResponseBinding>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::Daemon,
            hostname: b"ossec-server".to_vec(),
            decoder_order_size: 256,
            default_timeframe: 360,
            fts_list_size: 32,
            fts_min_size_for_str: 14,
            fts_max_keys: 200_000,
            ignore_max_keys: 100_000,
            accumulate_max_keys: 10_000,
            group_list_max: 65_536,
            memory_max_bytes: 64 << 20,
            strict_compat: false,
            modern_headers: false,
            structured_data: false,
            decode_json: true,
            different_srcip: false,
            keep_lines: false,
            event_time: EventTime::Received,
            log_level: 1,
            email_level: 7,
            memory_size: 8192,
            sid_prev_matched_max: 128,
            log_fw: true,
            drop_incomplete_firewall: false,
            responses: Vec::new(),
        }
    }
}

/// Which time of an event counts for correlation, silence windows and transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventTime {
    /// When it was received.
    Received,
    /// The time in its header, as long as it is not further away from the receive time than this; else as above.
    Logged {
        /// Seconds before the receive time.
        past: u32,
        /// Seconds behind the receive time.
        future: u32,
    },
}

/// Which program's behaviour applies where the two differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `ossec-analysisd`: repeated lines are dropped, firewall actions normalised, the ignore list kept.
    Daemon,
    /// `ossec-logtest`: none of these; a silence window that ran out is cleared, not restarted.
    Tool,
}

/// Which rules start an active response; the conditions are alternatives.
#[derive(Debug, Clone, Default)]
pub struct ResponseBinding {
    /// Rules of this level or higher.
    pub level: Option<u8>,
    /// Rules whose groups match this OS_Regex.
    pub rules_group: Option<Vec<u8>>,
    /// Rules of these numbers.
    pub rules_id: Vec<u32>,
}

/// What is wrong with a decoder, rule or list file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    /// Name of the source.
    pub file: String,
    /// Counted from 1; 0 when the whole file is meant.
    pub line: usize,
    /// What is wrong and what was expected.
    pub text: String,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.text),
            line => write!(f, "{}:{line}: {}", self.file, self.text),
        }
    }
}

impl std::error::Error for LoadError {}
