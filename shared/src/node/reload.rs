//! What a running node cannot take over from files that were read again. The rest (services, checks, watches, the log
//! level, how signals end it) is applied in `run`.
//!
//! The lists below take the configuration apart field by field and leave none out: a new setting does not compile
//! until it stands in one of them.

use crate::{
    config::{Acl, Config, Listen, Log},
    dns,
};

/// The keys of those fields of a struct that differ in two of its values. Every field is named, either with its key or
/// among those that are not compared.
macro_rules! differing {
    ($old:expr, $new:expr, $type:path { $($field:ident: $key:literal),* } but { $($skipped:ident),* }) => {{
        let ($type { $($field,)* $($skipped: _,)* }, new) = ($old, $new);
        let compared = [$(($key, *$field != new.$field)),*];
        compared.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key)
    }};
}

/// The keys whose settings differ and are only read at the start, each once.
pub(crate) fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let node = differing!(old, new, Config {
        node_name: "node_name",
        node_id: "node_id",
        node_meta: "node_meta",
        datacenter: "datacenter",
        data_dir: "data_dir",
        role: "server, bootstrap_expect, raft_multiplier, raft_snapshot_threshold or raft_trailing_logs",
        advertise: "advertise_addr",
        tagged_addresses: "tagged_addresses or advertise_addr_wan",
        join: "start_join or retry_join",
        join_wan: "start_join_wan or retry_join_wan",
        gossip: "encrypt, reconnect_timeout, left_timeout or failing_nodes_share",
        discovery_max_stale: "discovery_max_stale",
        protection: "discovery_protection",
        without_servers: "local_registrations_without_servers",
        check_update_interval: "check_update_interval",
        script_checks: "enable_script_checks or enable_local_script_checks",
        http_limits: "limits",
        rpc_limits: "limits",
        rpc_rate: "limits",
        grpc_limits: "limits",
        grpc_streams_per_client: "limits",
        remote_copies: "cache.remote",
        http_access: "http_config or translate_wan_addrs",
        page: "ui_config",
        pid_file: "pid_file",
        enable_debug: "enable_debug",
        audit: "audit",
        traces: "traces"
    } but {
        listen, tls, dns, log, services, checks, watches, acl, leave_on_terminate, skip_leave_on_interrupt, ignored
    });
    let listen = differing!(&old.listen, &new.listen, Listen {
        bind: "bind_addr",
        serf_lan_bind: "serf_lan",
        serf_wan_bind: "serf_wan",
        serf_lan: "ports.serf_lan",
        serf_wan: "ports.serf_wan",
        server: "ports.server",
        http: "client_addr, addresses.http or ports.http",
        http_paths: "client_addr, addresses.http or ports.http",
        unix_sockets: "unix_sockets",
        dns: "client_addr, addresses.dns or ports.dns",
        grpc: "client_addr, addresses.grpc or ports.grpc",
        https: "client_addr, addresses.https or ports.https",
        grpc_tls: "client_addr, addresses.grpc_tls or ports.grpc_tls"
    } but { grpc_is_wanted, grpc_tls_is_wanted });
    let dns = differing!(&old.dns, &new.dns, dns::Settings {
        domain: "domain",
        alt_domain: "alt_domain",
        recursors: "recursors",
        node_ttl: "dns_config",
        service_ttl: "dns_config",
        udp_answer_limit: "dns_config",
        a_record_limit: "dns_config",
        enable_truncate: "dns_config",
        only_passing: "dns_config",
        node_meta_txt: "dns_config",
        disable_compression: "dns_config",
        soa: "dns_config",
        responses: "dns_config",
        recursion_networks: "dns_config",
        recursor_timeout: "dns_config",
        recursor_strategy: "dns_config"
    } but { datacenter, node_name, protection });
    let log = differing!(&old.log, &new.log, Log { json: "log_json", file: "log_file or log_rotate" } but { level });
    // Certificates, and what is demanded of those of others, are taken over; that there are any is not.
    let tls = old.tls.needs_restart(&new.tls).then_some("tls (on or off between nodes)");
    let mut keys: Vec<_> = node.chain(listen).chain(dns).chain(log).chain(acl(old, new)).chain(tls).collect();
    keys.dedup();
    keys
}

/// The same of access control; what the node shows to others is taken over.
fn acl(old: &Config, new: &Config) -> impl Iterator<Item = &'static str> {
    differing!(&old.acl, &new.acl, Acl {
        settings: "acl or primary_datacenter",
        initial_management: "acl.tokens.initial_management",
        keeps_tokens: "acl.enable_token_persistence",
        replicates_tokens: "acl.enable_token_replication"
    } but { tokens })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::{AgentFlags, go_style_args};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: AgentFlags,
    }

    fn config(arguments: &[&str]) -> Config {
        let words = ["agent", "-dev", "-node=n"].iter().chain(arguments).map(Into::into);
        Config::load(&Line::parse_from(go_style_args(words)).flags).unwrap()
    }

    #[test]
    fn what_takes_a_restart_is_named_by_its_key() {
        let old = config(&[]);
        for (arguments, expected) in [
            (&[][..], &[][..]),
            (&["-log-level=debug", "-hcl=leave_on_terminate=true", "-hcl=service { name = \"a\" }"], &[]),
            (&["-log-json", "-hcl=node_meta { a = \"b\" }"], &["node_meta", "log_json"]),
            (
                &["-http-port=1", "-hcl=addresses { http = \"unix:///a\" }"],
                &["client_addr, addresses.http or ports.http"],
            ),
            (&["-hcl=dns_config { only_passing = true node_ttl = \"1s\" }", "-domain=a"], &["domain", "dns_config"]),
            (
                &["-retry-join-wan=127.0.0.2", "-serf-wan-bind=127.0.0.2"],
                &["start_join_wan or retry_join_wan", "serf_wan"],
            ),
            (&["-hcl=translate_wan_addrs = true"], &["http_config or translate_wan_addrs"]),
        ] {
            assert_eq!(needs_restart(&old, &config(arguments)), expected, "{arguments:?}");
        }
    }
}
