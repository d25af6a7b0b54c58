//! The instances of a service as an application sees them.

use std::sync::Arc;

use lictor_proto::v1::{self, ServiceState};

/// What an instance is known by: its node and its ID there, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceKey {
    /// The node's name.
    pub node: String,
    /// Unique on the node.
    pub instance: String,
}

impl From<&v1::InstanceId> for InstanceKey {
    fn from(id: &v1::InstanceId) -> Self {
        Self { node: id.node.to_lowercase(), instance: id.instance.to_lowercase() }
    }
}

impl InstanceKey {
    /// Of an instance.
    #[must_use]
    pub fn of(instance: &v1::Instance) -> Self {
        instance.id.as_ref().map_or_else(|| (&v1::InstanceId::default()).into(), Into::into)
    }
}

/// What there is of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// The agent has not answered yet.
    #[default]
    NotKnown,
    /// No instance of it is registered.
    NoSuchService,
    /// It has instances, and none with the tags and by the filter asked for.
    NoneMatches,
    /// It has such instances, and none of the health asked for.
    NoneHealthy,
    /// It has instances as asked for.
    Available,
}

impl From<ServiceState> for State {
    fn from(state: ServiceState) -> Self {
        match state {
            ServiceState::Unspecified => Self::NotKnown,
            ServiceState::Unknown => Self::NoSuchService,
            ServiceState::NoneMatches => Self::NoneMatches,
            ServiceState::NoneHealthy => Self::NoneHealthy,
            ServiceState::Available => Self::Available,
        }
    }
}

/// The instances of a service at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Endpoints {
    /// As asked for, by node and ID.
    pub instances: Vec<Arc<v1::Instance>>,
    /// Why there are none, where there are none.
    pub state: State,
    /// The index of the registry that they are of.
    pub index: u64,
    /// Why the agent cannot be heard at the moment, and the set may be old; none while it can.
    pub trouble: Option<String>,
}
