//! `ossec-authd` from its command line to its end.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agents::KeyStore;
use runtime::{Capability, Daemon, Failure, Privilege, Program, Sandbox, Signal, Start, errno};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustls::ServerConfig;
use socket2::{Domain, Socket, Type};

use crate::credentials::{self, CERTIFICATE, Credentials, KEY, PASSWORD, Password};
use crate::enrol::Duplicates;
use crate::limits::Limits;
use crate::options::{Given, Grammar};
use crate::server::{Access, Server, Setup};
use crate::tls;

static PROGRAM: Program = Program {
    name: "ossec-authd",
    about: "enrols agents",
    debug_option: Some("authd.debug"),
    // It writes etc/client.keys, in a folder that belongs to root and is closed to writing.
    privilege: Privilege::Root { group: GROUP, keep: &[Capability::DacOverride] },
};

const GROUP: &str = "ossec";
const PORT: u16 = 1515;
const BACKLOG: i32 = 128;
const STATE_INTERVAL: Duration = Duration::from_secs(5);

const GRAMMAR: Grammar = Grammar {
    switches: "VhdtfinF",
    values: "gDupcvxk",
    long_switches: &[],
    long_values: &["duplicates"],
};

const USAGE: &str = "\
  ossec-authd: -[VhdtfinF] [-g group] [-D dir] [-p port] [-v ca] [-x cert] [-k key] [-c ciphers]
    -V          Show version and licence
    -h          Show this help
    -d          Log more; give it twice for everything
    -t          Check files and options, then exit: 0 if they are good, 1 if not
    -f          Stay in the foreground and log to the terminal too
    -i          Bind each agent to the address it enrols from (otherwise: any)
    -n          Ask for no password (not recommended)
    -F          Same as --duplicates replace
    --duplicates <policy>
                number:  a taken name gets a number, a taken address is refused (default)
                refuse:  both are refused
                replace: the older agent is removed
    -g <group>  Group to run as (default: ossec)
    -u <user>   Taken, without effect: it stays root with the one capability to write client.keys
    -D <dir>    Install root (default: where this program is installed)
    -p <port>   TCP port (default: 1515)
    -v <ca>     Hear only agents with a certificate of this authority
    -x <cert>   The manager's certificate (default: <dir>/etc/sslmanager.cert, made when missing)
    -k <key>    Its key (default: <dir>/etc/sslmanager.key)
    -c <list>   Ciphers of TLS 1.2, by OpenSSL's names (default: all that are safe)
 
";

/// The own options.
#[derive(Debug, Default)]
struct Options {
    port: Option<u16>,
    use_source: bool,
    no_password: bool,
    duplicates: Duplicates,
    group: Option<String>,
    ciphers: Option<String>,
    authorities: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

/// The program.
pub fn main() -> ExitCode {
    let read = GRAMMAR.read(std::env::args_os().skip(1)).and_then(sort);
    match read {
        Ok(Some((options, shared))) => {
            runtime::main_with(&PROGRAM, shared, |start| run(start, &options))
        }
        Ok(None) => say(&help(), ExitCode::SUCCESS),
        Err(what) => say(&format!("ossec-authd: {what}\n{}", help()), ExitCode::FAILURE),
    }
}

fn help() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(" \nOxsec v{version} - host intrusion detection\nossec-authd: enrols agents\n{USAGE}")
}

fn say(text: &str, code: ExitCode) -> ExitCode {
    // A closed stderr changes nothing about the answer.
    let _ = io::stderr().write_all(text.as_bytes());
    code
}

