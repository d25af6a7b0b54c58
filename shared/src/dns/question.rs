//! What a name asks for. Pure: no catalog, no records.
//!
//! A name is read from its end: our domain, perhaps a datacenter, the kind (`service`, `node`, `query`, `addr`), and before it
//! what is looked up. Letter case makes no difference and is kept. Labels may hold any byte; what is not UTF-8 cannot
//! be in the catalog.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::{Name, RecordType};
use smol_str::SmolStr;

use super::Settings;

/// A name, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question<'s> {
    /// The one of our domains that was asked; names in the answer are in it too.
    pub domain: &'s Name,
    /// What is asked for.
    pub subject: Subject,
}

/// What a name can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The domain itself.
    Apex,
    /// `[tag.]NAME.service[.dc]` or, by RFC 2782, `_NAME._TAG[.service][.dc]`.
    Service {
        /// The service.
        name: SmolStr,
        /// Only instances that have it; it may contain dots.
        tag: Option<SmolStr>,
        /// None: ours.
        datacenter: Option<SmolStr>,
    },
    /// `NAME.node[.dc]`; the name may contain dots.
    Node {
        /// The node.
        name: SmolStr,
        /// None: ours.
        datacenter: Option<SmolStr>,
    },
    /// `NAME.query[.dc]` or, by RFC 2782, `_NAME._ANYTHING.query[.dc]`.
    Query {
        /// The prepared query's name or ID; it may contain dots.
        name: SmolStr,
        /// None: ours.
        datacenter: Option<SmolStr>,
    },
    /// `HEX.addr[.dc]`: the address that is written there, 8 or 32 hexadecimal digits.
    Address(IpAddr),
    /// `TEXT.addr[.dc]` of a length no address has.
    NoAddress,
    /// A name under `in-addr.arpa` or `ip6.arpa`, and the address it stands for where it is a whole one.
    Reverse(Option<IpAddr>),
    /// A name in our domain that cannot exist.
    Unknown,
    /// A name outside our domains.
    Elsewhere,
}

/// Reads `name`. The record type matters only for RFC 2782 names, which may leave out `service` in SRV questions.
#[must_use]
pub fn parse<'s>(name: &Name, record_type: RecordType, settings: &'s Settings) -> Question<'s> {
    let labels: Vec<&[u8]> = name.iter().collect();
    let domains = std::iter::once(&settings.domain).chain(&settings.alt_domain);
    let ours = domains.filter_map(|domain| Some((domain, before(&labels, domain)?)));
    if let Some((domain, rest)) = ours.min_by_key(|(_, rest)| rest.len()) {
        return Question { domain, subject: subject(rest, record_type) };
    }
    let subject = match labels.as_slice() {
        [rest @ .., a, b] if is(a, "in-addr") && is(b, "arpa") => Subject::Reverse(reverse_v4(rest)),
        [rest @ .., a, b] if is(a, "ip6") && is(b, "arpa") => Subject::Reverse(reverse_v6(rest)),
        _ => Subject::Elsewhere,
    };
    Question { domain: &settings.domain, subject }
}

fn is(label: &[u8], word: &str) -> bool {
    label.eq_ignore_ascii_case(word.as_bytes())
}

/// The labels before `domain`, where it is what `labels` end in.
fn before<'l, 'n>(labels: &'l [&'n [u8]], domain: &Name) -> Option<&'l [&'n [u8]]> {
    let rest = labels.len().checked_sub(domain.iter().count())?;
    let ends_so = labels[rest..].iter().zip(domain.iter()).all(|(a, b)| a.eq_ignore_ascii_case(b));
    ends_so.then(|| &labels[..rest])
}

fn subject(labels: &[&[u8]], record_type: RecordType) -> Subject {
    if labels.is_empty() {
        return Subject::Apex;
    }
    let Some(labels) = labels.iter().map(|label| std::str::from_utf8(label).ok()).collect::<Option<Vec<_>>>() else {
        return Subject::Unknown;
    };
    for (place, label) in labels.iter().enumerate().rev() {
        let (asked, after) = (&labels[..place], &labels[place + 1..]);
        let kind = ["service", "node", "addr", "query", "connect", "virtual", "ingress"]
            .into_iter()
            .find(|kind| label.eq_ignore_ascii_case(kind));
        match (kind, after) {
            (Some("service"), [] | [_]) => return service(asked, after),
            (Some("node"), [] | [_]) if !asked.is_empty() => {
                return Subject::Node { name: joined(asked), datacenter: datacenter(after) };
            }
            (Some("query"), [] | [_]) if !asked.is_empty() => return query(asked, after),
            (Some("addr"), [] | [_]) => return address(asked),
            (Some(_), _) => return Subject::Unknown,
            (None, [] | [_]) if record_type == RecordType::SRV && label.starts_with('_') => {
                return service(&labels[..=place], after);
            }
            (None, _) => {}
        }
    }
    Subject::Unknown
}

