//! Every key of `internal_options.conf`: range and default.

/// One tunable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionSpec {
    /// `section.name`.
    pub key: &'static str,
    /// Value when no file says otherwise.
    pub default: u64,
    /// Least value.
    pub min: u64,
    /// Largest value.
    pub max: u64,
}

const fn option(key: &'static str, default: u64, min: u64, max: u64) -> OptionSpec {
    OptionSpec { key, default, min, max }
}

/// All tunables, in the order of the shipped file.
pub const OPTIONS: &[OptionSpec] = &[
    option("analysisd.default_timeframe", 360, 60, 604_800),
    option("analysisd.stats_maxdiff", 999_000, 10, 999_999),
    option("analysisd.stats_mindiff", 1250, 10, 999_999),
    option("analysisd.stats_percent_diff", 150, 5, 9999),
    option("analysisd.fts_list_size", 32, 12, 512),
    option("analysisd.fts_min_size_for_str", 14, 6, 128),
    option("analysisd.log_fw", 1, 0, 1),
    option("analysisd.alert_first_scan", 0, 0, 1),
    option("analysisd.fim_resync", 1, 0, 1),
    option("analysisd.fim_history_mb", 16, 0, 65_536),
    option("analysisd.fim_history_days", 90, 1, 36_500),
    option("analysisd.fim_storm_alerts", 2000, 0, 10_000_000),
    option("analysisd.fim_storm_seconds", 60, 1, 86_400),
    option("analysisd.fim_storm_level", 7, 0, 15),
    option("analysisd.fim_often_seconds", 86_400, 0, 31_536_000),
    option("analysisd.decoder_order_size", 256, 8, 1024),
    option("analysisd.sid_prev_matched_max", 128, 16, 65_536),
    option("analysisd.strict_compat", 0, 0, 1),
    option("analysisd.modern_headers", 0, 0, 1),
    option("analysisd.structured_data", 0, 0, 1),
    option("analysisd.decode_json", 1, 0, 1),
    option("analysisd.different_srcip", 0, 0, 1),
    option("analysisd.keep_lines", 0, 0, 1),
    option("analysisd.event_time", 0, 0, 1),
    option("analysisd.event_time_past", 86_400, 0, 31_536_000),
    option("analysisd.event_time_future", 300, 0, 86_400),
    option("analysisd.drop_incomplete_firewall", 0, 0, 1),
    option("analysisd.fts_max_keys", 200_000, 1000, 10_000_000),
    option("analysisd.ignore_max_keys", 100_000, 1000, 10_000_000),
    option("analysisd.accumulate_max_keys", 10_000, 100, 1_000_000),
    option("analysisd.group_list_max", 65_536, 128, 1_000_000),
    option("analysisd.memory_max_mib", 64, 1, 65_536),
    option("analysisd.event_threads", 0, 0, 32),
    option("analysisd.rule_matching_threads", 0, 0, 32),
    option("analysisd.syscheck_threads", 0, 0, 32),
    option("analysisd.rootcheck_threads", 0, 0, 32),
    option("analysisd.hostinfo_threads", 0, 0, 32),
    option("analysisd.input_demux_threads", 2, 1, 8),
    option("analysisd.raw_input_queue_size", 16_384, 128, 2_000_000),
    option("analysisd.decode_event_queue_size", 16_384, 128, 2_000_000),
    option("analysisd.decode_syscheck_queue_size", 16_384, 128, 2_000_000),
    option("analysisd.decode_rootcheck_queue_size", 16_384, 128, 2_000_000),
    option("analysisd.decode_hostinfo_queue_size", 16_384, 128, 2_000_000),
    option("analysisd.decode_output_queue_size", 16_384, 128, 2_000_000),
    option("analysisd.alerts_queue_size", 16_384, 128, 2_000_000),
    option("analysisd.statistical_queue_size", 16_384, 128, 2_000_000),
    option("analysisd.archives_queue_size", 16_384, 128, 2_000_000),
    option("analysisd.firewall_queue_size", 16_384, 128, 2_000_000),
    option("analysisd.fts_queue_size", 16_384, 128, 2_000_000),
    option("analysisd.raw_input_push_wait_ms", 25, 0, 5000),
    option("analysisd.demux_push_wait_ms", 50, 0, 5000),
    option("analysisd.shard_push_wait_ms", 75, 0, 5000),
    option("analysisd.alerts_push_wait_ms", 100, 0, 5000),
    option("analysisd.state_interval", 5, 0, 86_400),
    option("analysisd.geoip_jsonout", 0, 0, 1),
    option("analysisd.debug", 0, 0, 2),
    option("logcollector.loop_timeout", 2, 1, 120),
    option("logcollector.open_attempts", 8, 2, 998),
    option("logcollector.remote_commands", 0, 0, 1),
    option("logcollector.debug", 0, 0, 2),
    option("syscheck.sleep", 2, 0, 64),
    option("syscheck.sleep_after", 15, 1, 9999),
    option("syscheck.threads", 0, 0, 64),
    option("syscheck.diff_store", 64, 0, 65_536),
    option("syscheck.packages", 1, 0, 1),
    option("syscheck.debug", 0, 0, 2),
    option("rootcheck.sleep", 2, 0, 64),
    option("execd.debug", 0, 0, 2),
    option("monitord.day_wait", 10, 5, 240),
    option("monitord.max_report_workers", 4, 1, 16),
    option("monitord.compress", 1, 0, 2),
    option("monitord.sign", 1, 0, 1),
    option("monitord.monitor_agents", 1, 0, 1),
    option("monitord.notify_time", 600, 60, 3600),
    option("monitord.keep_days", 0, 0, 36_500),
    option("monitord.max_mib", 0, 0, 1_000_000_000),
    option("monitord.min_free_percent", 0, 0, 90),
    option("monitord.rotate_mib", 0, 0, 1_000_000),
    option("monitord.log_mib", 100, 0, 1_000_000),
    option("monitord.log_keep", 10, 1, 1000),
    option("monitord.debug", 0, 0, 2),
    option("remoted.max_agents", 100_000, 1, 1_000_000),
    option("remoted.recv_counter_flush", 128, 10, 999_999),
    option("remoted.comp_average_printout", 19_999, 10, 999_999),
    option("remoted.verify_msg_id", 1, 0, 1),
    option("remoted.pass_empty_keyfile", 0, 0, 1),
    option("remoted.syslog_tcp_worker_pool", 16, 1, 64),
    option("remoted.syslog_tcp_max_tasks", 64, 1, 1024),
    option("remoted.syslog_tcp_read_timeout", 30, 1, 3600),
    option("remoted.debug", 0, 0, 2),
    option("agent.spool_size", 256, 1, 65_536),
    option("agent.spool_age", 168, 1, 8760),
    option("agent.send_rate", 5000, 10, 1_000_000),
    option("agent.debug", 0, 0, 2),
    option("authd.worker_pool", 8, 1, 128),
    option("authd.max_connections", 64, 1, 512),
    option("authd.debug", 0, 0, 2),
    option("maild.strict_checking", 1, 0, 1),
    option("maild.groupping", 1, 0, 1),
    option("maild.full_subject", 0, 0, 1),
    option("maild.geoip", 1, 0, 1),
    option("maild.max_workers", 6, 1, 32),
    option("dbd.reconnect_attempts", 10, 1, 9999),
    option("ossec.thread_stack_size", 2048, 2048, 65_536),
    option("windows.debug", 0, 0, 2),
];

impl OptionSpec {
    /// The tunable of this key.
    pub fn of(key: &str) -> Option<&'static Self> {
        OPTIONS.iter().find(|option| option.key == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_default_is_in_its_range_and_each_key_unique() {
        for (at, option) in OPTIONS.iter().enumerate() {
            assert!((option.min..=option.max).contains(&option.default), "{}", option.key);
            assert!(option.key.split_once('.').is_some_and(|(_, name)| !name.contains('.')));
            let again = OPTIONS.iter().skip(at + 1).any(|other| other.key == option.key);
            assert!(!again, "{} twice", option.key);
        }
    }
}
