//! The bodies of `/catalog/register` and `/catalog/deregister`, validated into commands.
//!
//! What Consul refuses with status 500 is refused with its sentence here too ([`Failure::Rejected`]); what cannot be
//! what the caller meant (a port out of range, a status nobody knows) is a 400.

use serde_json::Value;
use smol_str::SmolStr;
use uuid::Uuid;

use super::parse;
use crate::{
    agent::{
        definition::{DefinitionError, Fields, Strictness, check_definition, tagged_addresses, weights},
        duration,
    },
    command::{Command, Deregistration, Registration},
    http::Failure,
    model::{Check, CheckDefinition, Node, NodeName, Origin, Service, Status},
};

/// A write and the datacenter it is for; empty: this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressed<T> {
    /// The datacenter.
    pub datacenter: SmolStr,
    /// The write, or why it cannot be done in any datacenter.
    pub write: T,
}

/// Reads the body of a registration.
///
/// # Errors
/// 400 where it cannot be read. `write` holds what Consul checks after it has found the datacenter.
pub fn register(body: &[u8]) -> Result<Addressed<Result<Command, Failure>>, Failure> {
    let body = parse(body)?;
    let mut fields = Fields::of(&body, Strictness::Body)?;
    let datacenter = fields.text("datacenter")?;
    let parts = Parts {
        node: node(&mut fields)?,
        node_id: fields.text("id")?,
        skip_node_update: fields.flag("skipnodeupdate")?,
        service: fields.fields("service")?.map(service).transpose().map_err(|error| error.within("Service"))?,
        checks: checks(&mut fields)?,
    };
    Ok(Addressed { datacenter, write: parts.into_command() })
}

/// Reads the body of a deregistration.
///
/// # Errors
/// 400 where it cannot be read. `write` holds what Consul checks after it has found the datacenter.
pub fn deregister(body: &[u8]) -> Result<Addressed<Result<Command, Failure>>, Failure> {
    let body = parse(body)?;
    let mut fields = Fields::of(&body, Strictness::Body)?;
    let datacenter = fields.text("datacenter")?;
    let (node, service, check) = (fields.text("node")?, fields.text("serviceid")?, fields.text("checkid")?);
    let what = match (node.is_empty(), service.is_empty(), check.is_empty()) {
        (true, _, _) => Err(Failure::Rejected("Must provide node".into())),
        (_, false, _) => Ok(Deregistration::Service(node.into(), service.into())),
        (_, _, false) => Ok(Deregistration::Check(node.into(), check.into())),
        _ => Ok(Deregistration::Node(node.into())),
    };
    Ok(Addressed { datacenter, write: what.map(Command::Deregister) })
}

struct Parts {
    node: Node,
    node_id: SmolStr,
    skip_node_update: bool,
    service: Option<Service>,
    checks: Vec<Check>,
}

impl Parts {
    fn into_command(mut self) -> Result<Command, Failure> {
        if self.node.name.is_empty() {
            return Err(Failure::Rejected("Must provide node".into()));
        }
        if !self.node_id.is_empty() {
            let id = Uuid::try_parse(&self.node_id);
            self.node.id = Some(id.map_err(|error| Failure::Rejected(format!("Bad node ID: {error}")))?);
        }
        if self.node.address.is_empty() && !self.skip_node_update {
            return Err(Failure::Rejected("Must provide address if SkipNodeUpdate is not set".into()));
        }
        if let Some(service) = &self.service
            && service.name.is_empty()
            && !service.id.is_empty()
        {
            return Err(Failure::Rejected("Must provide service name (Service.Service) when ID is provided".into()));
        }
        for check in &mut self.checks {
            complete_check(check, &self.node.name)?;
        }
        // A service without name and ID is nothing anybody could look up: the node alone is registered.
        let service = self.service.filter(|service| !service.name.is_empty());
        let registration =
            Registration { node: self.node, skip_node_update: self.skip_node_update, service, checks: self.checks };
        Ok(Command::Register(Box::new(registration)))
    }
}

