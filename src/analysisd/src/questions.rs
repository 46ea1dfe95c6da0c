//! What is asked of hosts about their files: to agents through remoted, to this host's syscheckd directly. See [`fim::digest`].
//!
//! Nobody waits for an answer: a question that does not arrive is asked again after the next scan.

use std::path::{Path, PathBuf};

use fim::digest::Request;
use wire::response::{self, Recipient};

/// The ways.
#[derive(Debug)]
pub(crate) struct Questions {
    agents: PathBuf,
    here: PathBuf,
}

impl Questions {
    /// In an install root; neither socket need exist.
    pub(crate) fn new(root: &Path) -> Self {
        Self { agents: root.join(ipc::paths::AR), here: root.join(ipc::paths::SYSCHECK_CONTROL) }
    }

    /// Asks the host behind a location.
    pub(crate) fn ask(&self, location: &[u8], request: &Request) {
        let text = request.to_string();
        let (path, message) = match name(location) {
            None => (&self.here, text.into_bytes()),
            Some(name) => {
                let rest = format!("syscheck {text}");
                let recipient = Recipient::Name(name);
                let mut message = Vec::new();
                response::Request { recipient, plain: true, rest: rest.as_bytes() }
                    .write(location, &mut message);
                (&self.agents, message)
            }
        };
        if let Err(error) = ipc::datagram::connect(path).and_then(|socket| socket.send(&message)) {
            log::debug!("'{}': {error}; asked again after the next scan.", path.display());
        }
    }
}

/// The agent of a location `(name) ip->syscheck`.
fn name(location: &[u8]) -> Option<&[u8]> {
    let rest = location.strip_prefix(b"(")?;
    rest.get(..rest.windows(2).position(|pair| pair == b") ")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_asked_through_remoted_and_this_host_directly() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("queue/alerts")).unwrap();
        let questions = Questions::new(root.path());
        std::fs::create_dir_all(questions.here.parent().unwrap()).unwrap();
        questions.ask(b"syscheck", &Request::Digest);
        let remoted = ipc::datagram::bind(&questions.agents).unwrap();
        let here = ipc::datagram::bind(&questions.here).unwrap();
        questions.ask(b"(web01) any->syscheck", &Request::Digest);
        questions.ask(b"syscheck", &Request::Digest);
        let mut buffer = [0; 100];
        let len = remoted.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"(web01) any->syscheck N!R (null) syscheck digest");
        let len = here.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"digest");
    }
}
