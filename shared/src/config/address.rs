//! Address templates: `{{ GetInterfaceIP "eth0" }}` in an address stands for what the host has.
//!
//! This is the part of go-sockaddr's language that files use. A source gives interfaces or a text:
//!
//! ```text
//! GetPrivateIP GetPublicIP GetPrivateIPs GetPublicIPs GetInterfaceIP NAME GetInterfaceIPs NAME
//! GetAllInterfaces GetPrivateInterfaces GetPublicInterfaces
//! ```
//!
//! and filters work on interfaces: `include`/`exclude` by `name` (a regular expression), `address`, `network` (a CIDR),
//! `type` (`IPv4`, `IPv6`, `IP`), `rfc` (`1918`, `6890`) or `flags` (`forwardable`, `loopback`, `up`); `sort` by `address`,
//! `name`, `size`, `type`, each with a `-` for the other way; `limit N`; and at the end `attr "address"` or `"name"` (of the
//! first) or `join "address" " "`. Anything else is an error that says so.

use std::{
    cmp::{Ordering, Reverse},
    net::{IpAddr, Ipv4Addr},
};

use regex::Regex;

use super::host::Interface;

/// Fills in the templates of `text`.
///
/// # Errors
/// What is no template of this language, or finds no interface.
pub fn expand(text: &str, interfaces: &[Interface]) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (template, after) = after.split_once("}}").ok_or_else(|| format!("{text:?}: \"{{{{\" without \"}}}}\""))?;
        let value = evaluate(template, interfaces).map_err(|problem| format!("{{{{{template}}}}}: {problem}"))?;
        expanded += before;
        expanded += &value;
        rest = after;
    }
    Ok(expanded + rest)
}

/// What one step hands to the next.
enum Flow {
    Interfaces(Vec<Interface>),
    Text(String),
}

fn evaluate(template: &str, interfaces: &[Interface]) -> Result<String, String> {
    let mut steps = steps(template)?.into_iter();
    let first = steps.next().unwrap_or_default();
    let mut flow = source(&words(&first), interfaces)?;
    for step in steps {
        let Flow::Interfaces(found) = flow else {
            return Err(format!("nothing can follow an address, as {step:?} does"));
        };
        flow = apply(&words(&step), found)?;
    }
    match flow {
        Flow::Text(text) => Ok(text),
        Flow::Interfaces(_) => Err("it gives interfaces (end it with | attr \"address\")".into()),
    }
}

/// One word, as written in quotes or bare.
type Step = Vec<String>;

fn words(step: &Step) -> Vec<&str> {
    step.iter().map(String::as_str).collect()
}

/// Parts at `|`, each of words at blanks; quotes (`"` or a backtick) keep both.
fn steps(template: &str) -> Result<Vec<Step>, String> {
    let mut steps = vec![Step::new()];
    let mut rest = template.trim().trim_matches('-').trim_start();
    while let Some(c) = rest.chars().next() {
        let (word, after) = match c {
            '|' => {
                steps.push(Step::new());
                rest = rest[1..].trim_start();
                continue;
            }
            '"' | '`' => rest[1..].split_once(c).ok_or("a quote that is not closed")?,
            _ => rest.split_at(rest.find(|c: char| c.is_whitespace() || c == '|').unwrap_or(rest.len())),
        };
        if let Some(step) = steps.last_mut() {
            step.push(word.into());
        }
        rest = after.trim_start();
    }
    Ok(steps)
}

fn source(words: &[&str], interfaces: &[Interface]) -> Result<Flow, String> {
    let of = |keep: &dyn Fn(&Interface) -> bool| {
        let mut kept: Vec<Interface> = interfaces.iter().filter(|interface| keep(interface)).cloned().collect();
        kept.sort_by_key(|interface| (interface.address.is_ipv6(), Reverse(interface.prefix)));
        kept
    };
    let private = |i: &Interface| is_forwardable(i.address) && is_reserved(i.address);
    let public = |i: &Interface| is_forwardable(i.address) && !is_reserved(i.address);
    match words {
        ["GetAllInterfaces"] => Ok(Flow::Interfaces(interfaces.to_vec())),
        ["GetPrivateInterfaces"] => Ok(Flow::Interfaces(of(&private))),
        ["GetPublicInterfaces"] => Ok(Flow::Interfaces(of(&public))),
        ["GetPrivateIP"] => first(&of(&private), "private address"),
        ["GetPublicIP"] => first(&of(&public), "public address"),
        ["GetPrivateIPs"] => join(&of(&private), "address", " "),
        ["GetPublicIPs"] => join(&of(&public), "address", " "),
        ["GetInterfaceIP", name] => first(&of(&|i| i.name == *name), &format!("interface {name:?} with an address")),
        ["GetInterfaceIPs", name] => join(&of(&|i| i.name == *name), "address", " "),
        [] => Err("it is empty (such as {{ GetPrivateIP }})".into()),
        [name, ..] => Err(format!(
            "{name:?} is not known, or not with these arguments (there are GetPrivateIP, GetPublicIP, GetInterfaceIP \"eth0\", \
             GetAllInterfaces and some more)"
        )),
    }
}

