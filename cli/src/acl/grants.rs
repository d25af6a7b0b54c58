//! What tokens and roles are given: policies, roles, identities of services and nodes; as flags, and in the rows that are
//! written.

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::{
    asked::Asked,
    find::{self, Kind, POLICY, ROLE},
    row::Row,
};

/// Policies to give.
#[derive(Args, Debug, Default)]
pub struct PolicyFlags {
    /// A policy by its ID, or the beginning of it; may be given several times
    #[arg(long, value_name = "ID")]
    policy_id: Vec<String>,
    /// A policy by its name; may be given several times
    #[arg(long, value_name = "NAME")]
    policy_name: Vec<String>,
}

/// Roles to give.
#[derive(Args, Debug, Default)]
pub struct RoleFlags {
    /// A role by its ID, or the beginning of it; may be given several times
    #[arg(long, value_name = "ID")]
    role_id: Vec<String>,
    /// A role by its name; may be given several times
    #[arg(long, value_name = "NAME")]
    role_name: Vec<String>,
}

/// Identities to give.
#[derive(Args, Debug, Default)]
pub struct IdentityFlags {
    /// What a service of this name needs, in all datacenters or these; may be given several times
    #[arg(long, value_name = "NAME[:DC,...]", value_parser = service_identity)]
    service_identity: Vec<Value>,
    /// What the agent of this node needs; may be given several times
    #[arg(long, value_name = "NAME:DC", value_parser = node_identity)]
    node_identity: Vec<Value>,
}

/// `NAME` or `NAME:DC,DC`.
pub fn service_identity(text: &str) -> Result<Value, String> {
    let wrong = || format!("{text:?} is not NAME or NAME:DATACENTER,DATACENTER (try web:dc1)");
    let (name, datacenters) = match text.split_once(':') {
        Some((name, datacenters)) => (name, datacenters.split(',').collect()),
        None => (text, Vec::new()),
    };
    if name.is_empty() || datacenters.iter().any(|datacenter: &&str| datacenter.is_empty()) {
        return Err(wrong());
    }
    let mut identity = json!({ "ServiceName": name });
    if !datacenters.is_empty() {
        identity["Datacenters"] = json!(datacenters);
    }
    Ok(identity)
}

/// `NAME:DC`.
pub fn node_identity(text: &str) -> Result<Value, String> {
    match text.split_once(':') {
        Some((name, datacenter)) if !name.is_empty() && !datacenter.is_empty() && !datacenter.contains(':') => {
            Ok(json!({ "NodeName": name, "Datacenter": datacenter }))
        }
        _ => Err(format!("{text:?} is not NAME:DATACENTER (try host-1:dc1)")),
    }
}

/// Things of one sort that are given, and where they are in a row.
pub struct Given {
    key: &'static str,
    things: Vec<Value>,
}

/// Policies, by IDs that may be beginnings, and by names, which whoever keeps them finds.
///
/// # Errors
/// No policy, or more than one, has an ID that begins so.
pub async fn policies(asked: &Asked, ids: &[String], names: &[String]) -> anyhow::Result<Given> {
    Ok(Given { key: "Policies", things: links(asked, &POLICY, ids, names).await? })
}

/// Roles.
///
/// # Errors
/// As [`policies`].
pub async fn roles(asked: &Asked, ids: &[String], names: &[String]) -> anyhow::Result<Given> {
    Ok(Given { key: "Roles", things: links(asked, &ROLE, ids, names).await? })
}

/// Identities of services.
pub fn services(identities: &[Value]) -> Given {
    Given { key: "ServiceIdentities", things: identities.to_vec() }
}

/// Identities of nodes.
pub fn nodes(identities: &[Value]) -> Given {
    Given { key: "NodeIdentities", things: identities.to_vec() }
}

async fn links(asked: &Asked, kind: &Kind, ids: &[String], names: &[String]) -> anyhow::Result<Vec<Value>> {
    let mut links: Vec<Value> = names.iter().map(|name| json!({ "Name": name })).collect();
    for beginning in ids {
        let id = find::id(asked, kind, beginning).await;
        let id = id.with_context(|| format!("Error resolving {} ID {}", kind.noun, find::beginning(beginning)))?;
        links.push(json!({ "ID": id }));
    }
    Ok(links)
}

