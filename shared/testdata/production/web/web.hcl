service {
  id   = "web-1"
  name = "web"
  tags = ["v2", "traefik.enable=true", "traefik.http.routers.web.rule=Host(`${host}`)"]
  port = 8080
  meta { version = "2.4.1" team = "shop" }

  tagged_addresses {
    lan { address = "10.20.1.7" port = 8080 }
    wan { address = "203.0.113.7" port = 80 }
  }

  check {
    id       = "web-http"
    name     = "HTTP"
    http     = "http://127.0.0.1:8080/health"
    method   = "GET"
    header { Host = ["web.internal"] X-Check = ["1"] }
    interval = "10s"
    timeout  = "2s"
    failures_before_critical          = 3
    deregister_critical_service_after = "90m"
  }
  check {
    id       = "web-tcp"
    tcp      = "127.0.0.1:8080"
    interval = "5s"
  }
}

service {
  name = "web-admin"
  port = 8081
  connect { sidecar_service {} }
  check { ttl = "30s" }
}
