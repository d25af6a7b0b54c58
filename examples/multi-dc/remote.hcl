# What the sidecars of dc1 keep a live copy of, so that it is found while the link to dc2 is down.
cache {
  remote = ["dc2:hello"]
}
