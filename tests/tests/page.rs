//! The web page in a real browser: Chromium, driven by Selenium, opens it at a server and at a sidecar.
//!
//! What is done there is in `tests/page/everything.py`, and what it needs from PyPI is installed into the build directory,
//! once, by the host's `python3 -m pip`. It says what each step found and what it measured; a test here starts the
//! agents and fails as it does.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test, also where it is not in a test function")]

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use lictor_tests::{agent::Agent, cluster::Cluster, installed, process::Process, python, turn, wait};
use serde_json::json;

/// A token that allows everything.
const MANAGEMENT: &str = "7e1d1e4f-0000-4000-8000-000000000001";
/// The longest that one part may take.
const LIMIT: Duration = Duration::from_secs(400);

/// Where the scripts are.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("page")
}

/// A directory with the packages that the scripts need.
fn packages() -> PathBuf {
    python::packages(&scripts().join("requirements.txt"), Path::new(env!("CARGO_TARGET_TMPDIR")).join("page"))
}

/// Whether there is a browser; says what is missing.
fn is_possible() -> bool {
    let browser = [("chromium", "chromium"), ("chromedriver", "chromium-driver"), ("python3", "python3-pip")];
    browser.into_iter().all(|(program, package)| installed::find(program, package).is_some())
}

/// Does one part of the scripts with a server and a sidecar that `configure` has had in hand, and whose page is at `path`.
fn look_at(part: &str, path: &str, configure: impl Fn(Agent) -> Agent) {
    if !is_possible() {
        return;
    }
    let cluster = Cluster::start_with(1, 1, |agent| {
        configure(agent).argument("-ui").argument(format!("-ui-content-path={path}"))
    });
    let (server, sidecar) = (&cluster.servers[0], &cluster.sidecars[0]);
    run(part, server, sidecar, &[("LICTOR_PAGE_PATH", path.to_owned())]);
}

/// Does one part of the scripts with those agents.
fn run(part: &str, server: &Agent, sidecar: &Agent, more: &[(&str, String)]) {
    let mut command = Command::new("python3");
    command.arg(scripts().join("everything.py")).arg(part);
    command.env("PYTHONPATH", packages()).env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
    command.env("LICTOR_SERVER", server.address(server.ports.http).to_string());
    command.env("LICTOR_SIDECAR", sidecar.address(sidecar.ports.http).to_string());
    command.env("LICTOR_NODE", &sidecar.name).env("LICTOR_TOKEN", MANAGEMENT);
    command.envs(more.iter().map(|(name, value)| (name, value)));
    // The driver reaches the browser, and the scripts reach the agents, by no proxy.
    command.env("NO_PROXY", "127.0.0.1,localhost").env("no_proxy", "127.0.0.1,localhost");
    let mut scripts = Process::start("page", sidecar.directory(), &mut command);
    let status = scripts.wait(LIMIT);
    let output = scripts.output();
    for line in output.lines().filter(|line| line.starts_with("figure ")) {
        eprintln!("{line}");
    }
    let failed: Vec<&str> = output.lines().filter(|line| !line.starts_with("ok ")).collect();
    assert!(status.success(), "{status}\n{}\n{}", failed.join("\n"), scripts.log());
}

#[test]
fn every_view_shows_and_changes_what_there_is() {
    let dashboards = r#"ui_config { dashboard_url_templates {
        service = "https://example.com/d?service={{Service.Name}}&dc={{Datacenter}}" } }"#;
    look_at("open", "/ui/", |agent| agent.argument(format!("-hcl={dashboards}")));
}

#[test]
fn every_view_does_so_with_access_control_and_tells_nothing_else() {
    let acl = format!(
        r#"acl {{ enabled = true default_policy = "deny" policy_ttl = "2s"
            tokens {{ initial_management = "{MANAGEMENT}" agent = "{MANAGEMENT}" }} }}"#
    );
    look_at("guarded", "/ui/", |agent| agent.argument(format!("-hcl={acl}")).shown(MANAGEMENT));
}

#[test]
fn ten_thousand_instances_are_no_burden() {
    look_at("large", "/registry/ui/", |agent| agent);
}

#[test]
fn another_datacenter_is_shown_as_it_changes_and_when_it_is_lost() {
    if !is_possible() {
        return;
    }
    let _turn = turn::take();
    let of = |agent: Agent, datacenter: &str| agent.argument(format!("-datacenter={datacenter}")).argument("-ui");
    let server = of(Agent::server("a", 1), "one").started();
    let sidecar = of(Agent::sidecar("host"), "one").joining([&server.ports]).started();
    let join = format!("-retry-join-wan=127.0.0.1:{}", server.ports.serf_wan);
    let far = of(Agent::server("c", 1), "two").argument(join).started();
    for agent in [&sidecar, &far] {
        wait::until(&format!("{} has a leader", agent.name), LIMIT, || agent.http().json("/v1/catalog/nodes"));
    }
    run("far", &far, &sidecar, &[("LICTOR_FAR", far.pid().to_string())]);
}

#[test]
fn another_leader_is_shown_at_once() {
    if !is_possible() {
        return;
    }
    let cluster = Cluster::start_with(3, 1, |agent| agent.argument("-ui"));
    let row = |server: &Agent| json!({"name": server.name, "address": server.address(server.ports.server), "process": server.pid()});
    let servers: Vec<_> = cluster.servers.iter().map(row).collect();
    let (server, sidecar) = (&cluster.servers[0], &cluster.sidecars[0]);
    let more = [("LICTOR_SERVERS", json!(servers).to_string()), ("LICTOR_PROCESS", sidecar.pid().to_string())];
    run("leader", server, sidecar, &more);
}
