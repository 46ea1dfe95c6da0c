//! The end of `logs/ossec.log`: messages that everybody asks about, with what they mean and what helps.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::Patient;
use super::finding::Finding;

const CHECK: &str = "log";
/// How much of the log's end is read.
const TAIL: u64 = 1 << 20;
/// Older lines are worth a note only.
const RECENT: i64 = 3600;

/// A message, what it means, what helps.
struct Known {
    /// As in `ossec-remoted(1403): `, or words of the text where a message has no number.
    sign: &'static str,
    remedy: &'static str,
    /// A later line with this sign says that it is over.
    over: &'static str,
}

const KEY: &str = "The agent that is named has another key than this manager, or sends from another address than its key is for. Compare the key's sum that 'ossec-control diagnose' shows there; extract the key again (manage_agents -e), import it there (manage_agents -i), restart the agent.";
const QUEUE: &str = "The daemon that serves the queue does not run or was restarted: see 'queues' above. ossec-analysisd serves queue/ossec/queue, ossec-remoted queue/alerts/ar, ossec-execd queue/alerts/execq; on agents ossec-agentd the first.";
const SERVER: &str = "The manager does not answer: see 'authenticated round trip' above (firewall on UDP 1514, wrong key, manager not running).";
const MANY: &str =
    "Too many agents: raise remoted.max_agents in etc/local_internal_options.conf, restart.";

#[rustfmt::skip]
const KNOWN: &[Known] = &[
    Known { sign: "(1213)", remedy: KEY, over: "" },
    Known { sign: "(1403)", remedy: KEY, over: "" },
    Known { sign: "(1404)", remedy: KEY, over: "" },
    Known { sign: "(1406)", remedy: KEY, over: "" },
    Known { sign: "(1408)", remedy: KEY, over: "" },
    Known { sign: "(1407)", remedy: "Old numbers: somebody replays, two hosts use one key, or one side was restored from an older image. Agents of ours put it right by themselves; for others: 'manage_agents --reset-counter <id>' on the manager.", over: "" },
    Known { sign: "(1210)", remedy: QUEUE, over: "Started (pid" },
    Known { sign: "(1211)", remedy: QUEUE, over: "Started (pid" },
    Known { sign: "(1301)", remedy: "Responses are not run: ossec-execd (queue/alerts/execq) or ossec-remoted (queue/alerts/ar) does not run: 'ossec-control start'.", over: "Started (pid" },
    Known { sign: "(4101)", remedy: SERVER, over: "(4102)" },
    Known { sign: "(1216)", remedy: SERVER, over: "(4102)" },
    Known { sign: "(1218)", remedy: SERVER, over: "(4102)" },
    Known { sign: "(4104)", remedy: "A <server-hostname> cannot be resolved: see 'name resolution' above.", over: "(4102)" },
    Known { sign: "(4110)", remedy: MANY, over: "Started (pid" },
    Known { sign: "(1202)", remedy: "The configuration was refused: see 'configuration' above.", over: "Started (pid" },
    Known { sign: "(1206)", remedy: "Another program has the port, or an address to bind is not of this host.", over: "Started (pid" },
    Known { sign: "(1402)", remedy: "See 'keys' above.", over: "Started (pid" },
    Known { sign: "(1751)", remedy: "See 'keys' above.", over: "Started (pid" },
    Known { sign: "Too many open files", remedy: "Raise the limit of open files: 'ulimit -n 65536' before 'ossec-control restart', LimitNOFILE= in the unit.", over: "Started (pid" },
];

pub(super) fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let tried = "read the end of logs/ossec.log for known messages";
    let text = match tail(&patient.suite.root.join("logs/ossec.log")) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            let found = format!("logs/ossec.log cannot be read: {error}");
            return vec![Finding::note(CHECK, tried, found, "Run this as root.")];
        }
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let found = judge(&text, tried, i64::try_from(now).unwrap_or(i64::MAX));
    if found.is_empty() { vec![Finding::fine(CHECK, tried, "none of them")] } else { found }
}

fn judge(text: &str, tried: &str, now: i64) -> Vec<Finding> {
    let mut findings = Vec::new();
    for known in KNOWN {
        let lines = || text.lines().enumerate();
        let with = |sign: &'static str| lines().filter(move |(_, line)| line.contains(sign));
        let Some((at, line)) = with(known.sign).last() else { continue };
        let count = with(known.sign).count();
        let found = format!("{count} x {}, last: {line}", known.sign);
        let daemon = daemon_of(line);
        let is_over = !known.over.is_empty()
            && with(known.over).any(|(later, line)| later > at && daemon_of(line) == daemon);
        let is_recent = seconds_of(line).is_none_or(|time| now.saturating_sub(time) <= RECENT);
        findings.push(if is_over || !is_recent {
            Finding::note(CHECK, tried, format!("{found} (it is over, or old)"), known.remedy)
        } else {
            Finding::problem(CHECK, tried, found, known.remedy)
        });
    }
    findings
}

fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// `2026/11/21 00:21:52 ossec-execd(1226): ERROR: ...` is by `ossec-execd`.
fn daemon_of(line: &str) -> &str {
    let rest = line.splitn(3, ' ').nth(2).unwrap_or_default();
    rest.split(['(', ':']).next().unwrap_or_default()
}

/// The line's time, in seconds since 1970.
fn seconds_of(line: &str) -> Option<i64> {
    let time = DateTime::strptime("%Y/%m/%d %H:%M:%S", line.get(..19)?).ok()?;
    let zoned = time.to_zoned(TimeZone::system()).ok()?;
    Some(Timestamp::from(&zoned).as_second())
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    const LINE: &str = "2026/11/21 00:21:52 ossec-agentd";

    fn states(text: &str, later: i64) -> Vec<State> {
        let now = seconds_of(LINE).unwrap() + later;
        judge(text, "", now).iter().map(|finding| finding.state).collect()
    }

    #[test]
    fn known_messages_are_problems_until_they_are_over_or_old() {
        let lost = format!("{LINE}(4101): WARN: Waiting for server reply (not started).\n");
        assert_eq!(states(&lost, 60), [State::Problem]);
        assert_eq!(states(&lost, RECENT + 1), [State::Note]);
        let found = format!("{LINE}(4102): INFO: Connected to server 10.0.0.1, port 1514.\n");
        assert_eq!(states(&format!("{lost}{found}"), 60), [State::Note]);
        assert_eq!(states(&format!("{found}{lost}"), 60), [State::Problem]);
        let other = "2026/11/21 00:21:52 ossec-execd: INFO: Started (pid: 1).\n";
        let queue = format!("{LINE}(1210): ERROR: Queue 'x' not accessible: 'y'.\n");
        assert_eq!(states(&format!("{queue}{other}"), 60), [State::Problem]);
        assert_eq!(states("nothing known (9999)\n", 0), []);
    }

    #[test]
    fn no_message_is_in_the_table_twice() {
        for (at, known) in KNOWN.iter().enumerate() {
            assert!(!known.remedy.is_empty());
            assert!(KNOWN.iter().skip(at + 1).all(|other| other.sign != known.sign));
        }
    }
}
