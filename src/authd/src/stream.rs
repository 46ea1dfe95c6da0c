//! A connection with an end: what is read and written has to be done by a moment.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often a waiting connection looks whether the program ends.
const SLICE: Duration = Duration::from_millis(250);

/// A TCP connection whose reads and writes fail with `TimedOut` after its deadline, and reads with `ConnectionAborted`
/// once `stop` is set.
#[derive(Debug)]
pub struct Deadlined<'a> {
    tcp: &'a TcpStream,
    deadline: Instant,
    stop: &'a AtomicBool,
}

impl<'a> Deadlined<'a> {
    /// Wraps a blocking connection.
    pub fn new(tcp: &'a TcpStream, deadline: Instant, stop: &'a AtomicBool) -> Self {
        Self { tcp, deadline, stop }
    }

    /// Ends the connection so that what was written arrives: the peer's unread bytes would otherwise reset it.
    pub fn close(self) {
        // A peer that has gone already needs no end.
        let _ = self.tcp.shutdown(std::net::Shutdown::Write);
        let until = self.deadline.min(Instant::now() + 2 * SLICE);
        let mut rest = Deadlined { deadline: until, ..self };
        let mut buffer = [0; 4096];
        for _ in 0..8 {
            if rest.read(&mut buffer).unwrap_or(0) == 0 {
                break;
            }
        }
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left.min(SLICE)) }
    }
}

fn is_slice_over(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

impl Read for Deadlined<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            self.tcp.set_read_timeout(Some(self.left()?))?;
            match (&mut &*self.tcp).read(buffer) {
                Err(error) if is_slice_over(&error) => {}
                done => return done,
            }
        }
    }
}

impl Write for Deadlined<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.tcp.set_write_timeout(Some(self.left()?))?;
            match (&mut &*self.tcp).write(bytes) {
                Err(error) if is_slice_over(&error) => {}
                done => return done,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