fn service(asked: &[&str], after: &[&str]) -> Subject {
    let (name, tag) = match asked {
        [] => return Subject::Unknown,
        [name, tag] if name.starts_with('_') && tag.starts_with('_') => {
            let any = ["_tcp", "_udp"].iter().any(|protocol| tag.eq_ignore_ascii_case(protocol));
            (SmolStr::new(&name[1..]), (!any).then(|| SmolStr::new(&tag[1..])))
        }
        [name] => (SmolStr::new(name), None),
        [tag @ .., name] => (SmolStr::new(name), Some(joined(tag))),
    };
    Subject::Service { name, tag, datacenter: datacenter(after) }
}

fn query(asked: &[&str], after: &[&str]) -> Subject {
    let name = match asked {
        [name, protocol] if name.starts_with('_') && protocol.starts_with('_') => SmolStr::new(&name[1..]),
        _ => joined(asked),
    };
    Subject::Query { name, datacenter: datacenter(after) }
}

fn datacenter(after: &[&str]) -> Option<SmolStr> {
    after.first().map(SmolStr::new)
}

fn joined(labels: &[&str]) -> SmolStr {
    match labels {
        [label] => SmolStr::new(label),
        _ => labels.join(".").into(),
    }
}

fn address(asked: &[&str]) -> Subject {
    let [digits] = asked else { return Subject::Unknown };
    let is_number = digits.bytes().all(|b| b.is_ascii_hexdigit());
    let ip: Option<IpAddr> = match digits.len() {
        8 => u32::from_str_radix(digits, 16).ok().map(|number| Ipv4Addr::from(number).into()),
        32 => u128::from_str_radix(digits, 16).ok().map(|number| Ipv6Addr::from(number).into()),
        _ => return Subject::NoAddress,
    };
    // The length alone would let a sign pass.
    ip.filter(|_| is_number).map_or(Subject::Unknown, Subject::Address)
}

/// RFC 1035, section 3.5: the four octets in decimal, last first.
fn reverse_v4(labels: &[&[u8]]) -> Option<IpAddr> {
    let mut octets = [0; 4];
    if labels.len() != octets.len() {
        return None;
    }
    for (octet, label) in octets.iter_mut().rev().zip(labels) {
        let text = std::str::from_utf8(label).ok()?;
        *octet = text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()?;
    }
    Some(Ipv4Addr::from(octets).into())
}