fn complete_check(check: &mut Check, node: &NodeName) -> Result<(), Failure> {
    if !check.node.is_empty() && check.node.key() != node.key() {
        return Err(Failure::Rejected(format!(
            "check {:?} is of node {:?}, but the registration is of node {:?}",
            check.id.as_str(),
            check.node.as_str(),
            node.as_str()
        )));
    }
    check.node = node.clone();
    if check.id.is_empty() {
        check.id = check.name.clone().into();
    }
    if check.id.is_empty() {
        return Err(Failure::Rejected("Must provide check ID (CheckID) or name (Name)".into()));
    }
    Ok(())
}

fn node(fields: &mut Fields<'_>) -> Result<Node, DefinitionError> {
    Ok(Node {
        name: fields.text("node")?.into(),
        address: fields.text("address")?,
        tagged_addresses: fields.map("taggedaddresses")?,
        meta: fields.map("nodemeta")?,
        ..Node::default()
    })
}

pub(super) fn service(mut fields: Fields<'_>) -> Result<Service, DefinitionError> {
    let (id, name) = (fields.text("id")?, fields.text("service")?);
    Ok(Service {
        id: if id.is_empty() { name.clone().into() } else { id.into() },
        name: name.into(),
        tags: fields.texts("tags")?,
        address: fields.text("address")?,
        port: fields.number("port")?.unwrap_or_default(),
        meta: fields.map("meta")?,
        tagged_addresses: tagged_addresses(&mut fields)?,
        weights: weights(&mut fields)?,
        enable_tag_override: fields.flag("enabletagoverride")?,
        origin: Origin::Catalog,
        ..Service::default()
    })
}

fn checks(fields: &mut Fields<'_>) -> Result<Vec<Check>, DefinitionError> {
    let one = fields.take("check").map(|(_, check)| ("Check".to_string(), check));
    let many = fields.list("checks")?.iter().enumerate().map(|(n, check)| (format!("Checks[{n}]"), check));
    let read = |(place, value): (String, &Value)| {
        Fields::of(value, Strictness::Body).and_then(check).map_err(|error| error.within(place))
    };
    many.chain(one).map(read).collect()
}

pub(super) fn check(mut fields: Fields<'_>) -> Result<Check, DefinitionError> {
    let shown = |span: Option<std::time::Duration>| span.map(duration::show).unwrap_or_default().into();
    Ok(Check {
        node: fields.text("node")?.into(),
        id: fields.text("checkid")?.into(),
        name: fields.text("name")?,
        status: status(&fields.text("status")?)?,
        notes: fields.text("notes")?,
        output: fields.text("output")?,
        service_id: fields.text("serviceid")?.into(),
        kind: fields.text("type")?,
        interval: shown(fields.optional_duration("interval")?),
        timeout: shown(fields.optional_duration("timeout")?),
        definition: fields.fields("definition")?.map(definition).transpose()?.unwrap_or_default().into(),
        origin: Origin::Catalog,
        ..Check::default()
    })
}

/// The status of that name; critical where none is given.
///
/// # Errors
/// For a name that is none.
pub fn status(text: &str) -> Result<Status, DefinitionError> {
    if text.is_empty() {
        return Ok(Status::default());
    }
    Status::parse(text).ok_or_else(|| DefinitionError::invalid(format!("Invalid check status: '{text}'")))
}

