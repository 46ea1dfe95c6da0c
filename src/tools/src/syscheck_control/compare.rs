//! `--compare`: files that are not the same on two hosts; `--rare`: content that only a few hosts have.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::io;

use fim::Sum;
use fim::change::{Attribute, changes};
use fim::sum::is_real;
use serde_json::{Value, json};

use super::NAME;
use super::database::{Database, Entry};
use crate::agent_tools::client::{Client, printable, quoted};
use crate::agent_tools::options::Form;
use crate::agent_tools::{Reply, World, json_error, json_response};

/// What two hosts don't have in common.
#[derive(Default)]
struct Difference {
    same: u64,
    /// Path, and the attributes that differ.
    different: Vec<(String, Vec<String>)>,
    only_one: Vec<String>,
    only_other: Vec<String>,
}

/// Compares two hosts.
pub(super) fn compare(
    world: &World,
    one: &Client,
    other: &Client,
    form: Form,
) -> Result<Reply, Reply> {
    let (here, there) = (read(world, one, form)?, read(world, other, form)?);
    let (here, mut there) = (present(&here), present(&there));
    let mut found = Difference::default();
    for (path, entry) in here {
        let Some(twin) = there.remove(path) else {
            found.only_one.push(printable(path));
            continue;
        };
        match differing(entry, twin) {
            names if names.is_empty() => found.same += 1,
            names => found.different.push((printable(path), names)),
        }
    }
    found.only_other = there.keys().map(|path| printable(path)).collect();
    let ids = [one.id(), other.id()];
    Ok(Reply::of(match form {
        Form::Json => json_response(found.json(ids)),
        Form::Csv => found.csv(ids),
        Form::Text => found.text([&one.titled(world), &other.titled(world)]),
    }))
}

/// Lists content that is on at most so many hosts.
pub(super) fn rare(world: &World, most: Option<&str>, form: Form) -> Result<Reply, Reply> {
    let Ok(most) = most.unwrap_or("1").parse::<u32>() else {
        return Err(Reply::refused("\n** --rare takes a number of hosts.\n"));
    };
    let keys = world.keys(NAME)?;
    let agents = keys.agents().map(|agent| Client::Agent(Box::new(agent.clone())));
    let clients: Vec<Client> = std::iter::once(Client::Local).chain(agents).collect();
    // Content, and the last host that had it, and how many had it: 32 bytes for each, not a copy of all databases.
    let mut contents: HashMap<u128, (usize, u32)> = HashMap::new();
    let mut hosts = 0;
    for (at, client) in clients.iter().enumerate() {
        let database = read(world, client, form)?;
        let files = present(&database);
        hosts += u32::from(!files.is_empty());
        for (content, _) in files.values().filter_map(|entry| content(entry)) {
            let (last, count) = contents.entry(content).or_insert((at, 1));
            if *last != at {
                (*last, *count) = (at, *count + 1);
            }
        }
    }
    let mut rows = Vec::new();
    for client in &clients {
        let database = read(world, client, form)?;
        for (path, entry) in present(&database) {
            let Some((content, hash)) = content(entry) else { continue };
            let count = contents.get(&content).map_or(0, |(_, count)| *count);
            if count <= most {
                let (id, name) = (client.id().to_owned(), client.name(world).to_owned());
                rows.push(Rare { id, name, path: printable(path), hash, count });
            }
        }
    }
    Ok(Reply::of(match form {
        Form::Json => json_response(rows.iter().map(Rare::json).collect::<Vec<Value>>()),
        Form::Csv => rows.iter().map(Rare::csv).collect(),
        Form::Text => {
            let mut text =
                format!("\nContent of files that at most {most} of {hosts} hosts have:\n\n");
            for Rare { id, name, path, hash, .. } in &rows {
                let _ = writeln!(text, "   ID: {id}, Name: {name}, {path} ({hash})");
            }
            text.push('\n');
            text
        }
    }))
}

/// A file whose content few hosts have.
struct Rare {
    id: String,
    name: String,
    path: String,
    hash: String,
    count: u32,
}

impl Rare {
    fn json(&self) -> Value {
        let Self { id, name, path, hash, count } = self;
        json!({"agent": id, "name": name, "file": path, "hash": hash, "agents": count})
    }

    fn csv(&self) -> String {
        let Self { id, name, path, hash, count } = self;
        format!("{id},{name},{},{hash},{count}\n", quoted(path))
    }
}

impl Difference {
    fn json(&self, ids: [&str; 2]) -> Value {
        let different: Vec<Value> = self
            .different
            .iter()
            .map(|(path, names)| json!({"file": path, "attributes": names}))
            .collect();
        json!({
            "agents": ids,
            "same": self.same,
            "different": different,
            "only": [self.only_one, self.only_other],
        })
    }

    fn csv(&self, ids: [&str; 2]) -> String {
        let different = self.different.iter().map(|(path, _)| format!("both,{}\n", quoted(path)));
        let only = |id: &str, paths: &[String]| -> String {
            paths.iter().map(|path| format!("{id},{}\n", quoted(path))).collect()
        };
        let [one, other] = ids;
        different.collect::<String>() + &only(one, &self.only_one) + &only(other, &self.only_other)
    }

