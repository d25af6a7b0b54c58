# What the agent of this host is, read by lictor.service. `lictor validate /etc/lictor.d` says whether it is right, and
# `systemctl reload lictor` applies what a reload can. Files beside this one, *.hcl and *.json, are read too.
#
# As it stands it is an agent of no cluster, which nobody reaches from outside this host.

data_dir    = "/var/lib/lictor"
client_addr = "127.0.0.1"             # who may ask: HTTP (8500), DNS (8600), gRPC (8502)
bind_addr   = "127.0.0.1"             # other agents (8300 to 8302): this host's address in its network

# datacenter = "dc1"

# A sidecar of a cluster: the address of this host, above, and where its servers are.
# retry_join = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]

# A server: the same, and how many of them there are.
# server           = true
# bootstrap_expect = 3

# Before others can reach it. /usr/share/doc/lictor/SECURITY.md says what each of these is for.
# encrypt = "..."                     # lictor keygen
# acl { enabled = true  default_policy = "deny" }
# tls {
#   defaults {
#     ca_file         = "/etc/lictor.d/ca.pem"
#     cert_file       = "/etc/lictor.d/node.pem"
#     key_file        = "/etc/lictor.d/node-key.pem"
#     verify_incoming = true
#     verify_outgoing = true
#   }
#   internal_rpc { verify_server_hostname = true }
# }
