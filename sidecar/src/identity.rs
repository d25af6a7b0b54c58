//! A sidecar's node ID. It keeps no file, and must still be the same node after a restart: the ID is derived from the
//! host and the node's name (RFC 9562, section 5.5).

use std::fs;

use uuid::Uuid;

/// The space of Lictor's node IDs.
const SPACE: Uuid = Uuid::from_u128(0x6c69_6374_6f72_4e0d_8e1d_5d1c_3c6a_91b2);
/// The host's own ID, made when its system was installed (machine-id(5)).
const MACHINE_ID: &str = "/etc/machine-id";

/// The ID of the node of that name on this host. On a host without an ID the name alone has to tell nodes apart.
#[must_use]
pub fn node_id(node_name: &str, datacenter: &str) -> Uuid {
    let machine = fs::read_to_string(MACHINE_ID).unwrap_or_default();
    derive(machine.trim(), node_name, datacenter)
}

fn derive(machine: &str, node_name: &str, datacenter: &str) -> Uuid {
    Uuid::new_v5(&SPACE, format!("{machine}\n{}\n{datacenter}", node_name.to_lowercase()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_stable_and_one_nodes_own() {
        let id = derive("m1", "Node-A", "dc1");
        assert_eq!(id, derive("m1", "node-a", "dc1"));
        for other in [derive("m2", "node-a", "dc1"), derive("m1", "node-b", "dc1"), derive("m1", "node-a", "dc2")] {
            assert_ne!(id, other);
        }
    }
}
