//! Addresses of other datacenters' nodes and services as they are reached from here (`translate_wan_addrs`): those
//! tagged `wan`, in place of the ones that are good inside that datacenter.
//!
//! The answer is changed by who asks, where the setting is, and not by who gives it.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Of what an answer must be for there to be addresses in it.
const WITH_ADDRESSES: [&str; 3] = ["/v1/catalog/", "/v1/health/", "/v1/query/"];
/// The fields in which rows hold further rows.
const NESTED: [&str; 4] = ["Node", "Nodes", "Service", "Services"];

/// Whether an answer to that request may have addresses in it.
pub(super) fn has_addresses(target: &str) -> bool {
    WITH_ADDRESSES.iter().any(|prefix| target.starts_with(prefix))
}

/// The same answer with addresses translated; as it is where it is no JSON.
pub(super) fn translate(body: Bytes) -> Bytes {
    let Ok(mut value) = serde_json::from_slice(&body) else { return body };
    walk(&mut value);
    serde_json::to_vec(&value).map_or(body, Bytes::from)
}

/// The same of an answer that says which datacenter it is of, unless that is our own.
pub(super) fn translate_of_others(body: Bytes, own: &str) -> Bytes {
    #[derive(Deserialize)]
    struct Of {
        #[serde(rename = "Datacenter")]
        datacenter: String,
    }
    match serde_json::from_slice::<Of>(&body) {
        Ok(of) if !of.datacenter.eq_ignore_ascii_case(own) => translate(body),
        _ => body,
    }
}

fn walk(value: &mut Value) {
    match value {
        Value::Array(rows) => rows.iter_mut().for_each(walk),
        Value::Object(row) => {
            // A node has an address in each network, an instance an address and a port.
            replace(row, "TaggedAddresses", ["Address", "Port"]);
            replace(row, "ServiceTaggedAddresses", ["ServiceAddress", "ServicePort"]);
            for field in NESTED {
                match row.get_mut(field) {
                    // Services by ID.
                    Some(Value::Object(rows)) if field == "Services" => rows.values_mut().for_each(walk),
                    Some(nested) => walk(nested),
                    None => {}
                }
            }
        }
        _ => {}
    }
}

fn replace(row: &mut Map<String, Value>, tagged: &str, [address, port]: [&str; 2]) {
    let Some(wan) = row.get(tagged).and_then(|tagged| tagged.get("wan")).cloned() else { return };
    match wan {
        Value::String(text) if !text.is_empty() => {
            row.insert(address.into(), Value::String(text));
        }
        Value::Object(mut wan) => {
            let text = wan.remove("Address").filter(|text| text.as_str().is_some_and(|text| !text.is_empty()));
            let number = wan.remove("Port").filter(|number| number.as_u64().is_some_and(|number| number > 0));
            row.extend(text.map(|text| (address.to_owned(), text)));
            row.extend(number.map(|number| (port.to_owned(), number)));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tagged_addresses_take_the_place_of_others() {
        let node = |address: &str| json!({"Node": "n", "Address": address, "TaggedAddresses": {"lan": "10.0.0.1", "wan": "198.51.100.1"}});
        let service = |address: &str, port: u16| {
            json!({"ID": "s", "Address": address, "Port": port, "Meta": {"Address": "kept"},
                   "TaggedAddresses": {"wan": {"Address": "198.51.100.2", "Port": 443}}})
        };
        let plain = json!({"Node": "p", "Address": "10.0.0.9", "TaggedAddresses": null});
        let (near, far) = ((node("10.0.0.1"), service("", 80)), (node("198.51.100.1"), service("198.51.100.2", 443)));
        for (before, after) in [
            (json!([near.0, plain]), json!([far.0, plain])),
            (
                json!([{"Node": near.0, "Service": near.1, "Checks": []}]),
                json!([{"Node": far.0, "Service": far.1, "Checks": []}]),
            ),
            (json!({"Node": near.0, "Services": {"s": near.1}}), json!({"Node": far.0, "Services": {"s": far.1}})),
            (json!({"Nodes": [{"Node": near.0}]}), json!({"Nodes": [{"Node": far.0}]})),
            (
                json!([{"Address": "10.0.0.1", "ServiceAddress": "", "ServicePort": 80,
                        "ServiceTaggedAddresses": {"wan": {"Address": "198.51.100.2", "Port": 0}}}]),
                json!([{"Address": "10.0.0.1", "ServiceAddress": "198.51.100.2", "ServicePort": 80,
                        "ServiceTaggedAddresses": {"wan": {"Address": "198.51.100.2", "Port": 0}}}]),
            ),
            (json!({"web": ["a"]}), json!({"web": ["a"]})),
        ] {
            let translated = translate(serde_json::to_vec(&before).unwrap().into());
            assert_eq!(serde_json::from_slice::<Value>(&translated).unwrap(), after, "{before}");
        }
        assert_eq!(translate("No path".into()), "No path");
    }
}
