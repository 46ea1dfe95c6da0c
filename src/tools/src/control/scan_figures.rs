//! What syscheckd is doing and how it does, as one line for `ossec-control status`, from its accounts (`var/run/ossec-syscheckd.state`).

use std::fmt::Write;

/// The line; `None` where syscheckd has written no accounts.
pub(crate) fn line(accounts: &[(String, u64)]) -> Option<String> {
    let value = |name: &str| accounts.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
    let mut line = format!("    {} files known", value("files")?);
    match value("scanning") {
        Some(1) => line += ", scanning",
        Some(2) => line += ", scans paused",
        _ => {}
    }
    if let Some(millis @ 1..) = value("scan_ms") {
        let of = |name| value(name).unwrap_or(0);
        let (cpu, kilobytes) = (of("scan_cpu_permille"), of("scan_kb_per_s"));
        let _ = write!(
            line,
            "; last scan: {}.{} s, {} files/s, {}.{} MB/s, {}.{} % of a core",
            millis / 1000,
            millis % 1000 / 100,
            of("scan_files_per_s"),
            kilobytes / 1000,
            kilobytes % 1000 / 100,
            cpu / 10,
            cpu % 10
        );
    }
    if let Some(watched @ 1..) = value("watched") {
        let _ = write!(line, "; realtime: {watched} folders");
        if let Some(unwatched @ 1..) = value("unwatched") {
            let _ = write!(line, " ({unwatched} could not be watched)");
        }
        line += match value("who") {
            Some(2) => ", who-data by fanotify",
            Some(1) => ", who-data by audit",
            _ => ", no who-data",
        };
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<String> {
        let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.parse().unwrap()));
        line(&pairs.collect::<Vec<_>>())
    }

    #[test]
    fn it_says_what_there_is() {
        assert_eq!(of(""), None);
        assert_eq!(of("files=3 scan_ms=0 scanning=1").unwrap(), "    3 files known, scanning");
        let all = "files=100 scanning=2 scan_ms=61250 scan_files_per_s=1640 scan_kb_per_s=6430 scan_cpu_permille=49 \
                   watched=7 unwatched=1 who=2";
        assert_eq!(
            of(all).unwrap(),
            "    100 files known, scans paused; last scan: 61.2 s, 1640 files/s, 6.4 MB/s, 4.9 % of a core; \
             realtime: 7 folders (1 could not be watched), who-data by fanotify"
        );
    }
}
