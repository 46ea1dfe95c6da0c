//! From the settings to the engine's options: the same for the daemon that judges and for the tool that tries rules.

use rules::{EventTime, Mode, Options};
use settings::{InternalOptions, Settings};

/// The options of an engine that serves as `mode`, on a server named `hostname`; without active responses.
pub fn options(
    mode: Mode,
    hostname: &str,
    settings: &Settings,
    tunables: &InternalOptions,
) -> Options {
    let number = |key| usize::try_from(tunables.number(key)).unwrap_or(usize::MAX);
    let small = |key| u32::try_from(tunables.number(key)).unwrap_or(u32::MAX);
    let event_time = if tunables.flag("analysisd.event_time") {
        EventTime::Logged {
            past: small("analysisd.event_time_past"),
            future: small("analysisd.event_time_future"),
        }
    } else {
        EventTime::Received
    };
    Options {
        mode,
        hostname: hostname.as_bytes().to_vec(),
        decoder_order_size: number("analysisd.decoder_order_size"),
        default_timeframe: small("analysisd.default_timeframe"),
        fts_list_size: number("analysisd.fts_list_size"),
        fts_min_size_for_str: number("analysisd.fts_min_size_for_str"),
        fts_max_keys: number("analysisd.fts_max_keys"),
        ignore_max_keys: number("analysisd.ignore_max_keys"),
        accumulate_max_keys: number("analysisd.accumulate_max_keys"),
        group_list_max: number("analysisd.group_list_max"),
        memory_max_bytes: number("analysisd.memory_max_mib").saturating_mul(1 << 20),
        strict_compat: tunables.flag("analysisd.strict_compat"),
        modern_headers: tunables.flag("analysisd.modern_headers"),
        structured_data: tunables.flag("analysisd.structured_data"),
        decode_json: tunables.flag("analysisd.decode_json"),
        different_srcip: tunables.flag("analysisd.different_srcip"),
        keep_lines: tunables.flag("analysisd.keep_lines"),
        event_time,
        log_level: settings.alerts.log,
        email_level: settings.alerts.email,
        memory_size: settings.global.memory_size,
        sid_prev_matched_max: number("analysisd.sid_prev_matched_max"),
        log_fw: tunables.flag("analysisd.log_fw"),
        drop_incomplete_firewall: tunables.flag("analysisd.drop_incomplete_firewall"),
        responses: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_tunables_are_the_engines_own_defaults() {
        let (settings, tunables) = (Settings::default(), InternalOptions::default());
        let ours = options(Mode::Daemon, "ossec-server", &settings, &tunables);
        assert_eq!(format!("{ours:?}"), format!("{:?}", Options::default()));
    }
}
