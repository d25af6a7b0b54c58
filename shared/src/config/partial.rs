//! A configuration in which everything may be unset: what one file, or the command line, says.

use std::{path::PathBuf, time::Duration};

use smol_str::SmolStr;

use crate::{
    agent::definition::{CheckRegistration, ServiceDefinition},
    model::Meta,
    watch,
};

macro_rules! partial {
    ($(#[$doc:meta])* one { $($one:ident: $type:ty,)* } many { $($many:ident: $list:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default)]
        pub struct Partial {
            $(pub $one: Option<$type>,)*
            $(pub $many: $list,)*
        }

        impl Partial {
            /// This one, and then `later`: single values are replaced, lists grow.
            pub fn then(mut self, later: Self) -> Self {
                $(self.$one = later.$one.or(self.$one);)*
                $(self.$many.extend(later.$many);)*
                self
            }
        }
    };
}

partial! {
    /// What one source says. Times are spans, addresses are texts until `resolve` has checked them.
    one {
        dev: bool,
        node_name: SmolStr,
        node_id: SmolStr,
        datacenter: SmolStr,
        data_dir: PathBuf,
        server: bool,
        bootstrap: bool,
        bootstrap_expect: usize,
        raft_multiplier: u32,
        raft_snapshot_threshold: u64,
        raft_trailing_logs: u64,
        bind_addr: SmolStr,
        advertise_addr: SmolStr,
        client_addr: SmolStr,
        http_addr: SmolStr,
        dns_addr: SmolStr,
        grpc_addr: SmolStr,
        http_port: i32,
        dns_port: i32,
        grpc_port: i32,
        https_addr: SmolStr,
        grpc_tls_addr: SmolStr,
        https_port: i32,
        grpc_tls_port: i32,
        serf_lan_port: i32,
        serf_wan_port: i32,
        server_port: i32,
        serf_lan_addr: SmolStr,
        serf_wan_addr: SmolStr,
        domain: SmolStr,
        alt_domain: SmolStr,
        node_ttl: Duration,
        only_passing: bool,
        enable_truncate: bool,
        udp_answer_limit: usize,
        a_record_limit: usize,
        disable_compression: bool,
        node_meta_txt: bool,
        soa_refresh: u32,
        soa_retry: u32,
        soa_expire: u32,
        soa_min_ttl: u32,
        recursor_timeout: Duration,
        recursor_strategy: SmolStr,
        discovery_max_stale: Duration,
        local_registrations: SmolStr,
        protection_threshold: f64,
        protection_window: Duration,
        check_update_interval: Duration,
        http_max_conns_per_client: usize,
        http_max_watches_per_client: usize,
        http_rate_per_client: f64,
        http_burst_per_client: u32,
        http_rate_per_token: f64,
        http_burst_per_token: u32,
        http_max_header_bytes: usize,
        rpc_max_conns_per_client: usize,
        rpc_handshake_timeout: Duration,
        rpc_rate: f64,
        rpc_max_burst: u32,
        grpc_max_conns_per_client: usize,
        grpc_max_streams_per_client: usize,
        dns_response_rate_limit: f64,
        kv_max_value_size: usize,
        txn_max_req_len: usize,
        txn_max_ops: usize,
        unix_user: SmolStr,
        unix_group: SmolStr,
        unix_mode: SmolStr,
        retry_interval: Duration,
        retry_max: u32,
        retry_interval_wan: Duration,
        retry_max_wan: u32,
        translate_wan_addrs: bool,
        encrypt: SmolStr,
        encrypt_verify_incoming: bool,
        encrypt_verify_outgoing: bool,
        disable_keyring_file: bool,
        reconnect_timeout: Duration,
        reconnect_timeout_wan: Duration,
        left_timeout: Duration,
        failing_nodes_share: f64,
        log_level: SmolStr,
        log_json: bool,
        log_file: SmolStr,
        log_rotate_bytes: i64,
        log_rotate_duration: Duration,
        log_rotate_max_files: i64,
        pid_file: PathBuf,
        enable_debug: bool,
        enable_script_checks: bool,
        enable_local_script_checks: bool,
        leave_on_terminate: bool,
        skip_leave_on_interrupt: bool,
        audit_enabled: bool,
        audit_path: PathBuf,
        audit_rotate_bytes: i64,
        audit_rotate_duration: Duration,
        audit_rotate_max_files: i64,
        acl_enabled: bool,
        acl_datacenter: bool,
        acl_default_policy: SmolStr,
        acl_down_policy: SmolStr,
        acl_policy_ttl: Duration,
        acl_key_list_policy: bool,
        acl_token_replication: bool,
        acl_token_persistence: bool,
        acl_initial_management: SmolStr,
        acl_default_token: SmolStr,
        acl_agent_token: SmolStr,
        acl_recovery_token: SmolStr,
        acl_replication_token: SmolStr,
        acl_dns_token: SmolStr,
        primary_datacenter: SmolStr,
        ui: bool,
        ui_path: SmolStr,
        ui_dashboard: SmolStr,
        otlp_endpoint: SmolStr,
        trace_ratio: f64,
    }
    many {
        node_meta: Meta,
        tls: std::collections::BTreeMap<String, SmolStr>,
        cache_remote: Vec<String>,
        service_ttl: std::collections::BTreeMap<SmolStr, Duration>,
        tagged_addresses: Meta,
        recursors: Vec<SmolStr>,
        recursion_networks: Vec<SmolStr>,
        http_response_headers: std::collections::BTreeMap<SmolStr, SmolStr>,
        otlp_headers: std::collections::BTreeMap<SmolStr, SmolStr>,
        http_block_endpoints: Vec<String>,
        http_write_from: Vec<String>,
        start_join: Vec<String>,
        retry_join: Vec<String>,
        start_join_wan: Vec<String>,
        retry_join_wan: Vec<String>,
        services: Vec<ServiceDefinition>,
        checks: Vec<CheckRegistration>,
        watches: Vec<watch::Definition>,
        ignored: Vec<String>,
    }
}
