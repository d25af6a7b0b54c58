# What the sidecars of both datacenters register: the service that runs beside each of them.
service {
  name = "hello"
  port = 9000
  check {
    tcp      = "127.0.0.1:9000"
    interval = "1s"
  }
}
