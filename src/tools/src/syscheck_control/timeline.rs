//! `--timeline`: what happened to one file, as the analysis daemon noted it in `queue/fim-history` ([`fim::history`]).

use std::fmt::Write;
use std::fs;
use std::io;

use fim::change::{Change, changes};
use fim::history::Record;
use fim::note::Notes;
use fim::{Sum, report, who};
use serde_json::{Map, Value, json};

use super::NAME;
use super::database::Database;
use crate::agent_tools::client::{Client, printable, quoted};
use crate::agent_tools::options::Form;
use crate::agent_tools::{Reply, World, json_error, json_response, times};

/// Largest file that is read; what is kept of a host is far less.
const MAX_FILE: u64 = 2 << 30;

/// The history of a file, the oldest change first. `path` is as on disk, or as alerts show it.
pub(super) fn timeline(
    world: &World,
    client: &Client,
    path: &str,
    form: Form,
) -> Result<Reply, Reply> {
    let shown = printable(path.as_bytes());
    let name = client.database("syscheck");
    let failed = |error: io::Error| match form {
        Form::Json => {
            Reply::refused(json_error(31, &format!("Unable to read the history: {error}")))
        }
        _ => Reply::failed(NAME, &format!("cannot read the history of '{shown}': {error}")),
    };
    let records = records(world, &name, path.as_bytes()).map_err(failed)?;
    let database = Database::read(&world.root.join("queue/syscheck").join(&name));
    let known = database.map_err(failed)?;
    let known = known.entries.iter().rfind(|entry| is_of(&entry.path, path.as_bytes()));
    Ok(Reply::of(match form {
        Form::Json => json_response(records.iter().map(as_json).collect::<Vec<Value>>()),
        Form::Csv => records.iter().map(as_csv).collect(),
        Form::Text => {
            let mut text = format!("\nHistory of '{shown}' on {}:\n", client.titled(world));
            for record in &records {
                let (what, told) = (what(record), told(record));
                let _ = write!(text, "\n{} {what}{told}\n", times::stamp(record.at));
                for line in printable_lines(&words(record)) {
                    let _ = writeln!(text, "   {line}");
                }
            }
            match (records.is_empty(), known) {
                (true, Some(entry)) => {
                    let _ = write!(text, "\nUnchanged since {}.\n", times::stamp(entry.at));
                }
                (true, None) => text.push_str("\nNothing is known of it.\n"),
                (false, _) => (),
            }
            text.push('\n');
            text
        }
    }))
}

/// The changes of one file; one that a kill had written twice, once.
fn records(world: &World, name: &str, path: &[u8]) -> io::Result<Vec<Record>> {
    let folder = world.root.join("queue/fim-history");
    let mut records: Vec<Record> = Vec::new();
    for file in [format!(".{name}.old"), name.to_owned()] {
        let file = folder.join(file);
        match fs::metadata(&file) {
            Ok(data) if data.len() > MAX_FILE => return Err(io::ErrorKind::FileTooLarge.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
            Ok(_) => (),
        }
        let of_path = |record: &Record| is_of(&record.path, path);
        let text = fs::read(&file)?;
        let lines = text.split(|&b| b == b'\n');
        for record in lines.filter_map(Record::parse).filter(of_path) {
            let same =
                |last: &Record| (&last.before, &last.after) == (&record.before, &record.after);
            if !records.last().is_some_and(same) {
                records.push(record);
            }
        }
    }
    Ok(records)
}

fn is_of(known: &[u8], path: &[u8]) -> bool {
    // Arguments of programs are text: in them, as on a terminal, what is no UTF-8 is shown by a mark.
    known == path
        || known == fim::path::escape(path).as_ref()
        || *String::from_utf8_lossy(known).as_bytes() == *path
}

fn what(record: &Record) -> &'static str {
    match (record.before.as_deref(), record.after.as_slice()) {
        (_, b"-1") => "deleted",
        (Some(b"-1"), _) => "re-added",
        (None, _) => "new",
        _ => "changed",
    }
}

/// What became of it, unless an alert did.
fn told(record: &Record) -> &'static str {
    match record.told.word() {
        "maintenance" => ", silent: the host was in maintenance",
        "package" => ", silent: by a package",
        "auto_ignore" => ", silent: it changes too often",
        "new_file" => ", silent: new files are not reported",
        _ => "",
    }
}

/// What an alert would say, without its first line.
fn words(record: &Record) -> Vec<u8> {
    let (notes, diff) = Notes::split(&record.data);
    let after = Sum::parse(&record.after);
    let before = record.before.as_deref().map(Sum::parse);
    let text = match (before, after) {
        (Some(Ok(Sum::Present(before))), Ok(Sum::Present(after))) => {
            report::changed(b"", &changes(&before, &after), None)
        }
        (None, Ok(Sum::Present(after))) => report::new_file(b"", &after),
        _ => Vec::new(),
    };
    let mut text: Vec<u8> = text.splitn(2, |&b| b == b'\n').nth(1).unwrap_or_default().to_vec();
    text.extend(notes.who.as_ref().map(who::text).unwrap_or_default());
    if let Some(package) = &notes.package {
        text.extend([b"Package ", package.words().as_slice(), b"\n"].concat());
    }
    if let Some(diff) = diff {
        text.extend([b"What changed:\n", diff].concat());
    }
    text
}

