/* What is this host's own wins: the file's name comes last. */
node_name = "registry-eu-1"
node_meta { rack = "r12" env = "production" }
