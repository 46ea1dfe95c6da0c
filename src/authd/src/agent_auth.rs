//! `agent-auth`: asks the manager for a key, and stores it.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use agents::keyfile::AddError;
use agents::store::StoreError;
use agents::{Agent, KeyFile, KeyStore};
use log::Level;
use runtime::errno;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConnection};
use wire::enroll::{Answer, AnswerError, KeyLine, MAX_TEXT, Question, is_agent_name};

use crate::credentials::{self, Credentials, Password};
use crate::fingerprint::Fingerprint;
use crate::options::{Given, Grammar};
use crate::stream::Deadlined;
use crate::tls::{self, Trust, Verifier};

const NAME: &str = "agent-auth";
const PORT: u16 = 1515;
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const TIME_LIMIT: Duration = Duration::from_secs(30);

const GRAMMAR: Grammar = Grammar {
    switches: "Vhdt",
    values: "gDmpAcvxkP",
    long_switches: &["insecure"],
    long_values: &["fingerprint"],
};

const USAGE: &str = "\
  agent-auth: -[Vhdt] -m manager [-p port] [-A name] [-P file] [-v ca | --fingerprint sha256:...]
              [-x cert -k key] [-c ciphers] [-g group] [-D dir]
    -V          Show version and licence
    -h          Show this help
    -d          Log more; give it twice for everything
    -t          Check files and options, then exit
    -m <host>   The manager's name or address
    -p <port>   Its TCP port (default: 1515)
    -A <name>   The agent's name (default: the name of this host)
    -P <file>   File with the password in its first line
    -v <ca>     Enrol only with a manager whose certificate this authority (or file) vouches for
    --fingerprint sha256:<64 hex digits>
                Enrol only with the manager that shows this certificate; ossec-authd logs it at start
    --insecure  Enrol with whoever answers
    -x <cert>   The agent's certificate, when the manager asks for one
    -k <key>    Its key
    -c <list>   Ciphers of TLS 1.2, by OpenSSL's names (default: all that are safe)
    -g <group>  Group that may read client.keys (default: ossec)
    -D <dir>    Install root (default: where this program is installed)
 
";

/// What the command line says.
#[derive(Debug, Default)]
struct Options {
    test_only: bool,
    debug: u8,
    group: Option<String>,
    root: Option<PathBuf>,
    manager: Option<String>,
    port: Option<u16>,
    name: Option<String>,
    password: Option<PathBuf>,
    ciphers: Option<String>,
    authorities: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    fingerprint: Option<Fingerprint>,
    insecure: bool,
}

enum Asked {
    Help,
    Version,
    Enrol(Box<Options>),
}

/// The program.
pub fn main() -> ExitCode {
    let options = match sort(std::env::args_os().skip(1)) {
        Ok(Asked::Enrol(options)) => options,
        Ok(Asked::Help) => return say(&help(), ExitCode::SUCCESS),
        Ok(Asked::Version) => {
            let version = env!("CARGO_PKG_VERSION");
            let text = format!(
                " \nOxsec v{version} ({NAME})\n \nFree software under the MIT License or the Apache License 2.0, at your option;\nwithout any warranty, as far as the law allows.\n"
            );
            return say(&text, ExitCode::SUCCESS);
        }
        Err(what) => return say(&format!("{NAME}: {what}\n{}", help()), ExitCode::FAILURE),
    };
    let root = runtime::root::find(options.root.as_deref());
    sys::process::umask(0o027);
    runtime::log_to(NAME, &root, false, options.debug);
    match run(&options, &root) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            text.lines().for_each(|line| tell(Level::Error, line));
            ExitCode::FAILURE
        }
    }
}

/// Says a line on the terminal, as the original's client does (`INFO: Valid key created.`), and in the log.
fn tell(level: Level, text: &str) {
    log::log!(level, "{text}");
    let word = if level == Level::Warn { "WARN" } else { level.as_str() };
    // Part of it may come from the manager: no control byte reaches the terminal.
    let plain: String = text
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect();
    let line = format!("{word}: {plain}\n");
    // A closed terminal changes nothing about the enrolment.
    let _ = match level {
        Level::Error | Level::Warn => io::stderr().write_all(line.as_bytes()),
        _ => io::stdout().write_all(line.as_bytes()),
    };
}

fn info(text: &str) {
    tell(Level::Info, text);
}

fn help() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        " \nOxsec v{version} - host intrusion detection\n{NAME}: asks the manager for a key\n{USAGE}"
    )
}

fn say(text: &str, code: ExitCode) -> ExitCode {
    // A closed stderr changes nothing about the answer.
    let _ = io::stderr().write_all(text.as_bytes());
    code
}

