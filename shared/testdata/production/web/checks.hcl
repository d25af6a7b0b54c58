check {
  id         = "disk"
  name       = "Disk"
  notes      = <<-EOT
    Look at /var first:
      logs are kept a week.
    EOT
  args       = ["/usr/lib/checks/disk", "-w", "80", "-c", "90"]
  interval   = "1m"
  timeout    = "10s"
  status     = "passing"
}

checks = [
  { id = "mem", name = "Memory", args = ["/usr/lib/checks/memory"], interval = "30s" },
  { id = "heartbeat", name = "Cron", ttl = "25h", service_id = "web-1" },
]
