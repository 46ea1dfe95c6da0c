//! `syscheck_control`: what changed on hosts' disks, by the manager's integrity databases; resets, compares and signs them.

mod ask;
mod clear;
mod compare;
mod database;
#[cfg(test)]
mod golden;
mod signed;
mod timeline;
mod view;

use std::process::ExitCode;

use crate::agent_control::maintenance;
use crate::agent_tools::client::{Client, LOCAL, printable};
use crate::agent_tools::listing::Listing;
use crate::agent_tools::options::{Form, Options, Tool, Word};
use crate::agent_tools::{self, Reply, World, json_error};

const TOOL: Tool = Tool { name: NAME, letters: "VhzrDdlcsju:i:f:", words: WORDS, usage: USAGE };
const WORDS: &[Word] = &[
    Word { name: "timeline", least: 1, most: 1 },
    Word { name: "compare", least: 2, most: 2 },
    Word { name: "rare", least: 0, most: 1 },
    Word { name: "maintenance", least: 1, most: 1 },
    Word { name: "scan", least: 0, most: 0 },
    Word { name: "pause", least: 0, most: 0 },
    Word { name: "resume", least: 0, most: 0 },
    Word { name: "sign", least: 0, most: 0 },
    Word { name: "verify", least: 0, most: 0 },
    Word { name: "key", least: 1, most: 1 },
    Word { name: "file", least: 1, most: 1 },
];
const NAME: &str = "syscheck_control";
const USAGE: &str = "
syscheck_control: what changed on the disks of agents
  syscheck_control -l | -lc      Lists all agents, or those that speak
  syscheck_control -i <id>       Lists the files that changed there (000: this host)
    -r                           The registry instead (Windows)
    -f <pattern>                 Only matching files, with their values
      -z                         sets the count of their changes to none
      -d                         says nothing more of their changes
  syscheck_control -u <id>       Forgets the baseline of a host: the next scan makes another
                                 (000 or local: this host, all: every host)
  syscheck_control --timeline <file> [-i <id>]
                                 What happened to a file, and who did it (without -i: on this host)
  syscheck_control --compare <id> <id>
                                 Files that are not the same on two hosts
  syscheck_control --rare [<n>]  Content that at most <n> hosts have (without it: 1)
  syscheck_control --maintenance enable|disable|status|end -i <id>
                                 As agent_control -M
  syscheck_control --scan | --pause | --resume
                                 Has this host scan now, lets its scans rest, lets them go on
  syscheck_control --sign [-i <id>]
                                 Signs a baseline, with a key that is made when there is none
  syscheck_control --verify [-i <id>]
                                 Says what differs from the signed state (exit code 1)
    --key <file>                 The private key (--sign: etc/syscheck.key), or the public one
                                 (--verify: etc/syscheck.key.pub)
    --file <file>                Where the signed state is (queue/syscheck/.<host>.signed)
    -s    The answer as comma-separated values
    -j    The answer as one JSON object (also: --json)
    -V -h Version, this help
  A scan of an agent is asked for with agent_control -r -u <id>.
";

/// The program.
pub fn main() -> ExitCode {
    run_as(&World::here(), &agent_tools::words(), || agent_tools::become_user(NAME)).give()
}

#[cfg(test)]
pub(crate) fn run(world: &World, words: &[String]) -> Reply {
    run_as(world, words, || Ok(()))
}

/// A key is read before root is given up: the suite's user has no business with it.
fn run_as(world: &World, words: &[String], become_user: fn() -> Result<(), Reply>) -> Reply {
    let options = match TOOL.read(words) {
        Ok(options) => options,
        Err(reply) => return reply,
    };
    if let Some(odd) = contradiction(&options) {
        return match options.form() {
            Form::Json => Reply::refused(json_error(30, "Invalid argument combination")),
            _ => Reply::refused(format!("\n** {odd}\n{USAGE}")),
        };
    }
    let key = options.word("sign").map(|_| signed::Key::open(world, &options)).transpose();
    let answered = key.and_then(|key| {
        become_user()?;
        answer(world, &options, key.as_ref())
    });
    answered.unwrap_or_else(|reply| reply)
}