    fn text(&self, titles: [&str; 2]) -> String {
        let [one, other] = titles;
        let mut text = format!("\nFiles of {one} and {other}: {} are the same.\n", self.same);
        let _ = write!(text, "\nDifferent ({}):\n", self.different.len());
        for (path, names) in &self.different {
            let _ = writeln!(text, "   {path} ({})", names.join(", "));
        }
        for (title, paths) in [(one, &self.only_one), (other, &self.only_other)] {
            let _ = write!(text, "\nOnly on {title} ({}):\n", paths.len());
            paths.iter().for_each(|path| {
                let _ = writeln!(text, "   {path}");
            });
        }
        text.push('\n');
        text
    }
}

fn read(world: &World, client: &Client, form: Form) -> Result<Database, Reply> {
    let path = world.root.join("queue/syscheck").join(client.database("syscheck"));
    Database::read(&path).map_err(|error: io::Error| match form {
        Form::Json => {
            Reply::refused(json_error(31, &format!("Unable to open '{}': {error}", path.display())))
        }
        _ => Reply::failed(NAME, &format!("cannot open '{}': {error}", path.display())),
    })
}

/// The files that are there, by path.
pub(super) fn present(database: &Database) -> BTreeMap<&[u8], &Entry> {
    let holding = database.entries.iter().filter(|entry| entry.holds() && entry.sum() != b"-1");
    holding.map(|entry| (entry.path.as_slice(), entry)).collect()
}

/// The attributes that differ, by their names.
pub(super) fn differing(one: &Entry, other: &Entry) -> Vec<String> {
    match (Sum::parse(one.sum()), Sum::parse(other.sum())) {
        (Ok(Sum::Present(one)), Ok(Sum::Present(other))) => changes(&one, &other)
            .iter()
            .map(|change| match change.attribute {
                Attribute::Extra(extra) => extra.to_string(),
                plain => format!("{plain:?}").to_lowercase(),
            })
            .collect(),
        _ if one.sum() == other.sum() => Vec::new(),
        _ => vec!["sum".into()],
    }
}

/// What stands for a file's content: the best hash that is known, and its text.
fn content(entry: &Entry) -> Option<(u128, String)> {
    let Ok(Sum::Present(record)) = Sum::parse(entry.sum()) else { return None };
    let hashes = [record.sha256.unwrap_or_default(), record.sha1, record.md5];
    let hash = hashes.into_iter().find(|hash| is_real(hash))?;
    let text = std::str::from_utf8(hash).ok()?;
    Some((u128::from_str_radix(text.get(..32)?, 16).ok()?, text.to_owned()))
}

#[cfg(test)]
mod tests {
    use crate::agent_tools::testing::{Bench, words};

    fn bench() -> Bench {
        let bench = Bench::new("h", "001 web01 any k\n002 web02 any k\n");
        let sum = |n: u8| format!("{n}:33188:0:0:xxx:xxx:{n:0<64x}");
        let line = |n: u8, path: &str| format!("+++{} !1 {path}\n", sum(n));
        let (one, two, three) = (line(1, "/a"), line(2, "/b"), line(3, "/c"));
        bench.put("queue/syscheck/syscheck", &one);
        bench.put(
            "queue/syscheck/(web01) any->syscheck",
            format!("{one}{two}#++{}", line(9, "/a").split_off(3)),
        );
        let gone = "+++-1 !1 /b\n";
        bench
            .put("queue/syscheck/(web02) any->syscheck", format!("{}{three}{gone}", line(4, "/a")));
        bench
    }

    fn run(line: &str) -> String {
        super::super::run(&bench().world, &words(line)).out
    }

    #[test]
    fn two_hosts_are_compared_file_by_file() {
        assert_eq!(run("--compare 001 002 -s"), "both,/a\n001,/b\n002,/c\n");
        let text = run("--compare 001 002");
        assert!(text.contains("Different (1):\n   /a (size, sha256)\n"), "{text}");
        let json: serde_json::Value =
            serde_json::from_str(&run("--compare 000 001 --json")).unwrap();
        let expected = serde_json::json!({"agents": ["000", "001"], "same": 1, "different": [], "only": [[], ["/b"]]});
        assert_eq!(json["response"], expected);
    }

    #[test]
    fn rare_content_is_what_few_hosts_have_under_whatever_name() {
        let rows = |line: &str| -> Vec<String> {
            run(line)
                .lines()
                .map(|row| row.split(',').step_by(2).collect::<Vec<_>>().join(","))
                .collect()
        };
        assert_eq!(rows("--rare -s"), ["001,/b,1", "002,/a,1", "002,/c,1"]);
        assert_eq!(rows("--rare 2 -s").len(), 5);
        assert!(run("--rare").contains("at most 1 of 3 hosts"));
        assert_eq!(super::super::run(&bench().world, &words("--rare x")).code, 1);
    }
}
