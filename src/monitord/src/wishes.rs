//! The options of monitord, from `internal_options.conf`, in the types that they are used in.

use std::time::Duration;

use settings::InternalOptions;

use crate::closing;
use crate::daily::Form;
use crate::retention::Limits;

/// All of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// After midnight yesterday's logs are left alone for that long.
    pub day_wait: Duration,
    /// Checksums, compression.
    pub closing: closing::Wishes,
    /// When past days' logs go.
    pub limits: Limits,
    /// Bytes at which a daily file is set aside.
    pub rotate_at: Option<u64>,
    /// Bytes at which a program's log is set aside.
    pub rotate_programs_at: Option<u64>,
    /// How many of the latter stay.
    pub keep_rotated: usize,
    /// How long an agent may be silent, if agents are watched.
    pub silence: Option<Duration>,
}

impl Options {
    /// From the checked values; 0 means off.
    pub fn of(options: &InternalOptions) -> Self {
        let positive = |key| Some(options.number(key)).filter(|&n| n > 0);
        let mib = |key| positive(key).map(|n| n << 20);
        let pack = match options.number("monitord.compress") {
            0 => None,
            2 => Some(Form::Zstd),
            _ => Some(Form::Gzip),
        };
        // As OSSEC reckons: three signs of life missed, and a little patience.
        let silence = Duration::from_secs(3 * options.number("monitord.notify_time") + 30);
        Self {
            day_wait: Duration::from_secs(options.number("monitord.day_wait")),
            closing: closing::Wishes { sign: options.flag("monitord.sign"), pack },
            limits: Limits {
                keep_days: positive("monitord.keep_days").and_then(|n| u32::try_from(n).ok()),
                max_bytes: mib("monitord.max_mib"),
                min_free_percent: positive("monitord.min_free_percent")
                    .and_then(|n| u8::try_from(n).ok()),
            },
            rotate_at: mib("monitord.rotate_mib"),
            rotate_programs_at: mib("monitord.log_mib"),
            keep_rotated: usize::try_from(options.number("monitord.log_keep"))
                .unwrap_or(usize::MAX),
            silence: options.flag("monitord.monitor_agents").then_some(silence),
        }
    }
}