impl PolicyFlags {
    /// What they give.
    ///
    /// # Errors
    /// As [`policies`].
    pub async fn given(&self, asked: &Asked) -> anyhow::Result<Given> {
        policies(asked, &self.policy_id, &self.policy_name).await
    }
}

impl RoleFlags {
    /// What they give.
    ///
    /// # Errors
    /// As [`roles`].
    pub async fn given(&self, asked: &Asked) -> anyhow::Result<Given> {
        roles(asked, &self.role_id, &self.role_name).await
    }
}

impl IdentityFlags {
    /// What they give: services, nodes.
    pub fn given(&self) -> [Given; 2] {
        [services(&self.service_identity), nodes(&self.node_identity)]
    }
}

impl Given {
    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.things.is_empty()
    }

    /// Gives this instead of what the row has.
    pub fn replace(self, row: &mut Row) {
        row.insert(self.key.into(), Value::Array(self.things));
    }

    /// Gives this besides what the row has. What is given already is given once; of a service, its datacenters are those
    /// that were said last.
    pub fn add(self, row: &mut Row) {
        let mut things = match row.remove(self.key) {
            Some(Value::Array(things)) => things,
            _ => Vec::new(),
        };
        for new in self.things {
            match things.iter_mut().find(|thing| is_same(thing, &new)) {
                Some(thing) if new["ServiceName"].is_string() => *thing = new,
                Some(_) => {}
                None => things.push(new),
            }
        }
        row.insert(self.key.into(), Value::Array(things));
    }
}

/// Links are the same by ID or name, services by name, nodes by name and datacenter.
fn is_same(one: &Value, other: &Value) -> bool {
    let equal = |key: &str| one[key].is_string() && one[key] == other[key];
    equal("ID") || equal("Name") || equal("ServiceName") || (equal("NodeName") && equal("Datacenter"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_read() {
        for (text, expected) in [
            ("web", json!({"ServiceName": "web"})),
            ("web:dc1", json!({"ServiceName": "web", "Datacenters": ["dc1"]})),
            ("web:dc1,dc2", json!({"ServiceName": "web", "Datacenters": ["dc1", "dc2"]})),
        ] {
            assert_eq!(service_identity(text).unwrap(), expected);
        }
        for wrong in ["", ":dc1", "web:", "web:dc1,"] {
            assert!(service_identity(wrong).unwrap_err().contains("try web:dc1"), "{wrong}");
        }
        assert_eq!(node_identity("a:dc1").unwrap(), json!({"NodeName": "a", "Datacenter": "dc1"}));
        for wrong in ["", "a", ":dc1", "a:", "a:b:c"] {
            assert!(node_identity(wrong).unwrap_err().contains("try host-1:dc1"), "{wrong}");
        }
    }

    #[test]
    fn what_is_added_is_there_once() {
        let link = |id: &str, name: &str| json!({"ID": id, "Name": name});
        for (key, has, new, expected) in [
            ("Policies", json!([link("1", "a")]), json!([{"ID": "1"}, {"Name": "a"}]), json!([link("1", "a")])),
            ("Policies", json!([link("1", "a")]), json!([{"ID": "2"}]), json!([link("1", "a"), {"ID": "2"}])),
            ("Roles", Value::Null, json!([{"Name": "b"}, {"Name": "b"}]), json!([{"Name": "b"}])),
            (
                "ServiceIdentities",
                json!([{"ServiceName": "web"}]),
                json!([{"ServiceName": "web", "Datacenters": ["dc2"]}]),
                json!([{"ServiceName": "web", "Datacenters": ["dc2"]}]),
            ),
            (
                "NodeIdentities",
                json!([{"NodeName": "a", "Datacenter": "dc1"}]),
                json!([{"NodeName": "a", "Datacenter": "dc2"}, {"NodeName": "a", "Datacenter": "dc1"}]),
                json!([{"NodeName": "a", "Datacenter": "dc1"}, {"NodeName": "a", "Datacenter": "dc2"}]),
            ),
        ] {
            let mut row = Row::from_iter([(key.to_string(), has)]);
            Given { key, things: new.as_array().unwrap().clone() }.add(&mut row);
            assert_eq!(row[key], expected);
        }
    }
}
