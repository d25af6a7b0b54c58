# One of three servers; rolled out by the same template in every datacenter.
datacenter         = "eu-west"
primary_datacenter = "eu-west"
node_name          = "registry-1"
data_dir           = "/var/lib/registry"
server             = true
bootstrap_expect   = 3

bind_addr   = "10.20.0.11"
client_addr = "127.0.0.1 10.20.0.11"

retry_join = [
  "registry-1.internal",
  "registry-2.internal",
  "registry-3.internal:8301", // the port may be said
]
retry_interval = "15s"

ports { http = 8500 https = -1 grpc = -1, dns = 53 }

performance {
  raft_multiplier = 1
}

autopilot {
  cleanup_dead_servers      = true
  last_contact_threshold    = "200ms"
  server_stabilization_time = "10s"
}

telemetry {
  disable_hostname          = true
  prometheus_retention_time = "24h"
}

connect { enabled = false }
