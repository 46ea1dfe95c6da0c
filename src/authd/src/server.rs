//! Connections, from the listener to a worker: who may wait, who is next, what one exchange is.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agents::{Key, KeyStore};
use rustls::{ServerConfig, ServerConnection};
use wire::enroll::{Answer, MAX_TEXT, Question, QuestionError};

use crate::credentials::Password;
use crate::enrol::{Duplicates, Refusal, Wish, enrol};
use crate::limits::{Conduct, Excess, Limits, network};
use crate::stream::Deadlined;

/// What a server is made of.
#[derive(Debug)]
pub struct Setup {
    /// client.keys.
    pub keys: KeyStore,
    /// What lets agents in at first.
    pub access: Access,
    /// Agents may speak from their present address only.
    pub use_source: bool,
    /// What becomes of taken names and addresses.
    pub duplicates: Duplicates,
    /// Bounds.
    pub limits: Limits,
}

/// What lets agents in; may be renewed while the server runs.
#[derive(Debug)]
pub struct Access {
    /// Certificate, ciphers, and whose certificates agents must have.
    pub tls: Arc<ServerConfig>,
    /// What agents have to know, if anything.
    pub password: Option<Password>,
}

/// How long the end waits for workers, who may in turn wait for the lock of client.keys.
const END_LIMIT: Duration = Duration::from_secs(10);

/// Workers, and those who wait for them.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    keys: KeyStore,
    use_source: bool,
    duplicates: Duplicates,
    limits: Limits,
    access: Mutex<Arc<Access>>,
    stop: AtomicBool,
    queue: Mutex<Queue>,
    changed: Condvar,
    conduct: Mutex<Conduct>,
    accounts: Accounts,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Visitor>,
    /// How many workers each address has now.
    busy: HashMap<IpAddr, usize>,
    /// Workers that live.
    workers: usize,
}

#[derive(Debug)]
struct Visitor {
    tcp: TcpStream,
    source: IpAddr,
    deadline: Instant,
}

#[derive(Debug, Default)]
struct Accounts {
    received: AtomicU64,
    enrolled: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    excess: AtomicU64,
}

/// How an exchange ended.
enum Outcome {
    /// A key was given.
    Enrolled,
    /// An error was answered.
    Refused,
    /// Nothing was answered.
    Failed,
}