/// What doesn't go together, as a sentence or two.
fn contradiction(options: &Options) -> Option<&'static str> {
    let has = |letters| options.has_any(letters);
    let ours: Vec<&str> = options.words().filter(|word| !["key", "file"].contains(word)).collect();
    if !options.stray.is_empty() {
        Some("There are words that belong to no option.")
    } else if !ours.is_empty() && (ours.len() > 1 || has("ulcrfzd")) {
        Some("Only one thing at a time; --timeline, --maintenance, --sign and --verify go with -i.")
    } else if options.value('i').is_some_and(|id| id != LOCAL)
        && ask::request(ours.iter().copied()).is_some()
    {
        Some(
            "--scan, --pause and --resume are for this host.\n   To run a scan on an agent, use: agent_control -r -u <id>",
        )
    } else if has("i") && ours.iter().any(|word| ["compare", "rare"].contains(word)) {
        Some("--compare and --rare don't go with -i.")
    } else if ours.iter().all(|word| !["sign", "verify"].contains(word))
        && ["key", "file"].iter().any(|word| options.word(word).is_some())
    {
        Some("--key and --file go only with --sign and --verify.")
    } else if !ours.is_empty() {
        None
    } else if has("u") && has("rifzdl") {
        Some(
            "-u (clear database) cannot be combined with -r, -i, -f, -z, -d, or -l.\n   To run an integrity scan, use: agent_control -r -u <id>",
        )
    } else if has("l") && has("rifzd") {
        Some("-l (list agents) cannot be combined with -r, -i, -f, -z, or -d.")
    } else if has("c") && !has("l") {
        Some("-c goes only with -l.")
    } else if has("r") && !has("i") {
        Some(
            "-r (registry entries) goes only with -i <id>.\n   To run an integrity scan, use: agent_control -r -u <id>",
        )
    } else if has("fzd") && !has("i") {
        Some("-f, -z and -d go only with -i <id>.")
    } else if has("zd") && !has("f") {
        Some("-z and -d go only with -f <file>.")
    } else if has("z") && has("d") {
        Some("-z and -d contradict each other.")
    } else if !has("uli") {
        Some("One of -l, -i and -u is needed.")
    } else {
        None
    }
}

fn answer(world: &World, options: &Options, key: Option<&signed::Key>) -> Result<Reply, Reply> {
    let form = options.form();
    if options.has('l') {
        let keys = world.keys(NAME)?;
        let active_only = options.has('c');
        let listing = Listing { program: NAME, active_only, form, local_maintenance: false };
        return Ok(Reply::of(listing.text(world, &keys)));
    }
    if let Some(whose) = options.value('u') {
        return clear::clear(world, whose, form);
    }
    if let Some([one, other]) = options.word("compare") {
        let (one, other) = (client(world, one, form)?, client(world, other, form)?);
        return compare::compare(world, &one, &other, form);
    }
    if let Some(most) = options.word("rare") {
        return compare::rare(world, most.first().map(String::as_str), form);
    }
    if let Some(request) = ask::request(options.words()) {
        return ask::ask(world, request, form);
    }
    let id = options.value('i').unwrap_or(LOCAL);
    let client = client(world, id, form)?;
    if let Some([action]) = options.word("maintenance") {
        return maintenance::act(world, NAME, action, &client, form);
    }
    if let Some([path]) = options.word("timeline") {
        return timeline::timeline(world, &client, path, form);
    }
    let paths = signed::Paths::of(world, &client, options);
    if let Some(key) = key {
        return signed::sign(world, &client, &paths, key, form);
    }
    if options.word("verify").is_some() {
        return signed::verify(world, &client, &paths, form);
    }
    view::show(world, &client, options, form)
}

fn client(world: &World, id: &str, form: Form) -> Result<Client, Reply> {
    match Client::find(world, NAME, id)? {
        Some(client) => Ok(client),
        None if form == Form::Json => Err(Reply::refused(json_error(32, "Invalid agent id"))),
        None if world.keys(NAME)?.agents().next().is_none() => {
            Err(Reply::failed(NAME, "(1751) File client.keys not found or empty."))
        }
        None => Err(Reply::refused(format!(
            "\n** Invalid agent id '{}'.\n{USAGE}",
            printable(id.as_bytes())
        ))),
    }
}
