# In the configuration directory of every agent: it registers itself, and prometheus-consul.yml finds it. The port is that
# of its HTTP interface, which must be open to Prometheus (`addresses { http = "..." }`, or `-client`).
service {
  name = "lictor"
  port = 8500
  meta = { role = "sidecar" } # on servers: "server"
}