/// RFC 3596, section 2.5: the 32 nibbles in hexadecimal, last first.
fn reverse_v6(labels: &[&[u8]]) -> Option<IpAddr> {
    if labels.len() != 32 {
        return None;
    }
    let digit = |label: &[u8]| match label {
        [digit] => char::from(*digit).to_digit(16),
        _ => None,
    };
    let number = labels.iter().rev().try_fold(0_u128, |number, label| Some(number << 4 | u128::from(digit(label)?)))?;
    Some(Ipv6Addr::from(number).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings { alt_domain: Some(super::super::domain("alt.consul").expect("a domain")), ..Settings::default() }
    }

    fn subject_of(name: &str, record_type: RecordType) -> Subject {
        let name = super::super::records::host_name(name).expect("a name");
        parse(&name, record_type, &settings()).subject
    }

    fn service(name: &str, tag: &str, datacenter: &str) -> Subject {
        let some = |text: &str| (!text.is_empty()).then(|| SmolStr::new(text));
        Subject::Service { name: name.into(), tag: some(tag), datacenter: some(datacenter) }
    }

    fn node(name: &str, datacenter: &str) -> Subject {
        Subject::Node { name: name.into(), datacenter: (!datacenter.is_empty()).then(|| datacenter.into()) }
    }

    fn query(name: &str, datacenter: &str) -> Subject {
        Subject::Query { name: name.into(), datacenter: (!datacenter.is_empty()).then(|| datacenter.into()) }
    }

    #[test]
    fn names_and_what_they_ask_for() {
        let v4 = |text: &str| text.parse::<IpAddr>().expect("an address");
        let six = "20010db8000000000000000000000004";
        let reverse_six = format!("4.{}8.b.d.0.1.0.0.2.ip6.arpa.", "0.".repeat(23));
        let table = [
            ("consul.", Subject::Apex),
            ("CONSUL.", Subject::Apex),
            ("alt.consul.", Subject::Apex),
            ("db.service.consul.", service("db", "", "")),
            ("Db.SERVICE.Consul.", service("Db", "", "")),
            ("db.service.dc2.consul.", service("db", "", "dc2")),
            ("primary.db.service.consul.", service("db", "primary", "")),
            ("v1.2.db.service.dc1.consul.", service("db", "v1.2", "dc1")),
            ("service.service.consul.", service("service", "", "")),
            ("db.service.alt.consul.", service("db", "", "")),
            ("_db._tcp.service.consul.", service("db", "", "")),
            ("_db._UDP.service.consul.", service("db", "", "")),
            ("_db._primary.service.dc1.consul.", service("db", "primary", "dc1")),
            ("_db.service.consul.", service("_db", "", "")),
            ("_db._a._tcp.service.consul.", service("_tcp", "_db._a", "")),
            ("service.consul.", Subject::Unknown),
            ("db.service.a.b.consul.", Subject::Unknown),
            ("n1.node.consul.", node("n1", "")),
            ("n1.example.com.node.dc2.consul.", node("n1.example.com", "dc2")),
            ("node.consul.", Subject::Unknown),
            ("n1.node.a.b.consul.", Subject::Unknown),
            ("0a030001.addr.dc1.consul.", Subject::Address(v4("10.3.0.1"))),
            ("0A030001.addr.consul.", Subject::Address(v4("10.3.0.1"))),
            (&format!("{six}.addr.consul."), Subject::Address(v4("2001:db8::4"))),
            ("zzz.addr.consul.", Subject::NoAddress),
            ("zzzzzzzz.addr.consul.", Subject::Unknown),
            ("+a030001.addr.consul.", Subject::Unknown),
            ("a.0a030001.addr.consul.", Subject::Unknown),
            ("addr.consul.", Subject::Unknown),
            ("db.query.consul.", query("db", "")),
            ("geo.Db.query.dc2.consul.", query("geo.Db", "dc2")),
            ("_db._tcp.query.consul.", query("db", "")),
            ("_a._b._tcp.query.consul.", query("_a._b._tcp", "")),
            ("query.consul.", Subject::Unknown),
            ("db.query.a.b.consul.", Subject::Unknown),
            ("db.connect.consul.", Subject::Unknown),
            ("db.consul.", Subject::Unknown),
            ("_db._tcp.consul.", Subject::Unknown),
            ("1.0.3.10.in-addr.arpa.", Subject::Reverse(Some(v4("10.3.0.1")))),
            ("1.0.3.10.IN-ADDR.ARPA.", Subject::Reverse(Some(v4("10.3.0.1")))),
            ("0.3.10.in-addr.arpa.", Subject::Reverse(None)),
            ("1.1.0.3.10.in-addr.arpa.", Subject::Reverse(None)),
            ("256.0.3.10.in-addr.arpa.", Subject::Reverse(None)),
            ("+1.0.3.10.in-addr.arpa.", Subject::Reverse(None)),
            (&reverse_six, Subject::Reverse(Some(v4("2001:db8::4")))),
            (&reverse_six[2..], Subject::Reverse(None)),
            ("example.com.", Subject::Elsewhere),
            ("notconsul.", Subject::Elsewhere),
            (".", Subject::Elsewhere),
        ];
        for (name, want) in table {
            assert_eq!(subject_of(name, RecordType::A), want, "{name}");
        }
    }

    #[test]
    fn rfc_2782_names_may_leave_out_service_in_srv_questions() {
        let table = [
            ("_db._tcp.consul.", service("db", "", "")),
            ("_db._primary.dc2.consul.", service("db", "primary", "dc2")),
            ("_db._tcp.a.b.consul.", Subject::Unknown),
            ("db.consul.", Subject::Unknown),
        ];
        for (name, want) in table {
            assert_eq!(subject_of(name, RecordType::SRV), want, "{name}");
        }
    }

    #[test]
    fn the_longer_domain_wins() {
        let settings = settings();
        let name = super::super::records::host_name("db.service.alt.consul").expect("a name");
        assert_eq!(Some(parse(&name, RecordType::A, &settings).domain), settings.alt_domain.as_ref());
    }

    #[test]
    fn labels_that_are_no_text_are_in_no_catalog() {
        let name = Name::from_labels([&b"\xff"[..], b"service", b"consul"]).expect("a name");
        assert_eq!(parse(&name, RecordType::A, &Settings::default()).subject, Subject::Unknown);
    }
}