fn sort(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, String> {
    let mut options = Options::default();
    for one in GRAMMAR.read(arguments)? {
        let path = |one: &Given| Some(PathBuf::from(&one.value));
        match one.name.as_str() {
            "h" => return Ok(Asked::Help),
            "V" => return Ok(Asked::Version),
            "d" => options.debug = options.debug.saturating_add(1),
            "t" => options.test_only = true,
            "g" => options.group = Some(one.text()?.to_owned()),
            "D" => options.root = path(&one),
            "m" => options.manager = Some(one.text()?.to_owned()),
            "p" => options.port = Some(one.port()?),
            "A" => options.name = Some(one.text()?.to_owned()),
            "P" => options.password = path(&one),
            "c" => options.ciphers = Some(one.text()?.to_owned()),
            "v" => options.authorities = path(&one),
            "x" => options.certificate = path(&one),
            "k" => options.key = path(&one),
            "fingerprint" => options.fingerprint = Some(one.text()?.parse()?),
            _ => options.insecure = true,
        }
    }
    if options.certificate.is_some() != options.key.is_some() {
        return Err("-x and -k go together".to_owned());
    }
    if options.fingerprint.is_some() && options.authorities.is_some() {
        return Err("-v or --fingerprint, not both".to_owned());
    }
    if options.insecure && (options.fingerprint.is_some() || options.authorities.is_some()) {
        return Err("--insecure contradicts -v and --fingerprint".to_owned());
    }
    Ok(Asked::Enrol(Box::new(options)))
}

fn run(options: &Options, root: &Path) -> Result<(), String> {
    let name = agent_name(options)?;
    let password = options.password.as_deref().map(read_password).transpose()?;
    let provider = tls::provider(options.ciphers.as_deref());
    let verifier = Arc::new(match (&options.fingerprint, &options.authorities) {
        (Some(expected), _) => Verifier::new(Trust::Pinned(*expected), Arc::clone(&provider)),
        (None, Some(path)) => {
            let own = credentials::certificates(path)?;
            Verifier::of_authorities(own, Arc::clone(&provider))
                .map_err(|error| format!("'{}': {error}.", path.display()))?
        }
        (None, None) => Verifier::new(Trust::Anyone, Arc::clone(&provider)),
    });
    let own = match (&options.certificate, &options.key) {
        (Some(certificate), Some(key)) => Some(Credentials::read(certificate, key)?),
        _ => None,
    };
    let config = tls::client(provider, Arc::clone(&verifier), own)
        .map_err(|error| format!("Certificate and key (-x, -k) cannot be used: {error}."))?;
    if options.test_only {
        return Ok(());
    }
    if password.is_some() {
        info("Using specified password.");
    }
    let Some(manager) = options.manager.as_deref() else {
        return Err("Manager IP not set: say where it is with -m <manager>.".to_owned());
    };
    let port = options.port.unwrap_or(PORT);
    warn_if_anyone(options, password.is_some());
    let server = ServerName::try_from(manager.trim_matches(['[', ']']).to_owned())
        .map_err(|_| format!("(4104) Invalid hostname: '{manager}'."))?;
    let tcp = connect(manager, port)?;
    let mut connection = ClientConnection::new(Arc::new(config), server)
        .map_err(|error| format!("TLS cannot be started: {error}."))?;
    let never = AtomicBool::new(false);
    let mut stream = Deadlined::new(&tcp, Instant::now() + TIME_LIMIT, &never);
    let hello = handshake(&mut connection, &mut stream);
    let seen = verifier.seen().map(|seen| seen.to_string()).unwrap_or_default();
    hello.map_err(|error| explain(&error, manager, &seen))?;
    info(&format!("Connected to {manager}:{port}"));
    if options.fingerprint.is_none() && options.authorities.is_none() {
        info(&format!(
            "The manager showed the certificate {seen}. Compare it with what its ossec-authd logged at start."
        ));
    }
    info(&format!("Using agent name as: {name}"));
    let password = password.as_ref().map(Password::as_bytes);
    let mut stream = rustls::Stream::new(&mut connection, &mut stream);
    let line = ask(&mut stream, &Question { password, name: name.as_bytes() })?;
    store(root, options.group.as_deref().unwrap_or("ossec"), &line)
}

fn agent_name(options: &Options) -> Result<String, String> {
    let name = options
        .name
        .clone()
        .unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
    if is_agent_name(name.as_bytes()) {
        return Ok(name);
    }
    Err(format!(
        "Invalid agent name '{name}': 2 to 128 letters, digits, '-', '_' or '.'. Choose one with -A <name>."
    ))
}

fn read_password(path: &Path) -> Result<Password, String> {
    match Password::read(path)? {
        Some(password) => Ok(password),
        None if path.exists() => {
            Err(format!("The first line of '{}' is no password.", path.display()))
        }
        None => Err(format!(
            "There is no password file '{}'. -P takes a file: a password on the command line is seen by everyone on this host.",
            path.display()
        )),
    }
}

fn warn_if_anyone(options: &Options, with_password: bool) {
    if options.fingerprint.is_some() || options.authorities.is_some() {
        return;
    }
    let password = if with_password { " It also learns the password." } else { "" };
    if options.insecure {
        tell(Level::Warn, &format!("--insecure: the manager is not verified.{password}"));
        return;
    }
    tell(
        Level::Warn,
        &format!(
            "THE MANAGER IS NOT VERIFIED: whoever answers gives this agent its key, and can read and order what it likes.{password}"
        ),
    );
    tell(
        Level::Warn,
        "Verify it with --fingerprint sha256:... (ossec-authd logs it at start) or -v <ca>; --insecure says that this is meant.",
    );
}

/// The first address of the manager that answers.
fn connect(manager: &str, port: u16) -> Result<TcpStream, String> {
    let plain = manager.trim_matches(['[', ']']);
    let found: Vec<SocketAddr> = (plain, port)
        .to_socket_addrs()
        .map_err(|error| format!("(4104) Invalid hostname: '{manager}'. ({error})"))?
        .collect();
    let mut last = None;
    for address in found {
        match TcpStream::connect_timeout(&address, CONNECT_LIMIT) {
            Ok(tcp) => return Ok(tcp),
            Err(error) => last = Some((address, error)),
        }
    }
    let why = last.map_or_else(
        || "it has no address".to_owned(),
        |(address, error)| {
            let hint = match error.kind() {
                io::ErrorKind::ConnectionRefused => " Does ossec-authd run there, on this port?",
                io::ErrorKind::TimedOut => " A firewall may be in between.",
                _ => "",
            };
            format!("{address}: [{}].{hint}", errno(&error))
        },
    );
    Err(format!("Unable to connect to {manager}:{port}: {why}"))
}

fn handshake(connection: &mut ClientConnection, stream: &mut Deadlined<'_>) -> io::Result<()> {
    while connection.is_handshaking() {
        connection.complete_io(stream)?;
    }
    Ok(())
}

/// Why there is no connection, and what to do.
fn explain(error: &io::Error, manager: &str, seen: &str) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(why)) => match why {
            CertificateError::ApplicationVerificationFailure => format!(
                "The manager {manager} is not the one that was expected: its certificate is {seen}. Nothing was sent. Either --fingerprint is out of date, or somebody is in between."
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!(
                    "The manager's certificate ({seen}) does not carry '{manager}' as a subject alternative name ({why}). Nothing was sent. Use the name that it carries with -m, or --fingerprint."
                )
            }
            why => format!(
                "The manager's certificate ({seen}) cannot be verified: {why}. Nothing was sent. Is -v the authority that made it?"
            ),
        },
        Some(other) => format!("SSL Error: no connection with {manager}: {other}."),
        None if error.kind() == io::ErrorKind::TimedOut => {
            format!("SSL I/O timed out after {} seconds.", TIME_LIMIT.as_secs())
        }
        None => {
            format!("SSL Error: {manager} ended the connection: {error}. Is it an ossec-authd?")
        }
    }
}