fn first(found: &[Interface], what: &str) -> Result<Flow, String> {
    let first = found.first().ok_or_else(|| format!("this host has no {what}"))?;
    Ok(Flow::Text(first.address.to_string()))
}

fn join(found: &[Interface], attribute: &str, between: &str) -> Result<Flow, String> {
    if found.is_empty() {
        return Err("no interface of this host is left".into());
    }
    let values: Result<Vec<String>, String> = found.iter().map(|interface| value(interface, attribute)).collect();
    Ok(Flow::Text(values?.join(between)))
}

fn value(interface: &Interface, attribute: &str) -> Result<String, String> {
    match attribute {
        "address" => Ok(interface.address.to_string()),
        "name" => Ok(interface.name.clone()),
        other => Err(format!("unknown attribute {other:?} (there are address and name)")),
    }
}

fn apply(words: &[&str], mut found: Vec<Interface>) -> Result<Flow, String> {
    match words {
        ["include" | "exclude", selector, argument] => {
            let matches = matcher(selector, argument)?;
            found.retain(|interface| matches(interface) == (words[0] == "include"));
        }
        ["sort", keys] => sort(&mut found, keys)?,
        ["limit", count] => found.truncate(count.parse().map_err(|_| format!("limit: {count:?} is no number"))?),
        ["attr", attribute] => {
            found.truncate(1);
            return join(&found, attribute, " ");
        }
        ["join", attribute, between] => return join(&found, attribute, between),
        _ => {
            return Err(format!(
                "{:?} is not known, or not with these arguments (there are include, exclude, sort, limit, attr and join)",
                words.join(" ")
            ));
        }
    }
    Ok(Flow::Interfaces(found))
}

type Matcher = Box<dyn Fn(&Interface) -> bool>;

fn matcher(selector: &str, argument: &str) -> Result<Matcher, String> {
    let unknown = || format!("include {selector:?} does not know {argument:?}");
    Ok(match (selector, argument) {
        ("name", pattern) => {
            let pattern = Regex::new(pattern).map_err(|_| format!("{pattern:?} is no regular expression"))?;
            Box::new(move |i| pattern.is_match(&i.name))
        }
        ("address", address) => {
            let address: IpAddr = address.parse().map_err(|_| unknown())?;
            Box::new(move |i| i.address == address)
        }
        ("network", network) => {
            let (base, prefix) = network.split_once('/').ok_or_else(unknown)?;
            let (base, prefix): (IpAddr, u8) =
                (base.parse().map_err(|_| unknown())?, prefix.parse().map_err(|_| unknown())?);
            Box::new(move |i| in_network(i.address, base, prefix))
        }
        ("type", "IPv4" | "ipv4") => Box::new(|i| i.address.is_ipv4()),
        ("type", "IPv6" | "ipv6") => Box::new(|i| i.address.is_ipv6()),
        ("type", "IP" | "ip") | ("flags", "up") => Box::new(|_| true),
        ("flags", "loopback") => Box::new(|i| i.address.is_loopback()),
        ("flags", "forwardable") => Box::new(|i| is_forwardable(i.address)),
        ("rfc", "1918") => Box::new(|i| matches!(i.address, IpAddr::V4(v4) if v4.is_private())),
        ("rfc", "6890") => Box::new(|i| is_reserved(i.address)),
        ("type" | "flags" | "rfc", _) => return Err(unknown()),
        _ => {
            return Err(format!(
                "unknown selector {selector:?} (there are name, address, network, type, rfc and flags)"
            ));
        }
    })
}

fn sort(found: &mut [Interface], keys: &str) -> Result<(), String> {
    for key in keys.split(',').rev() {
        let (backwards, name) = match key.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, key.strip_prefix('+').unwrap_or(key)),
        };
        let compare: fn(&Interface, &Interface) -> Ordering = match name {
            "address" => |a, b| a.address.cmp(&b.address),
            "name" => |a, b| a.name.cmp(&b.name),
            "size" => |a, b| b.prefix.cmp(&a.prefix),
            "type" => |a, b| a.address.is_ipv6().cmp(&b.address.is_ipv6()),
            other => return Err(format!("sort: unknown key {other:?} (there are address, name, size and type)")),
        };
        found.sort_by(|a, b| if backwards { compare(b, a) } else { compare(a, b) });
    }
    Ok(())
}

