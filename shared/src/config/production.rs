//! What the directories of `shared/testdata/production` mean: files as operators of Consul have them.

use std::{path::Path, time::Duration};

use super::*;
use crate::model::Status;

fn load(directory: &str) -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/production").join(directory);
    let flags = AgentFlags::of_files(vec![path], None).expect("no format is given");
    Config::load_on(&flags, Host { variable: |_| None, ..Host::THIS }).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_servers_directory() {
    let config = load("server");
    assert_eq!((config.node_name.as_str(), config.datacenter.as_str()), ("registry-eu-1", "eu-west"));
    assert!(matches!(config.role, RoleConfig::Server { expect: 3, raft_multiplier: 1, .. }));
    assert_eq!(config.data_dir, Some("/var/lib/registry".into()));
    assert_eq!(config.listen.http, [([127, 0, 0, 1], 8500).into(), ([10, 20, 0, 11], 8500).into()]);
    assert_eq!(config.listen.dns.iter().map(SocketAddr::port).collect::<Vec<_>>(), [53, 53]);
    assert_eq!(config.advertise, IpAddr::from([10, 20, 0, 11]));
    assert_eq!(config.join.retry, ["registry-1.internal", "registry-2.internal", "registry-3.internal:8301"]);
    assert_eq!(config.join.interval, Duration::from_secs(15));
    assert_eq!(config.node_meta["rack"], "r12");
    assert_eq!((config.acl.settings.primary_datacenter.as_str(), config.acl.settings.enabled), ("eu-west", false));
    assert_eq!(config.http_limits.connections_per_client, 500);
    assert!(!config.leave_on_terminate && config.skip_leave_on_interrupt);

    assert_eq!(config.dns.domain.to_string(), "internal.");
    assert_eq!(config.dns.alt_domain.as_ref().map(ToString::to_string).as_deref(), Some("consul."));
    assert_eq!(config.dns.recursors, [([10, 20, 0, 2], 53).into(), ([10, 20, 0, 3], 5353).into()]);
    assert_eq!(config.dns.recursor_strategy, dns::RecursorStrategy::Random);
    assert_eq!(config.dns.service_ttl["web*"], Duration::from_secs(1));
    assert!(config.dns.enable_truncate && config.dns.only_passing);
    assert_eq!(config.dns.soa.min_ttl, 5);

    let file = LogFile {
        path: "/var/log/registry/consul.log".into(),
        rotate_bytes: 100 << 20,
        rotate_after: Duration::from_secs(24 * 3600),
        keep: Some(7),
    };
    assert_eq!(config.log, Log { level: "warn".into(), json: true, file: Some(file) });
    assert_eq!(config.pid_file, Some("/run/registry.pid".into()));
    for ignored in ["autopilot", "connect", "telemetry", "dns_config.allow_stale"] {
        assert!(config.ignored.iter().any(|key| key == ignored), "{ignored}: {:?}", config.ignored);
    }
}

#[test]
fn a_hosts_directory() {
    let config = load("web");
    assert_eq!((config.role, config.node_name.as_str()), (RoleConfig::Sidecar, "web-7"));
    assert_eq!(config.tagged_addresses, Meta::from([("wan".into(), "203.0.113.7".into())]));
    assert_eq!(config.script_checks, ScriptChecks::FromFiles);
    assert!(config.leave_on_terminate && config.skip_leave_on_interrupt);

    let ids: Vec<&str> = config.services.iter().map(|definition| &*definition.service.id).collect();
    assert_eq!(ids, ["pg-primary", "exporter", "web-1", "web-admin"]);
    let postgres = &config.services[0];
    assert_eq!((postgres.service.weights.passing, postgres.service.enable_tag_override), (10, true));
    assert_eq!(postgres.checks.len(), 2);
    let web = &config.services[2];
    assert_eq!(web.service.tags[2], "traefik.http.routers.web.rule=Host(`${host}`)");
    assert_eq!(web.service.meta["team"], "shop");
    assert_eq!(web.service.tagged_addresses["wan"].port, 80);
    let http = &web.checks[0].definition;
    assert_eq!((http.http.as_str(), http.failures_before_critical), ("http://127.0.0.1:8080/health", 3));
    assert_eq!(http.header["Host"], ["web.internal"]);
    assert_eq!(http.deregister_critical_service_after, Duration::from_secs(5400));
    assert_eq!(&*web.checks[1].id, "web-tcp");
    assert_eq!(config.services[3].checks[0].definition.ttl, Duration::from_secs(30));

    let checks: Vec<&str> = config.checks.iter().map(|check| &*check.id).collect();
    assert_eq!(checks, ["disk", "mem", "heartbeat"]);
    assert_eq!(config.checks[0].notes, "Look at /var first:\n  logs are kept a week.\n");
    assert_eq!((config.checks[0].status, config.checks[0].definition.script_args.len()), (Some(Status::Passing), 5));
    assert_eq!(&*config.checks[2].service_id, "web-1");
}