impl Server {
    /// Starts the workers.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(setup: Setup) -> io::Result<Self> {
        let count = setup.limits.workers;
        let Setup { keys, access, use_source, duplicates, limits } = setup;
        let shared = Arc::new(Shared {
            keys,
            use_source,
            duplicates,
            limits,
            access: Mutex::new(Arc::new(access)),
            stop: AtomicBool::new(false),
            queue: Mutex::default(),
            changed: Condvar::new(),
            conduct: Mutex::default(),
            accounts: Accounts::default(),
        });
        for at in 0..count {
            let worker = Arc::clone(&shared);
            let name = format!("enrol-{at}");
            std::thread::Builder::new().name(name).spawn(move || worker.work())?;
            lock(&shared.queue).workers += 1;
        }
        Ok(Self { shared })
    }

    /// From now on other certificates, and another password if one is given; exchanges that have begun end by the old ones.
    pub fn renew(&self, tls: Arc<ServerConfig>, password: Option<Password>) {
        let mut access = lock(&self.shared.access);
        let password = password.or_else(|| access.password.clone());
        *access = Arc::new(Access { tls, password });
    }

    /// Takes a connection in, or closes it.
    pub fn admit(&self, tcp: TcpStream, source: IpAddr) {
        self.shared.admit(tcp, source.to_canonical());
    }

    /// For the state file: what came is what became of it.
    pub fn accounts(&self) -> [(&'static str, u64); 6] {
        let Accounts { received, enrolled, refused, failed, excess } = &self.shared.accounts;
        let [enrolled, refused, failed, excess] =
            [enrolled, refused, failed, excess].map(|count| count.load(Ordering::Acquire));
        let received = received.load(Ordering::Acquire);
        let ended = enrolled + refused + failed + excess;
        [
            ("received", received),
            ("forwarded", enrolled),
            ("dropped_refused", refused),
            ("dropped_failed", failed),
            ("dropped_excess", excess),
            ("pending", received.saturating_sub(ended)),
        ]
    }

    /// Ends: who has not asked yet is sent away, who has gets the answer.
    pub fn end(self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut queue = lock(&self.shared.queue);
        queue.waiting.clear();
        self.shared.changed.notify_all();
        let waited =
            self.shared.changed.wait_timeout_while(queue, END_LIMIT, |queue| queue.workers > 0);
        let (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if queue.workers > 0 {
            log::warn!(
                "{} enrolments are given up: the lock of client.keys is held.",
                queue.workers
            );
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::AcqRel);
}

impl Shared {
    fn admit(&self, tcp: TcpStream, source: IpAddr) {
        let limits = &self.limits;
        let now = Instant::now();
        count(&self.accounts.received);
        if let Err((excess, first)) = lock(&self.conduct).admit(source, limits, now) {
            count(&self.accounts.excess);
            if first {
                let why = match excess {
                    Excess::Attempts => format!("{} connections", limits.attempts),
                    Excess::Failures => format!("{} failed requests", limits.failures),
                };
                log::warn!(
                    "Too many enrolment requests from {source}: {why} within a minute. Its connections are closed until the minute is over."
                );
            }
            return;
        }
        let mut queue = lock(&self.queue);
        let whom = network(source);
        let own = queue.waiting.iter().filter(|other| network(other.source) == whom).count();
        if queue.waiting.len() >= limits.waiting || own >= limits.waiting.div_ceil(2) {
            drop(queue);
            count(&self.accounts.excess);
            log::error!("Unable to queue auth connection from {source}");
            return;
        }
        queue.waiting.push_back(Visitor { tcp, source, deadline: now + limits.time });
        drop(queue);
        self.changed.notify_one();
    }

    fn work(&self) {
        while let Some(visitor) = self.next() {
            let source = visitor.source;
            let outcome = self.serve(visitor);
            let counter = match outcome {
                Outcome::Enrolled => &self.accounts.enrolled,
                Outcome::Refused => &self.accounts.refused,
                Outcome::Failed => &self.accounts.failed,
            };
            if !matches!(outcome, Outcome::Enrolled) && !self.stop.load(Ordering::Relaxed) {
                lock(&self.conduct).failed(source, Instant::now());
            }
            count(counter);
            let mut queue = lock(&self.queue);
            let whom = network(source);
            if let Some(busy) = queue.busy.get_mut(&whom) {
                *busy = busy.saturating_sub(1);
                if *busy == 0 {
                    queue.busy.remove(&whom);
                }
            }
            drop(queue);
            self.changed.notify_all();
        }
        let mut queue = lock(&self.queue);
        queue.workers = queue.workers.saturating_sub(1);
        self.changed.notify_all();
    }

    /// The one who has waited longest, but for addresses that occupy their share of workers already.
    fn next(&self) -> Option<Visitor> {
        let mut queue = lock(&self.queue);
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            let most = self.limits.at_once;
            let free = |visitor: &Visitor| {
                queue.busy.get(&network(visitor.source)).is_none_or(|busy| *busy < most)
            };
            if let Some(at) = queue.waiting.iter().position(free)
                && let Some(visitor) = queue.waiting.remove(at)
            {
                *queue.busy.entry(network(visitor.source)).or_default() += 1;
                return Some(visitor);
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn serve(&self, visitor: Visitor) -> Outcome {
        let source = visitor.source;
        log::info!("New connection from {source}");
        let mut stream = Deadlined::new(&visitor.tcp, visitor.deadline, &self.stop);
        match self.exchange(&mut stream, source) {
            Ok(outcome) => {
                stream.close();
                outcome
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let seconds = self.limits.time.as_secs();
                log::error!("SSL I/O timed out after {seconds} seconds. ({source})");
                Outcome::Failed
            }
            Err(error) => {
                log::error!("SSL Error (-1) from {source}: {error}");
                Outcome::Failed
            }
        }
    }

    fn exchange(&self, stream: &mut Deadlined<'_>, source: IpAddr) -> io::Result<Outcome> {
        let access = Arc::clone(&lock(&self.access));
        let mut tls = ServerConnection::new(Arc::clone(&access.tls)).map_err(io::Error::other)?;
        let mut stream = rustls::Stream::new(&mut tls, stream);
        let expected = access.password.as_ref().map(Password::as_bytes);
        let text = read_question(&mut stream, expected)?;
        let question = match Question::parse(&text, expected) {
            Ok(question) => question,
            Err(QuestionError::Password) => {
                log::error!("Invalid password provided by {source}. Closing connection.");
                return Ok(Outcome::Failed);
            }
            Err(QuestionError::Malformed) => {
                log::error!("Invalid request for new agent from: {source}");
                return Ok(Outcome::Failed);
            }
        };
        let name = String::from_utf8_lossy(question.name);
        log::info!("Received request for a new agent ({name}) from: {source}");
        let mut answer = Vec::new();
        let outcome = match self.give(question.name, source) {
            Ok(line) => {
                Answer::Key(&line).write(&mut answer);
                Outcome::Enrolled
            }
            Err(refusal) => {
                log::error!("{}", refusal.describe(question.name, source));
                refusal.answer(question.name).write(&mut answer);
                Outcome::Refused
            }
        };
        stream.write_all(&answer)?;
        // An end in good order tells the original's client that all went well.
        if matches!(outcome, Outcome::Enrolled) {
            stream.conn.send_close_notify();
        }
        stream.flush()?;
        Ok(outcome)
    }

    fn give(&self, name: &[u8], source: IpAddr) -> Result<Vec<u8>, Refusal> {
        let Self { keys, use_source, duplicates, .. } = self;
        let (use_source, duplicates) = (*use_source, *duplicates);
        let wish = Wish { name, source, use_source, duplicates };
        let given = keys.change(|file| {
            let key = Key::random().map_err(Refusal::NoRandom)?;
            enrol(file, &wish, key)
        })?;
        let agent = &given.agent;
        for old in &given.replaced {
            let (id, name) = (&old.id, &old.name);
            log::warn!("Agent {id} ({name}) removed: {source} enrolled in its place.");
        }
        log::info!("Agent key generated for {} (requested by {source})", agent.name);
        log::info!("Agent key created for {} (requested by {source})", agent.name);
        Ok(agent.line())
    }
}

/// Reads until there is a question, or there can't be one any more.
fn read_question(stream: &mut impl Read, expected: Option<&[u8]>) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut buffer = [0; MAX_TEXT];
    while !Question::is_complete(&text) && Question::parse(&text, expected).is_err() {
        let room = MAX_TEXT.saturating_sub(text.len());
        let read = match stream.read(&mut buffer[..room]) {
            Ok(0) => break,
            Ok(read) => read,
            // Closed without TLS's farewell: what has come is all.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !text.is_empty() => {
                break;
            }
            Err(error) => return Err(error),
        };
        text.extend_from_slice(&buffer[..read]);
    }
    Ok(text)
}
