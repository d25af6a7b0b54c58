//! Hosts of their own on one machine: network namespaces, joined by a router that can cut any of them off from another.
//!
//! The test program starts itself again ([`enter`]) inside a network and a mount namespace, which only root, or a kernel
//! that lets users make namespaces, can do. All that is made in there ends with the last process in there. Every host
//! ([`Network::of`]) is a namespace below that one, and the way from one to another leads through the program's own,
//! where a cut is a rule that drops what one host sends to the other. The program itself reaches every host always.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{BufRead, BufReader},
    net::Ipv4Addr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use crate::binary;

/// Set for the program inside.
const INSIDE: &str = "LICTOR_TESTS_INSIDE_NAMESPACES";
/// How namespaces are made: as root, or as a user who is root in there.
const WAYS: [&[&str]; 2] = [&["--net", "--mount"], &["--net", "--mount", "--map-root-user"]];
/// Makes what every program inside needs: loopback, and a place where `ip netns` keeps names that ends with it.
const PREPARE: &str = "ip link set lo up && mount -t tmpfs tmpfs /run && mkdir /run/netns";
/// Where rules of the router are, before those of the kernel's main table.
const PRIORITY: &str = "100";

/// Where this program runs.
#[derive(Debug)]
pub enum Entered {
    /// Inside namespaces: here is the place to do the work.
    Inside,
    /// It ran again inside namespaces, and ended so: the work is done.
    Ran(ExitStatus),
    /// No namespaces can be made here, for this reason.
    Impossible(String),
}

/// Runs this program again inside namespaces, with these arguments, unless it is there already.
///
/// # Panics
/// The binaries under test do not build.
#[must_use]
pub fn enter(arguments: impl IntoIterator<Item = OsString>) -> Entered {
    if env::var_os(INSIDE).is_some() {
        return Entered::Inside;
    }
    if let Some(missing) = ["ip", "nsenter", "unshare"].iter().find(|name| !runs(name)) {
        return Entered::Impossible(format!("there is no `{missing}` here (Debian: iproute2, util-linux)"));
    }
    let unshare = |way: &[&str], script: &str| {
        let mut command = Command::new("unshare");
        command.args(way).args(["sh", "-c", script]);
        command
    };
    let possible = |way: &&&[&str]| {
        let script = format!("{PREPARE} && ip netns add try && echo 1 >/proc/sys/net/ipv4/ip_forward");
        unshare(way, &script).output().is_ok_and(|made| made.status.success())
    };
    let Some(way) = WAYS.iter().find(possible) else {
        return Entered::Impossible("no network namespaces can be made here (as root they can)".into());
    };
    // Outside, where cargo has all it may need.
    let _built = binary::path("lictor");
    let program = env::current_exe().unwrap_or_else(|error| panic!("the path of this program: {error}"));
    let mut command = unshare(way, &format!("{PREPARE} && exec \"$0\" \"$@\""));
    command.arg(program).args(arguments).env(INSIDE, "yes");
    Entered::Ran(command.status().unwrap_or_else(|error| panic!("{command:?}: {error}")))
}

fn runs(program: &str) -> bool {
    Command::new(program).arg("-V").output().is_ok()
}

/// One host.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its address; all others reach it there.
    pub address: Ipv4Addr,
    /// The path that `nsenter --net=` takes.
    pub namespace: String,
    /// The router's interface towards it.
    interface: String,
}

/// The line between a host and the router.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    /// How long a packet takes, one way.
    pub delay: Duration,
    /// Which share of the packets is lost, each way: 0 to 1.
    pub loss: f64,
}

/// What makes a line slow. It ends when this is dropped.
#[derive(Debug)]
struct SlowLine(Child);