/// Own options, and those that all daemons share; `None`: help is wanted.
fn sort(given: Vec<Given>) -> Result<Option<(Options, Vec<OsString>)>, String> {
    let mut options = Options::default();
    let mut shared = Vec::new();
    for one in given {
        match one.name.as_str() {
            "h" => return Ok(None),
            "i" => options.use_source = true,
            "n" => options.no_password = true,
            "F" => options.duplicates = Duplicates::Replace,
            "duplicates" => {
                options.duplicates = match one.text()? {
                    "number" => Duplicates::Number,
                    "refuse" => Duplicates::Refuse,
                    "replace" => Duplicates::Replace,
                    other => {
                        return Err(format!(
                            "--duplicates is number, refuse or replace, not '{other}'"
                        ));
                    }
                }
            }
            "p" => options.port = Some(one.port()?),
            "c" => options.ciphers = Some(one.text()?.to_owned()),
            "v" => options.authorities = Some(absolute(&one)),
            "x" => options.certificate = Some(absolute(&one)),
            "k" => options.key = Some(absolute(&one)),
            "u" => {}
            "g" | "D" => {
                if one.name == "g" {
                    options.group = Some(one.text()?.to_owned());
                }
                shared.extend([format!("-{}", one.name).into(), one.value]);
            }
            other => shared.push(format!("-{other}").into()),
        }
    }
    if options.duplicates == Duplicates::Replace
        && options.no_password
        && options.authorities.is_none()
    {
        return Err("-F with -n, but without -v, lets anyone take the place of any agent: ask for a password or for certificates".to_owned());
    }
    Ok(Some((options, shared)))
}

/// A daemon leaves its working folder.
fn absolute(one: &Given) -> PathBuf {
    let path = Path::new(&one.value);
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

fn run(start: Start, options: &Options) -> Result<(), Failure> {
    let root = start.root().to_path_buf();
    let certificate = options.certificate.clone().unwrap_or_else(|| root.join(CERTIFICATE));
    let key = options.key.clone().unwrap_or_else(|| root.join(KEY));
    // The original's `-x` and `-k` name files that are there.
    let make = options.certificate.is_none() && options.key.is_none();
    if start.test_only() {
        password(&root, options)?;
        if certificate.exists() || key.exists() || !make {
            server_config(&certificate, &key, options)?;
        }
        return Ok(());
    }
    let mut daemon = start.enter()?;
    daemon.require_writable(&["etc", "var/run"])?;
    if make {
        let group = options.group.as_deref().unwrap_or(GROUP);
        let group = sys::users::group(group).ok().flatten();
        if credentials::make_missing(&certificate, &key, group).map_err(failure)? {
            log::info!("Certificate made: '{}'.", certificate.display());
        }
    }
    let tls = server_config(&certificate, &key, options)?;
    let password = choose_password(&root, options)?;
    let listener = listen(options.port.unwrap_or(PORT))?;
    // Files that were named on the command line are read again on reload.
    let named: Vec<&str> = [&options.certificate, &options.key, &options.authorities]
        .into_iter()
        .filter_map(|path| path.as_deref()?.to_str())
        .collect();
    daemon.confine(&Sandbox {
        read: &named,
        write: &["etc", "var/run"],
        network: true,
        bind: false,
        exec: &[],
    })?;
    let number = |key| usize::try_from(daemon.options().number(key)).unwrap_or(usize::MAX);
    let limits = Limits::of(number("authd.worker_pool"), number("authd.max_connections"));
    let server = Server::start(Setup {
        keys: KeyStore::at(daemon.root()),
        access: Access { tls, password },
        use_source: options.use_source,
        duplicates: options.duplicates,
        limits,
    })
    .map_err(|error| {
        Failure::new(None, format!("no thread can be started due to [{}]", errno(&error)))
    })?;
    daemon.ready();
    serve(&mut daemon, &listener, &server, || access_again(&root, &certificate, &key, options))?;
    drop(listener);
    log::info!("Shutdown requested; stopping new enrollments.");
    server.end();
    Ok(())
}

fn failure(text: String) -> Failure {
    Failure::new(None, text)
}

fn server_config(
    certificate: &Path,
    key: &Path,
    options: &Options,
) -> Result<Arc<ServerConfig>, Failure> {
    let credentials = Credentials::read(certificate, key).map_err(failure)?;
    let fingerprint = credentials.fingerprint();
    let clients = options.authorities.as_deref().map(credentials::authorities).transpose();
    let clients = clients.map_err(failure)?;
    let provider = tls::provider(options.ciphers.as_deref());
    let config = tls::server(provider, credentials, clients).map_err(|error| {
        let (certificate, key) = (certificate.display(), key.display());
        failure(format!("'{certificate}' and '{key}' cannot be used together: {error}."))
    })?;
    if let Some(fingerprint) = fingerprint {
        log::info!(
            "Agents verify this manager with: agent-auth -m <manager> --fingerprint {fingerprint}"
        );
    }
    Ok(Arc::new(config))
}

fn password(root: &Path, options: &Options) -> Result<Option<Password>, Failure> {
    if options.no_password {
        Ok(None)
    } else {
        Password::read(&root.join(PASSWORD)).map_err(failure)
    }
}

fn choose_password(root: &Path, options: &Options) -> Result<Option<Password>, Failure> {
    if options.no_password {
        log::info!("Accepting connections. No password required (not recommended)");
        return Ok(None);
    }
    if let Some(password) = password(root, options)? {
        let path = root.join(PASSWORD);
        log::info!("Accepting connections. Using password specified on file: {}", path.display());
        return Ok(Some(password));
    }
    let password = Password::random().map_err(|error| {
        failure(format!("the system gives no random password due to [{}]", errno(&error)))
    })?;
    let text = String::from_utf8_lossy(password.as_bytes()).into_owned();
    log::info!("Accepting connections. Random password chosen for agent authentication: {text}");
    Ok(Some(password))
}

/// Certificate, key, authorities and password as they are now. `None` for the password: the one in use stays.
fn access_again(
    root: &Path,
    certificate: &Path,
    key: &Path,
    options: &Options,
) -> Result<(Arc<ServerConfig>, Option<Password>), Failure> {
    let tls = server_config(certificate, key, options)?;
    Ok((tls, password(root, options)?))
}

/// Both families; on a host without IPv6 the older one.
fn listen(port: u16) -> Result<TcpListener, Failure> {
    let at = |ip: IpAddr| -> io::Result<TcpListener> {
        let address = SocketAddr::new(ip, port);
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    let bound = match at(Ipv6Addr::UNSPECIFIED.into()) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        Err(_) => at(Ipv4Addr::UNSPECIFIED.into()),
        bound => bound,
    };
    bound.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!(" Another program has it: 'ss -ltnp sport = :{port}' shows which.")
            }
            io::ErrorKind::PermissionDenied => " Ports below 1024 are root's.".to_owned(),
            _ => String::new(),
        };
        Failure::new(
            Some(1206),
            format!("Unable to Bind port '{port}' due to [{}].{hint}", errno(&error)),
        )
    })
}

