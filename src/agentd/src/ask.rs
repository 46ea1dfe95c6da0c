//! `ossec-agentd --ask`: one hello to each manager, while the daemon does not run; for `ossec-control diagnose`.
//!
//! A line for each server on stdout: `<server> <word> <detail>`, words as in [`Answer`]. The hello uses the next of the
//! daemon's own numbers, reserved on disk before, under the daemon's lock: nothing has to be put right afterwards.

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use runtime::{Failure, Start, errno};
use settings::Client;
use wire::control::{FromAgent, ToAgent};
use wire::datagram::MAX_DATAGRAM;

use crate::servers;
use crate::shell::open_speaker;
use crate::speaker::{Refused, Speaker};

/// Hellos to one server, and how long each may take to be answered.
const TRIES: u32 = 2;
const PATIENCE: Duration = Duration::from_secs(2);

/// What became of a hello.
#[derive(Debug)]
enum Answer {
    /// An authentic ack came, after this time.
    Answered(Duration),
    /// Something came that could not be opened or was not new.
    Refused(String),
    /// Nothing came.
    Silent,
    /// The host says that nobody listens there.
    Closed,
    /// This host does not let the datagram out.
    Blocked(String),
    /// There is no address of this name.
    Unresolved(String),
    /// No way there, or not from that address.
    Unreachable(String),
}

pub(crate) fn run(start: Start, bind: Option<IpAddr>) -> Result<(), Failure> {
    let mut client = settings::load(start.config())?.client;
    crate::shell::reload::bind(&mut client, bind);
    let agent = crate::read_key(start.root())?;
    let verify = start.options().number("remoted.verify_msg_id") != 0;
    let mut daemon = start.enter()?;
    daemon.confine(&runtime::Sandbox {
        read: &["etc"],
        write: &["queue", "var/run"],
        network: true,
        exec: &[],
        ..runtime::Sandbox::default()
    })?;
    let rids = agents::counters::RIDS;
    let mut speaker = open_speaker(daemon.root(), agent, &client, verify)
        .map_err(|error| crate::cannot_open(rids, &error))?;
    let mut text = String::new();
    for (at, server) in client.servers.iter().enumerate() {
        let (word, detail) = ask(&client, at, &mut speaker).words();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{server} {word} {detail}");
    }
    crate::tell(&text);
    speaker.close().map_err(|error| crate::cannot_open(rids, &error))
}

fn ask(client: &Client, at: usize, speaker: &mut Speaker) -> Answer {
    let Some(server) = client.servers.get(at) else { return Answer::Silent };
    let address = match servers::find(server, client.port, client.local_ip) {
        Ok(address) => address,
        Err(error) => return Answer::Unresolved(error.to_string()),
    };
    let socket = match open(client, address) {
        Ok(socket) => socket,
        Err(error) => return Answer::Unreachable(errno(&error)),
    };
    let mut last = Answer::Silent;
    for _ in 0..TRIES {
        last = hello(&socket, at, speaker).unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => Answer::Closed,
            io::ErrorKind::PermissionDenied => Answer::Blocked(errno(&error)),
            _ => Answer::Unreachable(errno(&error)),
        });
        if !matches!(last, Answer::Silent) {
            break;
        }
    }
    last
}

fn open(client: &Client, address: SocketAddr) -> io::Result<UdpSocket> {
    let local = client.local_ip.unwrap_or(match address {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    });
    let socket = UdpSocket::bind((local, 0))?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn hello(socket: &UdpSocket, at: usize, speaker: &mut Speaker) -> io::Result<Answer> {
    let mut message = Vec::new();
    FromAgent::Startup.write(&mut message);
    let datagram = speaker.seal(&message).map_err(|_| io::Error::other("no number for it"))?;
    let began = Instant::now();
    socket.send(datagram)?;
    let mut buffer = [0; MAX_DATAGRAM];
    while began.elapsed() < PATIENCE {
        let len = match socket.recv(&mut buffer) {
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        match speaker.unseal(at, buffer.get(..len).unwrap_or_default()) {
            Ok(message) if ToAgent::parse(message) == ToAgent::Ack => {
                return Ok(Answer::Answered(began.elapsed()));
            }
            Ok(_) => {}
            Err(Refused::Rejected(rejection)) => {
                return Ok(Answer::Refused(speaker.complaint(rejection, "the manager")));
            }
            Err(Refused::Unwritten(error)) => return Err(error),
        }
    }
    Ok(Answer::Silent)
}

impl Answer {
    fn words(self) -> (&'static str, String) {
        match self {
            Self::Answered(after) => ("answered", format!("after {} ms", after.as_millis())),
            Self::Refused(why) => ("refused", why),
            Self::Silent => ("silent", format!("{TRIES} hellos, {} s each", PATIENCE.as_secs())),
            Self::Closed => ("closed", "nobody listens on the port".to_owned()),
            Self::Blocked(why) => ("blocked", why),
            Self::Unresolved(why) => ("unresolved", why),
            Self::Unreachable(why) => ("unreachable", why),
        }
    }
}