/// Whether `address` is in the network of the first `prefix` bits of `base`.
fn in_network(address: IpAddr, base: IpAddr, prefix: u8) -> bool {
    let same = |a: u128, b: u128, bits: u32| prefix == 0 || (a ^ b) >> bits.saturating_sub(u32::from(prefix)) == 0;
    match (address, base) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

/// Whether packets to it may pass a router.
fn is_forwardable(address: IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(link_local || address.is_loopback() || address.is_multicast() || address.is_unspecified())
}

/// Whether it is special by RFC 6890: private, shared, for documents or tests, and the like.
fn is_reserved(address: IpAddr) -> bool {
    const SPECIAL_V4: [([u8; 4], u8); 14] = [
        ([0, 0, 0, 0], 8),
        ([10, 0, 0, 0], 8),
        ([100, 64, 0, 0], 10),
        ([127, 0, 0, 0], 8),
        ([169, 254, 0, 0], 16),
        ([172, 16, 0, 0], 12),
        ([192, 0, 0, 0], 24),
        ([192, 0, 2, 0], 24),
        ([192, 88, 99, 0], 24),
        ([192, 168, 0, 0], 16),
        ([198, 18, 0, 0], 15),
        ([198, 51, 100, 0], 24),
        ([203, 0, 113, 0], 24),
        ([240, 0, 0, 0], 4),
    ];
    match address {
        IpAddr::V4(_) => {
            SPECIAL_V4.iter().any(|(base, prefix)| in_network(address, Ipv4Addr::from(*base).into(), *prefix))
        }
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            let documents = first == 0x2001 && (second == 0x0db8 || second < 0x0200);
            documents || v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback() || v6.is_unspecified()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interfaces() -> Vec<Interface> {
        let of = |name: &str, address: &str, prefix| Interface {
            name: name.into(),
            address: address.parse().expect("an address"),
            prefix,
        };
        vec![
            of("lo", "127.0.0.1", 8),
            of("lo", "::1", 128),
            of("eth0", "fe80::1", 64),
            of("eth0", "10.1.2.3", 16),
            of("eth1", "192.168.7.9", 24),
            of("eth2", "93.184.216.34", 24),
            of("docker0", "172.17.0.1", 16),
        ]
    }

    #[test]
    fn templates_stand_for_what_the_host_has() {
        let table = [
            ("10.0.0.1", "10.0.0.1"),
            ("{{ GetInterfaceIP \"eth0\" }}", "10.1.2.3"),
            ("{{GetInterfaceIP `eth1`}} 127.0.0.1", "192.168.7.9 127.0.0.1"),
            ("{{ GetInterfaceIPs \"lo\" }}", "127.0.0.1 ::1"),
            ("{{ GetPrivateIP }}", "192.168.7.9"),
            ("{{ GetPublicIP }}", "93.184.216.34"),
            ("{{ GetAllInterfaces | include \"network\" \"10.0.0.0/8\" | attr \"address\" }}", "10.1.2.3"),
            (
                "{{ GetPrivateInterfaces | exclude \"name\" \"docker.*\" | sort \"-address\" | attr \"address\" }}",
                "192.168.7.9",
            ),
            ("{{ GetPrivateInterfaces | exclude \"name\" \"^(docker|eth1)\" | join \"address\" \" \" }}", "10.1.2.3"),
            (
                "{{ GetAllInterfaces | include \"rfc\" \"1918\" | sort \"name\" | limit 2 | join \"address\" \" \" }}",
                "172.17.0.1 10.1.2.3",
            ),
            (
                "{{ GetAllInterfaces | include \"type\" \"IPv4\" | include \"flags\" \"loopback\" | attr \"name\" }}",
                "lo",
            ),
        ];
        for (text, expected) in table {
            assert_eq!(expand(text, &interfaces()).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_template_is_told() {
        let table = [
            ("{{ GetPrivateIP", "without \"}}\""),
            ("{{ }}", "it is empty"),
            ("{{ GetDefaultGateway }}", "\"GetDefaultGateway\" is not known"),
            ("{{ GetInterfaceIP \"eth9\" }}", "this host has no interface \"eth9\" with an address"),
            ("{{ GetInterfaceIP \"eth0 }}", "a quote that is not closed"),
            ("{{ GetAllInterfaces }}", "it gives interfaces (end it with | attr \"address\")"),
            ("{{ GetPrivateIP | attr \"address\" }}", "nothing can follow an address"),
            ("{{ GetAllInterfaces | include \"network\" \"x\" | attr \"address\" }}", "does not know \"x\""),
            (
                "{{ GetAllInterfaces | include \"name\" \"eth9\" | attr \"address\" }}",
                "no interface of this host is left",
            ),
            ("{{ GetAllInterfaces | include \"colour\" \"red\" }}", "unknown selector \"colour\""),
            ("{{ GetAllInterfaces | unique \"name\" }}", "\"unique name\" is not known"),
        ];
        for (text, expected) in table {
            let error = expand(text, &interfaces()).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn the_network_of_no_bits_has_every_address() {
        assert!(in_network([1, 2, 3, 4].into(), [0, 0, 0, 0].into(), 0));
        assert!(!in_network([1, 2, 3, 4].into(), [1, 2, 3, 5].into(), 32));
        assert!(
            in_network([1, 2, 3, 4].into(), [1, 2, 3, 4].into(), 255),
            "a prefix that is too long is the address itself"
        );
    }
}