/// Sends the question and gives the line of client.keys.
fn ask(stream: &mut (impl Read + Write), question: &Question<'_>) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    question.write(&mut text);
    stream
        .write_all(&text)
        .and_then(|()| stream.flush())
        .map_err(|error| format!("The request could not be sent: {error}."))?;
    info("Send request to manager. Waiting for reply.");
    let mut answer = Vec::new();
    let mut buffer = [0; MAX_TEXT];
    let parsed = loop {
        match Answer::parse(&answer) {
            Err(AnswerError::Incomplete) if answer.len() < MAX_TEXT => {}
            parsed => break parsed,
        }
        match stream.read(&mut buffer[..MAX_TEXT - answer.len()]) {
            Ok(read) if read > 0 => answer.extend_from_slice(&buffer[..read]),
            // With or without TLS's farewell: there is nothing more.
            Ok(_) => break Answer::parse(&answer),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(format!("SSL I/O timed out after {} seconds.", TIME_LIMIT.as_secs()));
            }
            Err(error) if is_end(&error) => break Answer::parse(&answer),
            Err(error) => return Err(refused_or(question, &error.to_string())),
        }
    };
    let refused = |what: String| Err(format!("{what} (from manager)"));
    match parsed {
        Ok(Answer::Key(line)) => Ok(line.to_vec()),
        Ok(Answer::InvalidName(name)) => refused(format!(
            "Invalid agent name: {}. It is not allowed, or taken: choose another with -A <name>.",
            String::from_utf8_lossy(name)
        )),
        Ok(Answer::AddressTaken(id)) => refused(format!(
            "Invalid IP address: agent {} is registered with this host's address already. Remove it on the manager first.",
            String::from_utf8_lossy(id)
        )),
        Ok(Answer::Internal(name)) => refused(format!(
            "Internal manager error adding agent: {}. See the manager's log.",
            String::from_utf8_lossy(name)
        )),
        Ok(Answer::Error(text)) => refused(String::from_utf8_lossy(text).into_owned()),
        Err(AnswerError::Incomplete) if answer.is_empty() => {
            Err(refused_or(question, "the connection was closed without an answer"))
        }
        Err(error) => Err(format!("The manager's answer is not understood: {error}.")),
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
}

