//! Names and record data. Pure; what cannot be a DNS name or string gives `None`, never a broken record.

use std::net::IpAddr;

use hickory_proto::rr::{
    Name, RData, Record, RecordType,
    rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT},
};

use super::Settings;
use crate::{catalog::Instance, model::Node};

/// The longest string in a TXT record (RFC 1035, section 3.3).
const MAX_STRING_BYTES: usize = 255;

/// A name from text: labels between dots, a dot at the end optional, any bytes in between.
pub(super) fn host_name(text: &str) -> Option<Name> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() { Some(Name::root()) } else { append(Name::root(), text) }
}

fn append(name: Name, labels: &str) -> Option<Name> {
    labels.split('.').try_fold(name, |name, label| name.append_label(label.as_bytes()).ok())
}

fn in_domain(labels: &[&str], domain: &Name) -> Option<Name> {
    let name = labels.iter().try_fold(Name::root(), |name, label| append(name, label))?;
    name.append_domain(domain).ok()
}

/// `NODE.node.DC.DOMAIN`.
pub(super) fn node_name(node: &Node, settings: &Settings, domain: &Name) -> Option<Name> {
    in_domain(&[&node.name, "node", &settings.datacenter], domain)
}

/// `SERVICE.service.DC.DOMAIN`.
pub(super) fn service_name(service: &str, settings: &Settings, domain: &Name) -> Option<Name> {
    in_domain(&[service, "service", &settings.datacenter], domain)
}

/// `HEX.addr.DC.DOMAIN`, a name for an address that has none.
pub(super) fn address_name(ip: IpAddr, settings: &Settings, domain: &Name) -> Option<Name> {
    let digits = match ip {
        IpAddr::V4(ip) => format!("{:08x}", u32::from(ip)),
        IpAddr::V6(ip) => format!("{:032x}", u128::from(ip)),
    };
    in_domain(&[&digits, "addr", &settings.datacenter], domain)
}

/// Whether an answer to a question of that type may have this address. Other types than the address types and SRV's
/// additional records get them where clients that ask so expect them: ANY, and TXT and NS for want of those.
pub(super) fn fits(asked: RecordType, ip: IpAddr) -> bool {
    match asked {
        RecordType::ANY | RecordType::TXT | RecordType::NS => true,
        RecordType::A => ip.is_ipv4(),
        RecordType::AAAA => ip.is_ipv6(),
        _ => false,
    }
}

/// A or AAAA.
pub(super) fn address(name: Name, ttl: u32, ip: IpAddr) -> Record {
    let data = match ip {
        IpAddr::V4(ip) => RData::A(A(ip)),
        IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    };
    Record::from_rdata(name, ttl, data)
}

/// CNAME.
pub(super) fn alias(name: Name, ttl: u32, target: Name) -> Record {
    Record::from_rdata(name, ttl, RData::CNAME(CNAME(target)))
}

/// PTR.
pub(super) fn pointer(name: Name, ttl: u32, target: Name) -> Record {
    Record::from_rdata(name, ttl, RData::PTR(PTR(target)))
}

/// NS.
pub(super) fn name_server(domain: &Name, ttl: u32, target: Name) -> Record {
    Record::from_rdata(domain.clone(), ttl, RData::NS(NS(target)))
}

/// SRV (RFC 2782), with the instance's weight in its present state and priority 1.
pub(super) fn server(name: Name, ttl: u32, instance: &Instance, target: Name) -> Record {
    let weight = u16::try_from(instance.weight()).unwrap_or(u16::MAX);
    Record::from_rdata(name, ttl, RData::SRV(SRV::new(1, weight, instance.service.port, target)))
}

/// The SOA of a domain. The serial is the state's index: it grows with every change, and needs no clock.
pub(super) fn authority(settings: &Settings, domain: &Name, index: u64) -> Record {
    let within = |label: &str| in_domain(&[label], domain).unwrap_or_else(|| domain.clone());
    let time = |seconds: u32| i32::try_from(seconds).unwrap_or(i32::MAX);
    let soa = settings.soa;
    let serial = (index & u64::from(u32::MAX)) as u32;
    let (refresh, retry, expire) = (time(soa.refresh), time(soa.retry), time(soa.expire));
    let data = SOA::new(within("ns"), within("hostmaster"), serial, refresh, retry, expire, soa.min_ttl);
    Record::from_rdata(domain.clone(), soa.min_ttl, RData::SOA(data))
}

/// One TXT record per pair of the node's meta.
pub(super) fn meta<'n>(name: &'n Name, ttl: u32, node: &'n Node) -> impl Iterator<Item = Record> + 'n {
    node.meta.iter().map(move |(key, value)| {
        let text = attribute(key, value);
        let strings = text.as_bytes().chunks(MAX_STRING_BYTES).collect();
        Record::from_rdata(name.clone(), ttl, RData::TXT(TXT::from_bytes(strings)))
    })
}

/// `key=value` by RFC 1464: in the key, `=`, the back-quote, tabs, and spaces at its ends are quoted. A key that
/// begins with `rfc1035-` says that the value is the whole text.
fn attribute(key: &str, value: &str) -> String {
    if key.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("rfc1035-")) {
        return value.into();
    }
    let inner = key.trim_matches(' ').len();
    let leading = key.len() - key.trim_start_matches(' ').len();
    let mut text = String::with_capacity(key.len() + value.len() + 1);
    for (place, c) in key.char_indices() {
        let outer_space = c == ' ' && !(leading..leading + inner).contains(&place);
        if matches!(c, '=' | '`' | '\t') || outer_space {
            text.push('`');
        }
        text.push(c);
    }
    text + "=" + value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_is_written_by_rfc_1464() {
        let table = [
            ("rack", "r1", "rack=r1"),
            ("consul-network-segment", "", "consul-network-segment="),
            ("a=b", "c=d", "a`=b=c=d"),
            ("tick`", " x ", "tick``= x "),
            (" in out ", "v", "` in out` =v"),
            ("tab\there", "v", "tab`\there=v"),
            ("RFC1035-spf", "v=spf1 -all", "v=spf1 -all"),
            ("", "v", "=v"),
        ];
        for (key, value, text) in table {
            assert_eq!(attribute(key, value), text, "{key:?}");
        }
    }

    #[test]
    fn names_that_do_not_fit_are_none() {
        let settings = Settings::default();
        let node = |name: &str| Node { name: name.into(), ..Node::default() };
        let name = |text: &str| node_name(&node(text), &settings, &settings.domain).map(|name| name.to_string());
        assert_eq!(name("n1").as_deref(), Some("n1.node.dc1.consul."));
        assert_eq!(name("Rack.One").as_deref(), Some("Rack.One.node.dc1.consul."));
        for bad in ["", "a..b", ".", &"x".repeat(64), &["abcdefghi"; 26].join(".")] {
            assert_eq!(name(bad), None, "{bad:?}");
        }
    }
}
