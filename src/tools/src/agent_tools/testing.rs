//! Roots of their own for the tools' tests, and recorded outputs with their times masked.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::World;

/// A root that is deleted at the end.
pub(crate) struct Bench {
    _root: tempfile::TempDir,
    pub(crate) world: World,
}

impl Bench {
    /// With these lines in client.keys.
    pub(crate) fn new(host: &str, keys: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let folders = [
            "etc/shared",
            "var/run",
            "queue/rids",
            "queue/agent-info",
            "queue/syscheck",
            "queue/rootcheck",
            "queue/ossec",
            "queue/alerts",
            "logs",
        ];
        for folder in folders {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        fs::write(root.path().join("etc/client.keys"), keys).unwrap();
        fs::write(root.path().join("etc/internal_options.conf"), "remoted.max_agents=2048\n")
            .unwrap();
        let world =
            World { root: root.path().to_owned(), host: host.into(), now: SystemTime::now() };
        Self { _root: root, world }
    }

    /// A path below the root.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.world.root.join(name)
    }

    /// Writes a file below the root.
    pub(crate) fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    /// client.keys as it is now.
    pub(crate) fn keys(&self) -> String {
        fs::read_to_string(self.path("etc/client.keys")).unwrap()
    }
}

/// A command line's words.
pub(crate) fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// A recorded file, unless there is no recording here.
pub(crate) fn golden(name: &str) -> Option<String> {
    let folder = std::env::var("GOLDEN_DIR")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden").into());
    let path = Path::new(&folder).join(name);
    let text = fs::read_to_string(&path).ok();
    if text.is_none() {
        println!("skipped: no golden data at {}", path.display());
    }
    text
}

/// Every moment in the text becomes `TIME`, every number behind `enabled_at` 0.
pub(crate) fn masked(text: &str) -> String {
    let templates = [
        "AAA AAA 99 99:99:99 9999",
        "9999 AAA 99 99:99:99",
        "9999/99/99 99:99:99",
        "enabled_at=9999999999",
    ];
    let fits = |text: &[u8], template: &str| {
        text.len() >= template.len()
            && template.bytes().zip(text).all(|(wanted, found)| match wanted {
                b'A' => found.is_ascii_alphabetic(),
                b'9' => found.is_ascii_digit() || *found == b' ',
                other => other == *found,
            })
    };
    let mut masked = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        match templates.iter().find(|template| fits(rest.as_bytes(), template)) {
            Some(template) => {
                masked.push_str("TIME");
                rest = &rest[template.len()..];
            }
            None => {
                masked.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    masked
}

/// Commands and what they printed, from a transcript of `$ command` lines.
pub(crate) fn transcript(text: &str) -> Vec<(String, String)> {
    let mut parts: Vec<(String, String)> = Vec::new();
    for line in text.split_inclusive('\n') {
        match (line.strip_prefix("$ "), parts.last_mut()) {
            (Some(command), _) => parts.push((command.trim_end().to_owned(), String::new())),
            (None, Some((_, output))) => output.push_str(line),
            (None, None) => (),
        }
    }
    parts
}

#[test]
fn masks_hide_moments_and_nothing_else() {
    let text = "at Sat Nov 21 00:31:29 2026, 2026 Nov 21 00:16:34,0 2026/11/21 00:18:00 x enabled_at=1795220266 7";
    assert_eq!(masked(text), "at TIME, TIME,0 TIME x TIME 7");
}