impl Drop for SlowLine {
    fn drop(&mut self) {
        // One that has ended already is no loss.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Hosts and the router between them.
#[derive(Debug)]
pub struct Network {
    /// The hosts.
    pub hosts: Vec<Host>,
    /// The rules of the present cuts, as `ip rule` takes them.
    cuts: Mutex<Vec<Vec<String>>>,
    /// None where lines are perfect.
    lines: Vec<SlowLine>,
}

impl Network {
    /// Makes so many hosts. Only inside namespaces ([`Entered::Inside`]).
    ///
    /// # Panics
    /// They cannot be made.
    #[must_use]
    pub fn of(count: u8) -> Self {
        assert!(env::var_os(INSIDE).is_some(), "hosts are made inside namespaces only");
        let forwarding = fs::write("/proc/sys/net/ipv4/ip_forward", "1");
        forwarding.unwrap_or_else(|error| panic!("forwarding between hosts: {error}"));
        Self { hosts: (1..=count).map(make).collect(), cuts: Mutex::default(), lines: Vec::new() }
    }

    /// From now on the line of every host is such a one: what one sends to another takes twice the delay. Needs Python, as a
    /// kernel may have no `tc netem`. Once for a network, before anything runs on its hosts.
    ///
    /// # Panics
    /// It cannot be done.
    pub fn slow_down(&mut self, line: Line) {
        self.lines = (1..).zip(&self.hosts).map(|(number, _)| slow_line(number, line)).collect();
    }

    /// From now on nothing that the host `from` sends arrives at the host `to`.
    ///
    /// # Panics
    /// The rule cannot be made.
    pub fn cut(&self, from: usize, to: usize) {
        let (from, to) = (&self.hosts[from].interface, self.hosts[to].address.to_string());
        let rule = ["priority", PRIORITY, "iif", from, "to", &to, "type", "blackhole"];
        let rule: Vec<String> = rule.map(str::to_owned).into();
        ip(&[&["rule", "add"], &words(&rule)[..]].concat());
        self.locked().push(rule);
    }

    /// Cuts a host off from all others, both ways.
    ///
    /// # Panics
    /// As [`Network::cut`].
    pub fn cut_off(&self, host: usize) {
        for other in (0..self.hosts.len()).filter(|&other| other != host) {
            self.cut(host, other);
            self.cut(other, host);
        }
    }

    /// Has the network lose what the host `from` sends to all others, all of it for `lost` of each `period`, until `end`.
    /// (A kernel may have no `tc netem` to lose single packets; this is rather worse for TCP.)
    ///
    /// # Panics
    /// As [`Network::cut`].
    pub fn lose(&self, from: usize, lost: Duration, period: Duration, end: Instant) {
        while Instant::now() < end {
            (0..self.hosts.len()).filter(|&other| other != from).for_each(|other| self.cut(from, other));
            thread::sleep(lost);
            self.heal();
            thread::sleep(period.saturating_sub(lost));
        }
    }

    /// Undoes all cuts.
    ///
    /// # Panics
    /// A rule cannot be removed.
    pub fn heal(&self) {
        for rule in self.locked().drain(..) {
            ip(&[&["rule", "del"], &words(&rule)[..]].concat());
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<Vec<String>>> {
        self.cuts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn words(rule: &[String]) -> Vec<&str> {
    rule.iter().map(String::as_str).collect()
}

/// A namespace, and a pair of interfaces between it and the router. The addresses are those for measurements (RFC 2544).
fn make(number: u8) -> Host {
    let (name, interface) = (format!("host-{number}"), format!("to-{number}"));
    ip(&["netns", "add", &name]);
    ip(&["-n", &name, "link", "set", "lo", "up"]);
    ip(&["link", "add", &interface, "type", "veth", "peer", "name", "eth0", "netns", &name]);
    let address = set_up(number, &name, &interface);
    Host { address, namespace: format!("/run/netns/{name}"), interface }
}

/// Gives both ends of a host's line their addresses, and the host its way to all others. Gives its address.
fn set_up(number: u8, name: &str, interface: &str) -> Ipv4Addr {
    let (router, address) = (Ipv4Addr::new(198, 18, number, 1), Ipv4Addr::new(198, 18, number, 2));
    ip(&["address", "add", &format!("{router}/30"), "dev", interface]);
    ip(&["link", "set", interface, "up"]);
    let inside = |arguments: &[&str]| ip(&[&["-n", name], arguments].concat());
    inside(&["address", "add", &format!("{address}/30"), "dev", "eth0"]);
    inside(&["link", "set", "eth0", "up"]);
    inside(&["route", "add", "default", "via", &router.to_string()]);
    address
}

/// Puts a slow line between a host and the router: both get a new end, and a program takes frames from one to the other.
fn slow_line(number: u8, line: Line) -> SlowLine {
    let (host, interface) = (format!("host-{number}"), format!("to-{number}"));
    let (near, far) = (format!("near-{number}"), format!("far-{number}"));
    ip(&["link", "del", &interface]);
    ip(&["link", "add", &interface, "type", "veth", "peer", "name", &near]);
    ip(&["link", "add", &far, "type", "veth", "peer", "name", "eth0", "netns", &host]);
    [&near, &far].iter().for_each(|end| ip(&["link", "set", end, "up"]));
    set_up(number, &host, &interface);
    let (delay, loss) = (line.delay.as_secs_f64().to_string(), line.loss.to_string());
    let mut python = Command::new("python3");
    python.args(["-c", include_str!("slow_link.py"), &near, &far, &delay, &loss]);
    let child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = SlowLine(child.unwrap_or_else(|error| panic!("python3: {error}")));
    let mut said = String::new();
    let read = child.0.stdout.take().map(|output| BufReader::new(output).read_line(&mut said));
    assert!(said.trim() == "works", "the slow line of {host} does not work: {read:?}");
    child
}

fn ip(arguments: &[&str]) {
    let ran = Command::new("ip").args(arguments).output().unwrap_or_else(|error| panic!("ip: {error}"));
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "ip {}: {said}", arguments.join(" "));
}
