//! A manager and an agent's baseline: what the two don't agree on is resent, what was cleared comes back in silence, and the tools show it.
//! The agent, and remoted before it, are played by the test.

use std::collections::BTreeMap;
use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;

use fim::digest::{Answer, Collector, Request, bucket};
use wire::response;

use crate::harness::{PATIENCE, Suite, text};

const CONF: &str = "<ossec_config>
  {rules}
  <syscheck><disabled>yes</disabled><alert_new_files>yes</alert_new_files></syscheck>
  <rootcheck><disabled>yes</disabled></rootcheck>
</ossec_config>
";
const LOCATION: &str = "(web01) any->syscheck";
const A: &str = "4:33188:0:0:aa:bb:cc";
const B: &str = "5:33188:0:0:dd:ee:ff";

struct Agent<'a> {
    suite: &'a Suite,
    files: BTreeMap<&'static str, &'static str>,
    to_manager: UnixDatagram,
    requests: UnixDatagram,
}

impl<'a> Agent<'a> {
    fn new(suite: &'a Suite) -> Self {
        let requests = UnixDatagram::bind(suite.root().join("queue/alerts/ar")).expect("bind");
        requests.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let to_manager = UnixDatagram::unbound().expect("socket");
        to_manager.connect(suite.root().join("queue/ossec/queue")).expect("analysisd listens");
        let files = BTreeMap::from([("/a", A), ("/b", A), ("/c", A)]);
        Self { suite, files, to_manager, requests }
    }

    fn say(&self, message: &[u8]) {
        let event = [b"8:", LOCATION.as_bytes(), b":", message].concat();
        self.to_manager.send(&event).expect("analysisd listens");
    }

    fn say_file(&self, path: &str) {
        self.say(format!("{} {path}", self.files[path]).as_bytes());
    }

    /// Waits for the next request and answers it.
    fn answer(&self) -> Request {
        let mut buffer = [0; 4096];
        let len = self.requests.recv(&mut buffer).expect("a request in time");
        let request = response::Request::parse(&buffer[..len]).expect("a request");
        assert!(request.plain, "{}", String::from_utf8_lossy(&buffer[..len]));
        let rest = request.rest.strip_prefix(b"syscheck ").expect("it is for syscheckd");
        let request = Request::parse(rest).expect("a request that syscheckd knows");
        match request {
            Request::Digest => {
                let mut collector = Collector::default();
                for (path, sum) in &self.files {
                    collector.add(path.as_bytes(), sum.as_bytes());
                }
                self.say(&collector.finish().to_message());
            }
            Request::Resend(buckets) => buckets.iter().for_each(|bucket| self.list(bucket)),
        }
        request
    }

    fn list(&self, of: u8) {
        self.say(&Answer::Begin(of).to_message());
        let paths = self.files.keys().filter(|path| bucket(path.as_bytes()) == of);
        let files = paths.inspect(|path| self.say_file(path)).count() as u64;
        self.say(&Answer::End { bucket: of, files }.to_message());
    }

    /// What a tool prints, and whether it is content.
    fn tool(&self, arguments: &[&str]) -> (String, bool) {
        let output = self.suite.program("syscheck_control").args(arguments).output().expect("runs");
        (text(&output), output.status.success())
    }
}

#[test]
fn a_baseline_that_disagrees_is_put_right_and_one_that_was_cleared_comes_back() {
    let suite = Suite::new(CONF);
    fs::write(suite.root().join("etc/client.keys"), "001 web01 any 5ec4e7\n").expect("keys");
    suite.start();
    let mut agent = Agent::new(&suite);
    ["/a", "/b", "/c"].iter().for_each(|path| agent.say_file(path));
    // Of what follows the manager hears nothing before it asks.
    agent.files.insert("/a", B);
    agent.files.insert("/new", A);
    agent.files.remove("/c");
    agent.say(b"syscheck-db-completed");
    assert_eq!(agent.answer(), Request::Digest);
    assert!(matches!(agent.answer(), Request::Resend(_)));
    suite.until_alert(550, "checksum changed for: '/a'");
    suite.until_alert(554, "New file '/new'");
    suite.until_alert(553, "File '/c' was deleted");

    let (shown, _) = agent.tool(&["--timeline", "/a", "-i", "001"]);
    assert!(shown.contains("Size changed from '4' to '5'"), "{shown}");
    let (shown, is_well) = agent.tool(&["--sign", "-i", "001"]);
    assert!(is_well && shown.contains("A new key was made"), "{shown}");
    assert!(agent.tool(&["--verify", "-i", "001"]).1);

    let database = suite.root().join("queue/syscheck").join(LOCATION);
    let (shown, is_well) = agent.tool(&["-u", "001"]);
    assert!(is_well && !database.exists(), "{shown}");
    assert!(!agent.tool(&["--verify", "-i", "001"]).1, "nothing is left of what was signed");
    assert_eq!(agent.answer(), Request::Digest, "asked for by the tool");
    assert!(matches!(agent.answer(), Request::Resend(_)));
    suite.until("the baseline", || agent.tool(&["--verify", "-i", "001"]).1);
    assert_eq!((suite.count(550), suite.count(554), suite.count(553)), (1, 1, 1));
    suite.stop();
    suite.assert_balanced("ossec-analysisd");
}