fn definition(mut fields: Fields<'_>) -> Result<CheckDefinition, DefinitionError> {
    let mut definition = check_definition(&mut fields)?;
    // Clients also write the spans under these longer names, in nanoseconds.
    for (span, name) in [
        (&mut definition.interval, "intervalduration"),
        (&mut definition.timeout, "timeoutduration"),
        (&mut definition.deregister_critical_service_after, "deregistercriticalserviceafterduration"),
    ] {
        if span.is_zero() {
            *span = fields.duration(name)?;
        }
    }
    Ok(definition)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Weights;

    fn registration(body: &str) -> Result<Registration, Failure> {
        match register(body.as_bytes())?.write? {
            Command::Register(registration) => Ok(*registration),
            other => panic!("not a registration: {other:?}"),
        }
    }

    #[test]
    fn a_service_takes_its_name_as_id_and_a_check_its_node() {
        let body = r#"{"node": "N", "address": "10.0.0.1", "service": {"service": "web", "PORT": 80},
            "check": {"name": "alive", "status": "Passing", "definition": {"Interval": "5s", "TimeoutDuration": 1000000000}}}"#;
        let registration = registration(body).unwrap();
        let service = registration.service.unwrap();
        assert_eq!((service.id.as_str(), service.port, service.weights), ("web", 80, Weights::default()));
        let check = &registration.checks[0];
        assert_eq!((check.id.as_str(), check.node.as_str(), check.status), ("alive", "N", Status::Passing));
        assert_eq!(duration::show(check.definition.timeout), "1s");
    }

    #[test]
    fn refusals() {
        let node = |rest: &str| format!(r#"{{"Node": "n", "Address": "10.0.0.1"{rest}}}"#);
        for (body, status, sentence) in [
            ("{}".to_string(), 500, "Must provide node"),
            (r#"{"Node": "n"}"#.to_string(), 500, "Must provide address if SkipNodeUpdate is not set"),
            (node(r#", "ID": "x""#), 500, "Bad node ID: "),
            (node(r#", "Service": {"ID": "a"}"#), 500, "Must provide service name (Service.Service)"),
            (node(r#", "Service": {"Service": "a", "Port": 65536}"#), 400, "Request decode failed: Service: Port: "),
            (node(r#", "Service": {"Service": "a", "Port": -1}"#), 400, "Request decode failed: Service: Port: "),
            (node(r#", "Check": {"Name": "c", "Status": "fine"}"#), 400, "Invalid check status: 'fine'"),
            (node(r#", "Check": {}"#), 500, "Must provide check ID"),
            (node(r#", "Check": {"Name": "c", "Node": "m"}"#), 500, "check \"\" is of node \"m\""),
            ("null".to_string(), 400, "Request decode failed: "),
        ] {
            let failure = registration(&body).unwrap_err();
            assert_eq!(failure.status().as_u16(), status, "{body}");
            assert!(failure.to_string().starts_with(sentence), "{body}: {failure}");
        }
    }

    #[test]
    fn a_service_without_a_name_leaves_the_node_alone() {
        let registration = registration(r#"{"Node": "x", "Address": "10.0.0.1", "Service": {"Port": 1}}"#).unwrap();
        assert_eq!(registration.service, None);
    }

    #[test]
    fn deregistrations_name_the_smallest_thing() {
        for (body, what) in [
            (r#"{"Node": "n"}"#, Deregistration::Node("n".into())),
            (r#"{"Node": "n", "ServiceID": "s", "CheckID": "c"}"#, Deregistration::Service("n".into(), "s".into())),
            (r#"{"Node": "n", "CheckID": "c"}"#, Deregistration::Check("n".into(), "c".into())),
        ] {
            assert_eq!(deregister(body.as_bytes()).unwrap().write, Ok(Command::Deregister(what)));
        }
        let nothing = deregister(b"{}").unwrap().write.unwrap_err();
        assert_eq!(nothing, Failure::Rejected("Must provide node".into()));
    }

    /// JSON with the keys of a registration and anything below them.
    fn any_body() -> impl Strategy<Value = Value> {
        let key = prop::sample::select(vec![
            "Node",
            "Address",
            "ID",
            "Service",
            "Service",
            "Check",
            "Checks",
            "Port",
            "Weights",
            "Passing",
            "Meta",
            "TaggedAddresses",
            "Definition",
            "Interval",
            "Status",
            "Name",
            "CheckID",
            "SkipNodeUpdate",
            "Tags",
        ]);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
            Just("passing".into()),
        ];
        leaf.prop_recursive(4, 32, 6, move |inner| {
            let object = prop::collection::btree_map(key.clone(), inner.clone(), 0..6);
            prop_oneof![
                prop::collection::vec(inner, 0..3).prop_map(Value::from),
                object.prop_map(|map| map.into_iter().map(|(key, value)| (key.to_string(), value)).collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_body_panics(body in any_body(), bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            for body in [body.to_string().into_bytes(), bytes] {
                for result in [register(&body), deregister(&body)] {
                    if let Err(failure) = result {
                        prop_assert_eq!(failure.status().as_u16(), 400);
                    }
                }
            }
        }
    }
}
