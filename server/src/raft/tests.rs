//! What the tests of this module share, and the cluster tests.

mod cluster;
pub(crate) mod simulation;
mod snapshot;

use lictor_shared::{
    catalog::Change,
    command::{Command, Registration},
    model::{Check, Index, Node, Service},
};

use super::ChangeSink;

/// A sink nobody listens to.
pub(super) struct Ignored;

impl ChangeSink for Ignored {
    fn applied(&self, _: Vec<Change>) {}

    fn replaced(&self, _: Index) {}
}

/// Registers one service with a check on a node of that name.
pub(super) fn registration(name: &str) -> Command {
    let node = Node { name: name.into(), address: "127.0.0.1".into(), ..Node::default() };
    let service = Service { id: "web".into(), name: "web".into(), port: 80, ..Service::default() };
    let check = Check { id: "alive".into(), service_id: "web".into(), ..Check::default() };
    let service = Some(service);
    Command::Register(Box::new(Registration { node, service, checks: vec![check], ..Registration::default() }))
}
