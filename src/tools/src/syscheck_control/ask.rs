//! Requests to this host's syscheckd: scan now, let scans rest, let them go on.

use super::NAME;
use crate::agent_tools::options::Form;
use crate::agent_tools::{Reply, World, json_error, json_response};

/// The words that syscheckd understands, each an option of ours, and what has been asked for by it.
const REQUESTS: [(&str, &str); 3] =
    [("scan", "to scan now"), ("pause", "to let scans rest"), ("resume", "to go on with scans")];

/// The request among these options.
pub(super) fn request<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<&'static str> {
    words.find_map(|word| REQUESTS.iter().map(|(name, _)| *name).find(|name| *name == word))
}

/// Hands it over; what comes of it is in syscheckd's log and in `ossec-control status`.
pub(super) fn ask(world: &World, request: &str, form: Form) -> Result<Reply, Reply> {
    let path = world.root.join(ipc::paths::SYSCHECK_CONTROL);
    let sent = ipc::datagram::connect(&path).and_then(|socket| socket.send(request.as_bytes()));
    if let Err(error) = sent {
        let text = format!(
            "cannot reach syscheckd at '{}': {error}. Is ossec-syscheckd running? (ossec-control status)",
            path.display()
        );
        return Err(match form {
            Form::Json => Reply::refused(json_error(31, &text)),
            _ => Reply::failed(NAME, &text),
        });
    }
    let what = REQUESTS.iter().find(|(name, _)| *name == request).map_or("", |(_, what)| what);
    let text = format!("Asked syscheckd of this host {what}");
    Ok(Reply::of(match form {
        Form::Json => json_response(text),
        _ => format!("\n** {text}.\n\n"),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::run;
    use crate::agent_tools::testing::{Bench, words};

    #[test]
    fn each_request_reaches_syscheckd() {
        let bench = Bench::new("here", "");
        std::fs::create_dir_all(bench.path("queue/syscheckd")).unwrap();
        let socket = ipc::datagram::bind(&bench.path(ipc::paths::SYSCHECK_CONTROL)).unwrap();
        for request in ["scan", "pause", "resume"] {
            let reply = run(&bench.world, &words(&format!("--{request}")));
            assert_eq!(reply.code, 0, "{reply:?}");
            assert!(reply.out.starts_with("\n** Asked syscheckd of this host to "), "{reply:?}");
            let mut buffer = [0; 64];
            let len = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..len], request.as_bytes());
        }
        assert_eq!(run(&bench.world, &words("--scan -i 000")).code, 0);
    }

    #[test]
    fn without_syscheckd_it_says_so() {
        let bench = Bench::new("here", "");
        let reply = run(&bench.world, &words("--pause"));
        assert_eq!(reply.code, 1);
        assert!(reply.err.contains("Is ossec-syscheckd running?"), "{reply:?}");
        assert!(run(&bench.world, &words("--pause --json")).out.contains("\"error\":31"));
    }

    #[test]
    fn other_hosts_and_other_requests_do_not_go_with_it() {
        let bench = Bench::new("here", "");
        for odd in ["--scan --pause", "--scan -u 000", "--scan -i 001", "--resume --rare"] {
            let reply = run(&bench.world, &words(odd));
            assert!(reply.code == 1 && reply.out.starts_with("\n** "), "{odd}: {reply:?}");
        }
    }
}