fn printable_lines(text: &[u8]) -> impl Iterator<Item = String> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.split(|&b| b == b'\n').filter(|line| !line.is_empty()).map(printable)
}

fn as_csv(record: &Record) -> String {
    let time = times::stamp(record.at);
    let path = printable(&record.path);
    format!("{time},{},{},{}\n", quoted(&path), what(record), record.told.word())
}

fn as_json(record: &Record) -> Value {
    let (notes, diff) = Notes::split(&record.data);
    let mut row = json!({
        "readDay": times::stamp(record.at),
        "time": record.at,
        "file": printable(&record.path),
        "what": what(record),
        "told": record.told.word(),
        "before": record.before.as_deref().map(printable),
        "after": printable(&record.after),
    });
    let sums = (record.before.as_deref().map(Sum::parse), Sum::parse(&record.after));
    if let (Some(Ok(Sum::Present(before))), Ok(Sum::Present(after))) = sums {
        let pair = |change: &Change<'_>| {
            let (before, after) = (printable(change.before), printable(change.after));
            (change.attribute.name().to_owned(), json!({"before": before, "after": after}))
        };
        row["changes"] = changes(&before, &after).iter().map(pair).collect::<Map<_, _>>().into();
    }
    if let Some(who) = &notes.who {
        let fields = who::fields(who).into_iter();
        let fields: Map<String, Value> = fields
            .map(|(name, value)| (name.trim_start_matches("who.").into(), printable(&value).into()))
            .collect();
        row["who"] = fields.into();
    }
    if let Some(package) = &notes.package {
        row["package"] = printable(&package.words()).into();
    }
    if let Some(diff) = diff {
        row["diff"] = String::from_utf8_lossy(diff).into();
    }
    row
}

#[cfg(test)]
mod tests {
    use crate::agent_tools::testing::{Bench, masked, words};

    const HISTORY: &str = "1 alert - 1:33188:0:0:a:b:c /etc/y\n\
        1795220196 alert 4:33188:0:0:a:b:c 12:33261:0:0:d:b:c /etc/a%20b @who%20user=root%20auser=alice%0a1c1%0a<%20one%0a\n\
        1795220196 alert 4:33188:0:0:a:b:c 12:33261:0:0:d:b:c /etc/a%20b @who%20user=root%20auser=alice%0a1c1%0a<%20one%0a\n\
        1795220297 maintenance 12:33261:0:0:d:b:c -1 /etc/a%20b\ntorn";

    fn bench() -> Bench {
        let bench = Bench::new("h", "001 web01 any k\n");
        std::fs::create_dir_all(bench.path("queue/fim-history")).unwrap();
        bench.put("queue/fim-history/.(web01) any->syscheck.old", HISTORY);
        bench
    }

    fn run(bench: &Bench, path: &str, more: &str) -> String {
        let line = words(&format!("-i 001 {more} --timeline"));
        super::super::run(&bench.world, &[line, vec![path.to_owned()]].concat()).out
    }

    #[test]
    fn a_files_history_is_told_with_who_and_what() {
        let expected = "
History of '/etc/a b' on agent 'web01 (001) - any/0':

TIME changed
   Size changed from '4' to '12'
   Permissions changed from 'rw-r--r--' to 'rwxr-xr-x'
   Old md5sum was: 'a'
   New md5sum is : 'd'
   Changed by user 'root', login user 'alice'
   What changed:
   1c1
   < one

TIME deleted, silent: the host was in maintenance

";
        assert_eq!(masked(&run(&bench(), "/etc/a b", "")), expected);
    }

    #[test]
    fn its_json_has_all_of_it() {
        let answer: serde_json::Value =
            serde_json::from_str(&run(&bench(), "/etc/a b", "-j")).unwrap();
        let rows = answer["response"].as_array().unwrap();
        assert_eq!(rows.len(), 2, "one that was written twice counts once");
        assert_eq!(
            (&rows[0]["who"]["login_user"], &rows[0]["diff"]),
            (&"alice".into(), &"1c1\n< one\n".into())
        );
        let size = serde_json::json!({"before": "4", "after": "12"});
        assert_eq!(rows[0]["changes"]["size"], size);
        assert_eq!(rows[0]["changes"].as_object().unwrap().len(), 3);
        assert_eq!(
            (&rows[1]["what"], &rows[1]["told"]),
            (&"deleted".into(), &"maintenance".into())
        );
    }

    #[test]
    fn a_name_that_is_no_text_is_found_as_it_is_shown() {
        let bench = bench();
        let history = bench.path("queue/fim-history/(web01) any->syscheck");
        std::fs::write(history, b"7 alert - 1:33188:0:0:a:b:c /etc/x%ff\n").unwrap();
        assert!(run(&bench, "/etc/x\u{fffd}", "").contains(" new\n"));
    }

    #[test]
    fn a_file_without_history_is_unchanged_or_unknown() {
        let bench = bench();
        bench.put("queue/syscheck/(web01) any->syscheck", "+++1:2:3:4:a:b:c !1795220000 /etc/z\n");
        assert!(run(&bench, "/etc/z", "").contains("Unchanged since "));
        assert!(run(&bench, "/etc/q", "").contains("Nothing is known of it."));
    }
}