/// The original's servers close without a word.
fn refused_or(question: &Question<'_>, why: &str) -> String {
    let hint = match question.password {
        Some(_) => "Is the password the manager's (etc/authd.pass, or its log)?",
        None => "Does the manager ask for a password (-P <file>) or a certificate (-x, -k)?",
    };
    format!(
        "The manager refused the request: {why}. {hint} Or too many requests came from this address."
    )
}

/// Puts the one line in the place of client.keys.
fn store(root: &Path, group: &str, line: &[u8]) -> Result<(), String> {
    let unusable = || "The manager sent a key that cannot be used; nothing was changed.".to_owned();
    KeyLine::parse(line).ok_or_else(unusable)?;
    let agent = Agent::parse(line).map_err(|_| unusable())?;
    let described = format!("{} ({})", agent.id, agent.name);
    let keys = KeyStore::at(root);
    let is_new = !keys.path().exists();
    let before = keys
        .change(|file| {
            let before: Vec<String> =
                file.agents().map(|old| format!("{} ({})", old.id, old.name)).collect();
            *file = KeyFile::default();
            file.add(agent)?;
            Ok::<_, NotStored>(before)
        })
        .map_err(|NotStored(why)| {
            format!("The key of agent {described} could not be stored: {why}. On the manager, remove that agent; then try again.")
        })?;
    if is_new && let Ok(Some(group)) = sys::users::group(group) {
        // An unprivileged user's file is his own.
        let _ = std::os::unix::fs::chown(keys.path(), None, Some(group));
    }
    if !before.is_empty() {
        info(&format!("The former key, of agent {}, is replaced.", before.join(", ")));
    }
    info("Valid key created. Finished.");
    info(&format!("This host is agent {described} now: restart its agent."));
    Ok(())
}

struct NotStored(String);

impl From<StoreError> for NotStored {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

impl From<AddError> for NotStored {
    fn from(_: AddError) -> Self {
        Self("it is not the only one".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Result<Box<Options>, String> {
        match sort(arguments.iter().map(OsString::from))? {
            Asked::Enrol(options) => Ok(options),
            _ => Err("help".to_owned()),
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let pin = format!("--fingerprint=sha256:{}", "0".repeat(64));
        for bad in [
            &["-x", "c"][..],
            &["-k", "k"],
            &["-v", "ca", &pin],
            &["-v", "ca", "--insecure"],
            &[&pin, "--insecure"],
            &["-p", "0"],
            &["--fingerprint=sha256:00"],
        ] {
            assert!(options(bad).is_err(), "{bad:?}");
        }
        assert!(options(&["-m", "m", "-A", "web01", "-P", "f", &pin]).is_ok());
    }

    #[test]
    fn a_key_takes_the_place_of_the_former_one_whole_and_closed_to_others() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("etc")).unwrap();
        std::fs::create_dir_all(root.path().join("var/run")).unwrap();
        let key = "0123456789abcdef".repeat(4);
        for line in [format!("1024 web01 any {key}"), format!("1025 web01 10.0.0.1 {key}")] {
            store(root.path(), "no-such-group", line.as_bytes()).unwrap();
            let path = root.path().join("etc/client.keys");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{line}\n"));
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        }
        let before = std::fs::read(root.path().join("etc/client.keys")).unwrap();
        for bad in ["", "1 x any 00", &format!("1026 web01 10.0.0.0/8 {key}")] {
            assert!(store(root.path(), "no-such-group", bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(std::fs::read(root.path().join("etc/client.keys")).unwrap(), before);
    }
}