/// Until a signal asks for the end.
fn serve(
    daemon: &mut Daemon,
    listener: &TcpListener,
    server: &Server,
    again: impl Fn() -> Result<(Arc<ServerConfig>, Option<Password>), Failure>,
) -> Result<(), Failure> {
    let mut state = Instant::now();
    let mut complained = false;
    loop {
        wait(daemon, listener, complained)?;
        loop {
            match listener.accept() {
                Ok((tcp, peer)) => {
                    complained = false;
                    server.admit(tcp, peer.ip());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The peer was gone before we came.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => {
                    if !std::mem::replace(&mut complained, true) {
                        log::error!("No connection can be accepted now: [{}].", errno(&error));
                    }
                    break;
                }
            }
        }
        if state.elapsed() >= STATE_INTERVAL {
            state = Instant::now();
            if let Err(error) = daemon.write_state(&server.accounts()) {
                log::debug!("the accounts cannot be written: {error}");
            }
        }
        for signal in daemon.signals().take() {
            match signal {
                Signal::Stop(_) => return Ok(()),
                Signal::Reload => match again() {
                    Ok((tls, password)) => {
                        server.renew(tls, password);
                        log::info!("Certificates and password read again.");
                    }
                    Err(failure) => {
                        log::error!("{failure} Certificates and password stay as they were.");
                    }
                },
                Signal::Child => {}
            }
        }
    }
}

/// For a connection or a signal; for a moment only the latter, when no connection could be accepted.
fn wait(daemon: &mut Daemon, listener: &TcpListener, only_signals: bool) -> Result<(), Failure> {
    let timeout = if only_signals { Duration::from_millis(200) } else { STATE_INTERVAL };
    let timeout = Timespec::try_from(timeout).ok();
    let signals = &*daemon.signals();
    let mut fds = vec![PollFd::new(signals, PollFlags::IN)];
    if !only_signals {
        fds.push(PollFd::new(listener, PollFlags::IN));
    }
    match rustix::event::poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => {
            let error = io::Error::from(error);
            Err(Failure::new(
                Some(1114),
                format!("Error during select()-call due to [{}].", errno(&error)),
            ))
        }
    }
}
