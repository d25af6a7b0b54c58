//! What it takes to be a service or a node, as rules (Consul's "service identities" and "node identities").

use smol_str::SmolStr;

use super::{Level, Resource, Rules};
use crate::model::{NodeIdentity, ServiceIdentity};

/// The longest name of an identity, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// A service registers itself and sees whom it can call.
pub(super) fn of_service(identity: &ServiceIdentity) -> Rules {
    let mut rules = Rules::default();
    // The second is the name of its proxy, where it has one.
    for name in [identity.service.clone(), format!("{}-sidecar-proxy", identity.service).into()] {
        rules.exact.insert((Resource::Service, name), Level::Write);
    }
    for resource in [Resource::Service, Resource::Node] {
        rules.prefix.insert((resource, SmolStr::default()), Level::Read);
    }
    rules
}

/// An agent registers its node and sees the services.
pub(super) fn of_node(identity: &NodeIdentity) -> Rules {
    let mut rules = Rules::default();
    rules.exact.insert((Resource::Node, identity.node.clone()), Level::Write);
    rules.prefix.insert((Resource::Service, SmolStr::default()), Level::Read);
    rules
}

/// Whether it may be the name of a service's identity: lower case, digits, `-` and `_`, not at the ends.
#[must_use]
pub fn is_service_identity_name(name: &str) -> bool {
    is_name(name, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// Whether it may be the name of a node's identity: lower case, digits, `-` and `_`, not at the ends.
#[must_use]
pub fn is_node_identity_name(name: &str) -> bool {
    is_service_identity_name(name)
}

fn is_name(name: &str, is_plain: impl Fn(u8) -> bool) -> bool {
    let (bytes, sign) = (name.as_bytes(), |byte| matches!(byte, b'-' | b'_'));
    let ends = [bytes.first(), bytes.last()];
    (1..=MAX_NAME_BYTES).contains(&bytes.len())
        && bytes.iter().all(|byte| is_plain(*byte) || sign(*byte))
        && ends.into_iter().flatten().all(|byte| is_plain(*byte))
}
