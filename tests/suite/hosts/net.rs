//! Hosts of a test's own: network namespaces on one bridge, named for this process, gone when the test ends however it ends.
//!
//! ```text
//! host 0: 10.77.0.1    host 1: 10.77.0.2   ...
//!      \                 /
//!       bridge 10.77.0.254, in a namespace too: the machine's own network sees nothing of all this
//! ```

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The bridge's own address, where a relay may stand.
pub(super) const HUB: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 254);

const PREFIX: &str = "oxsec-test-";

/// Some hosts that reach each other.
pub(super) struct Net {
    name: String,
    hosts: usize,
}

impl Net {
    /// Makes them; `None`, and says so, where that is not permitted.
    #[expect(clippy::print_stdout, reason = "a skipped test says why")]
    pub(super) fn of(hosts: usize) -> Option<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        remove_what_killed_tests_left();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let net = Self { name: format!("{PREFIX}{}-{number}", std::process::id()), hosts };
        if let Err(why) = try_ip(&["netns", "add", &net.hub()]) {
            println!("skipped: no network namespaces can be made here: {}", why.trim());
            return None;
        }
        let hub = net.hub();
        ip(&["-n", &hub, "link", "add", "bridge", "type", "bridge"]);
        ip(&["-n", &hub, "addr", "add", &format!("{HUB}/24"), "dev", "bridge"]);
        ip(&["-n", &hub, "link", "set", "bridge", "up"]);
        (0..hosts).for_each(|host| net.add(host));
        Some(net)
    }

    fn add(&self, host: usize) {
        let (hub, host_name) = (self.hub(), self.host(host));
        let port = format!("port{host}");
        ip(&["netns", "add", &host_name]);
        let pair = ["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns"];
        ip(&[&["-n", hub.as_str()][..], &pair, &[&host_name]].concat());
        ip(&["-n", &hub, "link", "set", &port, "master", "bridge", "up"]);
        ip(&["-n", &host_name, "link", "set", "lo", "up"]);
        self.add_address(host, address(host));
        ip(&["-n", &host_name, "link", "set", "eth0", "up"]);
    }

    /// The namespace of a host.
    pub(super) fn host(&self, host: usize) -> String {
        format!("{}-{host}", self.name)
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }

    /// From now on the host has this address, and the one before no more.
    pub(super) fn change_address(&self, host: usize, new: Ipv4Addr) {
        let old = format!("{}/24", address(host));
        ip(&["-n", &self.host(host), "addr", "del", &old, "dev", "eth0"]);
        self.add_address(host, new);
    }

    /// The host has this address, too.
    pub(super) fn add_address(&self, host: usize, address: Ipv4Addr) {
        ip(&["-n", &self.host(host), "addr", "add", &format!("{address}/24"), "dev", "eth0"]);
    }

    /// Gives each host its [`address6`]; `false`, and says so, where the kernel has no IPv6.
    #[expect(clippy::print_stdout, reason = "a skipped test says why")]
    pub(super) fn add_ipv6(&self) -> bool {
        (0..self.hosts).all(|host| {
            let address = format!("{}/64", address6(host));
            // Nobody else has it: it may be used at once.
            let added =
                try_ip(&["-n", &self.host(host), "addr", "add", &address, "dev", "eth0", "nodad"]);
            if let Err(why) = &added {
                println!("skipped: no IPv6 here: {}", why.trim());
            }
            added.is_ok()
        })
    }

    /// Nothing reaches the host or comes from it any more, or again.
    pub(super) fn cut_off(&self, host: usize, is_cut: bool) {
        let port = format!("port{host}");
        ip(&["-n", &self.hub(), "link", "set", &port, if is_cut { "down" } else { "up" }]);
    }

    /// Runs nftables' program on a host; `false`, and says so, where there is none.
    #[expect(clippy::print_stdout, reason = "a skipped test says why")]
    pub(super) fn filter(&self, host: usize, commands: &str) -> bool {
        let host = self.host(host);
        let done = try_ip(&["netns", "exec", &host, "nft", commands]);
        if let Err(why) = &done {
            println!("skipped: no packet filter here: {}", why.trim());
        }
        done.is_ok()
    }

    /// The hub's namespace, for [`enter`].
    pub(super) fn hub_file(&self) -> PathBuf {
        Path::new("/run/netns").join(self.hub())
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let names = (0..self.hosts).map(|host| self.host(host)).chain([self.hub()]);
        for name in names {
            // Those that were not made yet.
            let _ = try_ip(&["netns", "del", &name]);
        }
    }
}

/// The address of a host.
pub(super) fn address(host: usize) -> Ipv4Addr {
    let last = u8::try_from(host + 1).expect("few hosts");
    Ipv4Addr::new(10, 77, 0, last)
}

/// The address of a host that [`Net::add_ipv6`] gives it.
pub(super) fn address6(host: usize) -> Ipv6Addr {
    let last = u16::try_from(host + 1).expect("few hosts");
    Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 0, last)
}

/// Puts this thread into a network namespace: sockets that it makes from now on are there.
pub(super) fn enter(file: &Path) -> io::Result<()> {
    let file = File::open(file)?;
    Ok(move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?)
}

fn ip(arguments: &[&str]) {
    try_ip(arguments).unwrap_or_else(|why| panic!("ip {}: {why}", arguments.join(" ")));
}

fn try_ip(arguments: &[&str]) -> Result<(), String> {
    let output =
        Command::new("ip").args(arguments).output().map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A test that was killed could not clean up.
fn remove_what_killed_tests_left() {
    let names = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    for name in names.filter_map(|entry| entry.file_name().into_string().ok()) {
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            // Another test may do the same at this moment.
            let _ = try_ip(&["netns", "del", &name]);
        }
    }
}