const WATCHING: &str = "<ossec_config>
  {rules}
  <syscheck>
    <frequency>3600</frequency>
    <alert_new_files>yes</alert_new_files>
    <directories check_all=\"yes\" realtime=\"yes\">{watched}</directories>
  </syscheck>
  <rootcheck><disabled>yes</disabled></rootcheck>
</ossec_config>
";

#[test]
fn this_hosts_own_baseline_comes_back_in_silence() {
    let suite = Suite::new(WATCHING);
    for n in 0..300 {
        fs::write(suite.watched().join(format!("file{n}")), "one").expect("write");
    }
    suite.start();
    let root = suite.root();
    let (database, marker) =
        (root.join("queue/syscheck/syscheck"), root.join("queue/syscheck/.syscheck.cpt"));
    let files = || suite.read("queue/syscheck/syscheck").lines().count();
    suite.until("the baseline", || marker.exists() && files() == 300);
    suite.until("realtime", || suite.log().contains("Real time file monitoring started."));

    let old = fs::File::open(&database).expect("the baseline");
    let output = suite.program("syscheck_control").args(["-u", "000"]).output().expect("runs");
    // There may be a new one already.
    let is_cleared = old.metadata().expect("it is open").nlink() == 0;
    assert!(output.status.success() && is_cleared, "{}", text(&output));
    suite.until("the baseline again", || marker.exists() && files() == 300);
    assert_eq!(suite.count(554), 0, "{}", suite.alerts());

    fs::write(suite.watched().join("later"), "one").expect("write");
    suite.until_alert(554, "/later'");
}

const SERVER: &str = "<ossec_config>
  {rules}
  <syscheck><disabled>yes</disabled><alert_new_files>yes</alert_new_files></syscheck>
  <rootcheck><disabled>yes</disabled></rootcheck>
  <remote><connection>secure</connection><port>{port}</port><local_ip>127.0.0.1</local_ip></remote>
</ossec_config>
";
const CLIENT: &str = "<ossec_config>
  <client><server-ip>127.0.0.1</server-ip><port>{port}</port><notify_time>1</notify_time></client>
  <syscheck>
    <frequency>3600</frequency>
    <directories check_all=\"yes\" realtime=\"yes\">{watched}</directories>
  </syscheck>
  <rootcheck><disabled>yes</disabled></rootcheck>
</ossec_config>
";

fn installed(conf: &str, kind: &str, port: u16) -> Suite {
    let suite = Suite::new(&conf.replace("{port}", &port.to_string()));
    let root = suite.root();
    fs::write(root.join("etc/ossec-init.conf"), format!("TYPE=\"{kind}\"\n")).expect("type");
    fs::write(root.join("etc/client.keys"), "001 web01 any b36a57fe13309749\n").expect("keys");
    fs::create_dir_all(root.join("queue/spool")).expect("spool");
    suite
}

/// All programs are real here: analysisd, remoted, agentd, syscheckd.
#[test]
fn an_agents_baseline_comes_back_over_the_wire_and_what_was_altered_is_told() {
    let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let port = free.expect("a free port").port();
    let (server, agent) = (installed(SERVER, "server", port), installed(CLIENT, "agent", port));
    for n in 0..100 {
        fs::write(agent.watched().join(format!("file{n}")), "one").expect("write");
    }
    server.start();
    agent.start();
    let name = format!("queue/syscheck/{LOCATION}");
    let (database, marker) =
        (server.root().join(&name), server.root().join(format!("queue/syscheck/.{LOCATION}.cpt")));
    let files = || server.read(&name).lines().filter(|line| !line.starts_with('#')).count();
    server.until("the baseline", || marker.exists() && files() == 100);

    let clear = || {
        let old = fs::File::open(&database).expect("the baseline");
        let output = server.program("syscheck_control").args(["-u", "001"]).output().expect("runs");
        let is_cleared = old.metadata().expect("it is open").nlink() == 0;
        assert!(output.status.success() && is_cleared, "{}", text(&output));
    };
    clear();
    server.until("the baseline again", || marker.exists() && files() == 100);
    assert_eq!(server.count(554), 0, "{}", server.alerts());

    fs::write(agent.watched().join("file7"), "three").expect("write");
    server.until_alert(550, "/file7'");
}
