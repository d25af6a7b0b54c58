//! Expressions of `?filter=`: refused with a reason, or a verdict on a row. The first byte chooses the schema.

use std::sync::LazyLock;

use lictor_shared::filter::{Filter, schema};
use serde_json::{Value, json};

static ROW: LazyLock<Value> = LazyLock::new(|| {
    json!({
        "ID": "1", "Node": {"Node": "n", "Meta": {"rack": "r1"}, "TaggedAddresses": {"lan": "10.0.0.1"}},
        "Service": {"Service": "web", "Tags": ["a", "b"], "Meta": {"version": "2"}, "Port": 80, "Weights": {"Passing": 1}},
        "Checks": [{"Status": "passing", "Name": "c"}], "Tags": ["a"], "Meta": {"k": "v"}, "Name": "web", "Port": 80,
        "Status": "passing", "ServiceTags": ["x"], "Datacenter": "dc1", "Address": "10.0.0.1"
    })
});

/// Reads an expression and asks it.
pub fn run(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let schemas = [
        &schema::CATALOG_NODE,
        &schema::CATALOG_SERVICE,
        &schema::HEALTH_SERVICE,
        &schema::HEALTH_CHECK,
        &schema::NODE_DUMP,
        &schema::AGENT_SERVICE,
    ];
    match Filter::parse(text, schemas[usize::from(*choice) % schemas.len()]) {
        Ok(filter) => drop(filter.matches(&ROW)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
