//! What each row type can be filtered by: one table each, after the "Filtering" tables of Consul's HTTP API
//! documentation (catalog, health, agent/service, agent/check). Fields that exist in the JSON but that Consul does
//! not filter by (indexes, check definitions, opaque proxy configuration) are absent. No code but the tables'.

/// A row type.
#[derive(Debug)]
pub struct Schema {
    pub(super) fields: &'static [Field],
}

/// A field of a struct.
#[derive(Debug)]
pub(super) struct Field {
    /// Its key in the JSON.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

/// The type of a field; it decides which operators the field supports.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// `==`, `in` (part of it), `matches`.
    Text,
    /// An integer: `==`.
    Number,
    /// A truth value: `==`.
    Flag,
    /// Strings: `in`, `is empty`.
    TextList,
    /// String to string: `in` (as a key), `is empty`; each value is a `Text`.
    TextMap,
    /// String to strings: each value is a `TextList`.
    TextListMap,
    /// Nothing but its fields.
    Struct(&'static [Field]),
    /// `is empty`; its fields, of any element.
    StructList(&'static [Field]),
    /// String to struct: `in` (as a key), `is empty`; the fields of each value.
    StructMap(&'static [Field]),
}

/// `/catalog/nodes`.
pub static CATALOG_NODE: Schema = Schema { fields: NODE };
/// `/catalog/service/:name`, `/catalog/connect/:name`, and what `/catalog/services` is made from.
pub static CATALOG_SERVICE: Schema = Schema { fields: SERVICE_ON_NODE };
/// `/catalog/node/:name` and `/catalog/node-services/:name`: each of the node's services.
pub static NODE_SERVICE: Schema = Schema { fields: SERVICE };
/// `/health/node/:name`, `/health/checks/:name`, `/health/state/:state`.
pub static HEALTH_CHECK: Schema = Schema { fields: CHECK };
/// `/health/service/:name`, `/health/connect/:name`: an instance with its node and checks.
pub static HEALTH_SERVICE: Schema = Schema {
    fields: &[
        field("Node", Kind::Struct(NODE)),
        field("Service", Kind::Struct(SERVICE)),
        field("Checks", Kind::StructList(CHECK)),
    ],
};
/// `/internal/ui/nodes`: a node with its services and checks.
pub static NODE_DUMP: Schema = Schema {
    fields: &[
        field("ID", Kind::Text),
        field("Node", Kind::Text),
        field("Address", Kind::Text),
        field("TaggedAddresses", Kind::TextMap),
        field("Meta", Kind::TextMap),
        field("Services", Kind::StructList(SERVICE)),
        field("Checks", Kind::StructList(CHECK)),
    ],
};
/// `/agent/services`: each of the agent's services.
pub static AGENT_SERVICE: Schema = Schema { fields: SERVICE };
/// `/agent/checks`: each of the agent's checks.
pub static AGENT_CHECK: Schema = Schema { fields: CHECK };

/// What is known of somebody who logs in (`acl::login`): `value.NAME` and `list.NAME`, as Consul's binding rules have it.
pub static LOGIN: Schema = Schema { fields: &[field("value", Kind::TextMap), field("list", Kind::TextListMap)] };

const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind }
}

const NODE: &[Field] = &[
    field("ID", Kind::Text),
    field("Node", Kind::Text),
    field("Address", Kind::Text),
    field("Datacenter", Kind::Text),
    field("TaggedAddresses", Kind::TextMap),
    field("Meta", Kind::TextMap),
    field("PeerName", Kind::Text),
];

const SERVICE: &[Field] = &[
    field("Kind", Kind::Text),
    field("ID", Kind::Text),
    field("Service", Kind::Text),
    field("Tags", Kind::TextList),
    field("Address", Kind::Text),
    field("TaggedAddresses", Kind::StructMap(SERVICE_ADDRESS)),
    field("Meta", Kind::TextMap),
    field("Port", Kind::Number),
    field("SocketPath", Kind::Text),
    field("Weights", Kind::Struct(WEIGHTS)),
    field("EnableTagOverride", Kind::Flag),
    field("Proxy", Kind::Struct(PROXY)),
    field("Connect", Kind::Struct(CONNECT)),
    field("PeerName", Kind::Text),
];

const SERVICE_ON_NODE: &[Field] = &[
    field("ID", Kind::Text),
    field("Node", Kind::Text),
    field("Address", Kind::Text),
    field("Datacenter", Kind::Text),
    field("TaggedAddresses", Kind::TextMap),
    field("NodeMeta", Kind::TextMap),
    field("ServiceKind", Kind::Text),
    field("ServiceID", Kind::Text),
    field("ServiceName", Kind::Text),
    field("ServiceTags", Kind::TextList),
    field("ServiceAddress", Kind::Text),
    field("ServiceTaggedAddresses", Kind::StructMap(SERVICE_ADDRESS)),
    field("ServiceWeights", Kind::Struct(WEIGHTS)),
    field("ServiceMeta", Kind::TextMap),
    field("ServicePort", Kind::Number),
    field("ServiceSocketPath", Kind::Text),
    field("ServiceEnableTagOverride", Kind::Flag),
    field("ServiceProxy", Kind::Struct(PROXY)),
    field("ServiceConnect", Kind::Struct(CONNECT)),
    field("PeerName", Kind::Text),
];

const CHECK: &[Field] = &[
    field("Node", Kind::Text),
    field("CheckID", Kind::Text),
    field("Name", Kind::Text),
    field("Status", Kind::Text),
    field("Notes", Kind::Text),
    field("Output", Kind::Text),
    field("ServiceID", Kind::Text),
    field("ServiceName", Kind::Text),
    field("ServiceTags", Kind::TextList),
    field("Type", Kind::Text),
    field("Interval", Kind::Text),
    field("Timeout", Kind::Text),
    field("ExposedPort", Kind::Number),
    field("PeerName", Kind::Text),
];

const SERVICE_ADDRESS: &[Field] = &[field("Address", Kind::Text), field("Port", Kind::Number)];

const WEIGHTS: &[Field] = &[field("Passing", Kind::Number), field("Warning", Kind::Number)];

const CONNECT: &[Field] = &[field("Native", Kind::Flag)];

const MESH_GATEWAY: &[Field] = &[field("Mode", Kind::Text)];

const PROXY: &[Field] = &[
    field("DestinationServiceName", Kind::Text),
    field("DestinationServiceID", Kind::Text),
    field("LocalServiceAddress", Kind::Text),
    field("LocalServicePort", Kind::Number),
    field("LocalServiceSocketPath", Kind::Text),
    field("Mode", Kind::Text),
    field("TransparentProxy", Kind::Struct(&[field("OutboundListenerPort", Kind::Number)])),
    field("MeshGateway", Kind::Struct(MESH_GATEWAY)),
    field("Upstreams", Kind::StructList(UPSTREAM)),
];

const UPSTREAM: &[Field] = &[
    field("DestinationType", Kind::Text),
    field("DestinationNamespace", Kind::Text),
    field("DestinationName", Kind::Text),
    field("Datacenter", Kind::Text),
    field("LocalBindAddress", Kind::Text),
    field("LocalBindPort", Kind::Number),
    field("MeshGateway", Kind::Struct(MESH_GATEWAY)),
];
