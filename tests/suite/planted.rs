//! A machine on which somebody hides: rootcheck tells each trace, and takes it as resolved once it is gone.
//!
//! In mount and network namespaces of the test's own, the searched machine is a small tree whose `/etc` and `/opt` are those of the namespace. Only a
//! changed kernel could hide a port from all tables, or a process from kill(2): that is left to the tests of the checks.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::harness::{Suite, append, text};
use crate::inside::Inside;

const CONF: &str = "<ossec_config>
  {rules}
  <syscheck><disabled>yes</disabled></syscheck>
  <rootcheck>
    <base_directory>{watched}</base_directory>
    <rootkit_files>etc/shared/rootkit_files.txt</rootkit_files>
    <rootkit_trojans>etc/shared/rootkit_trojans.txt</rootkit_trojans>
    <suid_quarantine>yes</suid_quarantine>
  </rootcheck>
</ossec_config>
";

/// A package ships a program that has a trojan's string; then there is a machine to search.
const ENTER: &str = r#"set -e
cd "$1/watched"
mkdir -p bin dev/shm lib opt tmp usr/bin var/lib/dpkg/info var/lib/dpkg/updates var/lib/dpkg/triggers
chmod 1777 tmp dev/shm
: >var/lib/dpkg/status
mkdir -p "$1/package/DEBIAN" "$1/package/usr/bin"
printf 'Package: oxsec-probe\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: for a test\n' >"$1/package/DEBIAN/control"
printf '#!/bin/sh\npstree.real "$@" | grep -v x\n' >"$1/package/usr/bin/pstree"
dpkg-deb --root-owner-group --build "$1/package" "$1/probe.deb" >&2
dpkg --root="$1/watched" -i "$1/probe.deb" >&2
mount -t sysfs none /sys
ip link set lo up
cp -a /etc .
mount --bind etc /etc
mount --bind opt /opt
export OXSEC_ROOT="$1/root" OXSEC_STAY_USER=1
exec sh
"#;

/// What every program loads: it hides one process from listings of `/proc`, and from stat the list that names it.
const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
struct dirent64 *readdir64(DIR *folder) {
    struct dirent64 *(*real)(DIR *) = dlsym(RTLD_NEXT, "readdir64"), *entry;
    while ((entry = real(folder)) && !strcmp(entry->d_name, HIDDEN)) {}
    return entry;
}
int statx(int at, const char *path, int flags, unsigned mask, struct statx *out) {
    int (*real)(int, const char *, int, unsigned, struct statx *) = dlsym(RTLD_NEXT, "statx");
    if (path && strstr(path, "ld.so.preload")) { errno = ENOENT; return -1; }
    return real(at, path, flags, mask, out);
}
"#;

/// The end of a finding, and how to undo what it tells.
const TRACES: [(&str, &str); 10] = [
    ("Rootkit 'OrBit' detected by the presence of file '", "rm dev/shm/ldx"),
    ("Rootkit 'libprocesshider' detected by the presence of file '", "rm dev/libprocesshider.so"),
    ("dev/libprocesshider.so' present on /dev. Possible hidden file.", ""),
    ("usr/bin/lsof' detected. Signature used: '", "rm usr/bin/lsof"),
    ("bin/open' is owned by root and has write permissions to anyone.", "chmod 755 bin/open"),
    ("Library '/opt/hide.so' is loaded into every program by '", "rm etc/ld.so.preload"),
    ("etc/ld.so.preload' hidden from programs that use the C library.", ""),
    ("hidden from /proc. Possible kernel level rootkit.", "kill $hidden"),
    ("Interface 'lo' in promiscuous mode.", "ip link set lo promisc off"),
    (
        "Port '31337'(tcp) hidden. Kernel-level rootkit or trojaned version of netstat. Shown by netlink, but not in /proc/net.",
        "",
    ),
];

