//! Forgets baselines.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{NAME, client};
use crate::agent_control::request;
use crate::agent_tools::client::Client;
use crate::agent_tools::options::Form;
use crate::agent_tools::{Reply, World, json_error, json_response};

/// Deletes a host's databases with all that belongs to them; the analysis daemon notices.
pub(super) fn clear(world: &World, whose: &str, form: Form) -> Result<Reply, Reply> {
    let folder = world.root.join("queue/syscheck");
    let failed = |error: io::Error| match form {
        Form::Json => Reply::refused(json_error(
            31,
            &format!("Unable to clear '{}': {error}", folder.display()),
        )),
        _ => Reply::failed(NAME, &format!("cannot clear '{}': {error}", folder.display())),
    };
    let client = match whose {
        "all" => None,
        "local" => Some(Client::Local),
        id => Some(client(world, id, form)?),
    };
    let paths: Vec<PathBuf> = match &client {
        None => fs::read_dir(&folder)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
            .map(|paths: Vec<PathBuf>| paths.into_iter().filter(|path| !is_signed(path)).collect())
            .map_err(failed)?,
        Some(client) => {
            let mut paths = vec![client.marker(world)];
            for kind in ["syscheck", "syscheck-registry"] {
                let name = client.database(kind);
                paths.push(folder.join(format!(".{name}.cpt")));
                paths.push(folder.join(name));
            }
            paths
        }
    };
    for path in paths {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => (),
        }
    }
    request::digest(world, client.as_ref());
    Ok(Reply::of(match form {
        Form::Json => json_response("Integrity check database updated"),
        _ => "\n** Integrity check database updated.\n\n".into(),
    }))
}

/// A signed state stays: it is what a baseline is compared with after whatever happened to it.
fn is_signed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "signed")
}