#[test]
fn traces_of_an_intruder_alert_and_are_resolved_when_they_are_gone() {
    let suite = Suite::new(CONF);
    append(&suite.root().join("etc/local_internal_options.conf"), b"rootcheck.sleep=0\n");
    let needs = "command -v cc dpkg ip";
    let Some(mut inside) = Inside::enter(&suite, &["--mount", "--net"], ENTER, needs) else {
        return println!("skipped: needs root, namespaces, a C compiler, dpkg and ip");
    };
    let control = |inside: &mut Inside, verb: &str| {
        inside.must(&format!("\"$OXSEC_ROOT/bin/ossec-control\" {verb}"));
    };
    let mut searches = 0;
    let mut ended = || {
        searches += 1;
        let mark = "rootcheck: INFO: Ending rootcheck scan.";
        suite.until("the end of a search", || suite.log().matches(mark).count() == searches);
    };
    let listed = |which: &str, part: &str| {
        let list = suite.program("rootcheck_control").args([which, "-i", "000"]).output();
        text(&list.expect("runs")).contains(part)
    };

    control(&mut inside, "start");
    ended();
    assert_eq!(suite.count(510), 0, "{}", suite.alerts());
    assert!(!suite.alerts().contains("rootcheck"), "{}", suite.alerts());
    control(&mut inside, "stop");

    plant(&suite, &mut inside);
    control(&mut inside, "start");
    let _listener = listen_in(inside.pid(), 31_337);
    let pid = suite.pid("ossec-syscheckd").expect("syscheckd runs");
    // A table as a module of the kernel would show it, to the searching program only.
    inside.must(&format!(
        "mkdir net && cp /proc/net/tcp6 /proc/net/udp /proc/net/udp6 net &&
        head -n 1 /proc/net/tcp >net/tcp && mount --bind net /proc/{pid}/net"
    ));
    ended();
    let order = || fs::write(suite.root().join("var/run/.syscheck_run"), "").expect("write");
    order();
    ended();
    for (part, _) in TRACES {
        let is_told = || suite.alerts().contains(part);
        suite.until(&format!("an alert with '{part}'"), is_told);
        suite.until(&format!("'{part}' in the list"), || listed("-q", part));
    }
    // What a package ships is not accused.
    assert!(!suite.alerts().contains("pstree"), "{}", suite.alerts());
    quarantined(&suite);

    for (_, undo) in TRACES {
        inside.must(&format!("{undo}\n:"));
    }
    inside.must(&format!("umount /proc/{pid}/net"));
    control(&mut inside, "restart");
    ended();
    for (part, _) in TRACES {
        suite.until(&format!("'{part}' to be resolved"), || listed("-r", part));
        assert!(!listed("-q", part), "'{part}' is gone");
    }
}

fn plant(suite: &Suite, inside: &mut Inside) {
    let at = |name: &str| suite.watched().join(name);
    fs::write(at("dev/shm/ldx"), "x").expect("write");
    fs::write(at("dev/libprocesshider.so"), "x").expect("write");
    fs::copy(at("usr/bin/pstree"), at("usr/bin/lsof")).expect("copy");
    for (name, mode) in [("bin/open", 0o777), ("tmp/shell", 0o4755)] {
        fs::write(at(name), "x").expect("write");
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).expect("chmod");
    }
    fs::write(at("hide.c"), LIBRARY).expect("write");
    inside.must(
        r#"sleep 600 & hidden=$!
        cc -shared -fPIC "-DHIDDEN=\"$hidden\"" -o /opt/hide.so hide.c -ldl && rm hide.c &&
        echo /opt/hide.so >/etc/ld.so.preload && ip link set lo promisc on"#,
    );
}

/// The new SUID file is where it was, without its bits; it can have them again.
fn quarantined(suite: &Suite) {
    let shell = suite.watched().join("tmp/shell");
    suite.until_alert(
        190_731,
        "tmp/shell' (mode 4755, owner 0, group 0). Both bits were taken away.",
    );
    assert_eq!(fs::metadata(&shell).expect("it is there").mode() & 0o7777, 0o755);
    assert_eq!(fs::read(&shell).expect("it can be read"), b"x");
    fs::set_permissions(&shell, fs::Permissions::from_mode(0o4755)).expect("chmod");
}

/// A listener in the network namespace of another process.
fn listen_in(pid: u32, port: u16) -> TcpListener {
    let listen = move || {
        let namespace = File::open(Path::new("/proc").join(pid.to_string()).join("ns/net"))?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        TcpListener::bind(("0.0.0.0", port))
    };
    std::thread::spawn(listen).join().expect("no panic").expect("a listener")
}
