//! Prepared queries and their answers as Consul shows them, and the body that writes one.

use std::fmt::Display;

use serde::Serialize;
use serde_json::Value;
use smol_str::SmolStr;
use uuid::Uuid;

use super::{
    parse,
    rows::{InstanceRow, Texts, filled},
};
use crate::{
    acl::{Level, Resource, Rights},
    agent::{
        definition::{Fields, Strictness},
        duration,
    },
    backend::Contact,
    catalog::{Instance, MAX_QUERY_NAME_BYTES, check_template},
    http::{Failure, read::Guarded},
    model::{CheckId, Failover, FailoverTarget, Index, PreparedQuery, ServiceQuery, Template, Token},
};

/// The largest body, in bytes: every node holds all queries.
const MAX_BODY_BYTES: usize = 8 << 10;
/// The one type of templates there is.
const TEMPLATE_TYPE: &str = "name_prefix_match";

/// A list that is null when it is empty.
fn listed<T>(list: &[T]) -> Option<&[T]> {
    (!list.is_empty()).then_some(list)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TargetRow<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    peer: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    datacenter: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct FailoverRow<'a> {
    nearest_n: u32,
    datacenters: Option<&'a [SmolStr]>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    targets: Vec<TargetRow<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ServiceQueryRow<'a> {
    service: &'a str,
    failover: FailoverRow<'a>,
    only_passing: bool,
    #[serde(rename = "IgnoreCheckIDs")]
    ignored_checks: Option<&'a [CheckId]>,
    near: &'a str,
    tags: Option<&'a [SmolStr]>,
    node_meta: Texts<'a>,
    service_meta: Texts<'a>,
    connect: bool,
}

impl<'a> ServiceQueryRow<'a> {
    fn new(service: &'a ServiceQuery) -> Self {
        let Failover { nearest, datacenters, targets } = &service.failover;
        let target = |target: &'a FailoverTarget| TargetRow { peer: &target.peer, datacenter: &target.datacenter };
        let targets = targets.iter().map(target).collect();
        Self {
            service: &service.service,
            failover: FailoverRow { nearest_n: *nearest, datacenters: listed(datacenters), targets },
            only_passing: service.only_passing,
            ignored_checks: listed(&service.ignored_checks),
            near: &service.near,
            tags: listed(&service.tags),
            node_meta: filled(&service.node_meta),
            service_meta: filled(&service.service_meta),
            connect: service.connect,
        }
    }
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TemplateRow<'a> {
    #[serde(rename = "Type")]
    kind: &'static str,
    regexp: &'a str,
    remove_empty_tags: bool,
}

#[derive(Serialize)]
struct DnsRow<'a> {
    #[serde(rename = "TTL")]
    ttl: &'a str,
}

/// A prepared query. Of its token no more is shown than that there is one.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct QueryRow<'a> {
    #[serde(rename = "ID")]
    id: Uuid,
    name: &'a str,
    session: String,
    token: &'static str,
    template: TemplateRow<'a>,
    service: ServiceQueryRow<'a>,
    #[serde(rename = "DNS")]
    dns: DnsRow<'a>,
    create_index: u64,
    modify_index: u64,
}

impl<'a> QueryRow<'a> {
    /// The row of a query.
    #[must_use]
    pub fn new(query: &'a PreparedQuery) -> Self {
        let template = query.template.as_ref().map(|template| TemplateRow {
            kind: TEMPLATE_TYPE,
            regexp: &template.regexp,
            remove_empty_tags: template.remove_empty_tags,
        });
        Self {
            id: query.id,
            name: &query.name,
            session: query.session.map(|session| session.to_string()).unwrap_or_default(),
            token: query.token.shown(),
            template: template.unwrap_or_default(),
            service: ServiceQueryRow::new(&query.service),
            dns: DnsRow { ttl: &query.dns_ttl },
            create_index: query.create_index.0,
            modify_index: query.modify_index.0,
        }
    }
}

/// How fresh an answer is; other answers say it in their headers.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FreshnessRow {
    backend: u8,
    consistency_level: &'static str,
    index: u64,
    known_leader: bool,
    /// In nanoseconds.
    last_contact: u64,
    not_modified: bool,
}

impl FreshnessRow {
    /// That of an answer at an index, by a node whose last word from a leader is so old.
    #[must_use]
    pub fn new(index: Index, contact: Contact, consistency_level: &'static str) -> Self {
        let last_contact = u64::try_from(contact.last.as_nanos()).unwrap_or(u64::MAX);
        let known_leader = contact.known_leader;
        Self { backend: 0, consistency_level, index: index.0, known_leader, last_contact, not_modified: false }
    }
}

/// What a query is answered with.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ExecutionRow<'a> {
    service: &'a str,
    nodes: Vec<InstanceRow<'a>>,
    #[serde(rename = "DNS")]
    dns: DnsRow<'a>,
    datacenter: &'a str,
    failovers: u32,
    #[serde(flatten)]
    freshness: FreshnessRow,
}

impl<'a> ExecutionRow<'a> {
    /// The row of a query's answer in this datacenter.
    #[must_use]
    pub fn new(
        query: &'a PreparedQuery,
        instances: impl Iterator<Item = &'a Instance>,
        datacenter: &'a str,
        freshness: FreshnessRow,
    ) -> Self {
        Self {
            service: &query.service.service,
            nodes: instances.map(|instance| InstanceRow::new(instance, datacenter).with_null()).collect(),
            dns: DnsRow { ttl: &query.dns_ttl },
            datacenter,
            // Who asks others counts them.
            failovers: 0,
            freshness,
        }
    }
}

/// Which query a name leads to, as `explain` has it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ExplanationRow<'a> {
    /// The query, made for that name.
    pub query: QueryRow<'a>,
    /// How fresh that is.
    #[serde(flatten)]
    pub freshness: FreshnessRow,
}

/// Reads the body that writes a query, and the ID that is in it. The query's own ID is for its writer to choose.
///
/// # Errors
/// 400 where it cannot be read, 413 where it is too long, and what Consul refuses with 500.
pub fn query(body: &[u8]) -> Result<(PreparedQuery, SmolStr), Failure> {
    if body.len() > MAX_BODY_BYTES {
        return Err(Failure::TooLarge(MAX_BODY_BYTES));
    }
    let body = parse(body)?;
    let mut fields = Fields::of(&body, Strictness::Body)?;
    let id = fields.text("id")?;
    let session = fields.text("session")?;
    let query = PreparedQuery {
        name: fields.text("name")?,
        session: None,
        template: fields.fields("template")?.map(template).transpose()?.flatten(),
        token: Token(fields.text("token")?),
        service: fields.fields("service")?.map(service).transpose()?.unwrap_or_default(),
        dns_ttl: fields.fields("dns")?.map(|mut dns| dns.text("ttl")).transpose()?.unwrap_or_default(),
        ..PreparedQuery::default()
    };
    refuse_nonsense(&query, session.is_empty())?;
    let no_session = |_| Failure::Rejected(format!("raft apply failed: invalid session {:?}", session.as_str()));
    let session = if session.is_empty() { None } else { Some(Uuid::try_parse(&session).map_err(no_session)?) };
    Ok((PreparedQuery { session, ..query }, id))
}

fn template(mut fields: Fields<'_>) -> Result<Option<Template>, Failure> {
    let kind = fields.text("type")?;
    let template = Template { regexp: fields.text("regexp")?, remove_empty_tags: fields.flag("removeemptytags")? };
    match kind.as_str() {
        "" => Ok(None),
        TEMPLATE_TYPE => Ok(Some(template)),
        other => Err(invalid(&format!("Bad Template.Type '{other}' (there is only {TEMPLATE_TYPE})"))),
    }
}

fn service(mut fields: Fields<'_>) -> Result<ServiceQuery, Failure> {
    Ok(ServiceQuery {
        service: fields.text("service")?,
        failover: fields.fields("failover")?.map(failover).transpose()?.unwrap_or_default(),
        only_passing: fields.flag("onlypassing")?,
        ignored_checks: fields.texts("ignorecheckids")?.into_iter().map(CheckId).collect(),
        near: fields.text("near")?,
        tags: fields.texts("tags")?,
        node_meta: fields.map("nodemeta")?,
        service_meta: fields.map("servicemeta")?,
        connect: fields.flag("connect")?,
    })
}

fn failover(mut fields: Fields<'_>) -> Result<Failover, Failure> {
    let nearest: i64 = fields.number("nearestn")?.unwrap_or_default();
    let nearest = u32::try_from(nearest).map_err(|_| invalid(&format!("Bad NearestN '{nearest}', must be >= 0")))?;
    let target = |value: &Value| -> Result<FailoverTarget, Failure> {
        let mut fields = Fields::of(value, Strictness::Body)?;
        Ok(FailoverTarget { datacenter: fields.text("datacenter")?, peer: fields.text("peer")? })
    };
    let targets = fields.list("targets")?.iter().map(target).collect::<Result<_, _>>()?;
    Ok(Failover { nearest, datacenters: fields.texts("datacenters")?, targets })
}

fn refuse_nonsense(query: &PreparedQuery, has_no_session: bool) -> Result<(), Failure> {
    if query.name.len() > MAX_QUERY_NAME_BYTES {
        return Err(invalid(&format!("Name has {} bytes, the most are {MAX_QUERY_NAME_BYTES}", query.name.len())));
    }
    if query.name.is_empty() && query.template.is_none() && has_no_session {
        return Err(invalid(&"Must be bound to a session"));
    }
    if query.token.0 == Token::HIDDEN {
        let problem =
            format!("Bad Token '{}', which stands for one that was not shown (give the token)", Token::HIDDEN);
        return Err(invalid(&problem));
    }
    if query.service.service.is_empty() {
        return Err(invalid(&"Must provide a Service name to query"));
    }
    if !query.dns_ttl.is_empty() {
        let failed = |problem: &dyn Display| invalid(&format!("Bad DNS TTL '{}': {problem}", query.dns_ttl));
        let positive = query.dns_ttl.strip_prefix('-').unwrap_or(&query.dns_ttl);
        let ttl = duration::parse(positive).map_err(|error| failed(&error))?;
        if positive.len() < query.dns_ttl.len() && !ttl.is_zero() {
            return Err(failed(&"must be >= 0"));
        }
    }
    check_template(query).map_err(|error| invalid(&error))
}

fn invalid(problem: &dyn Display) -> Failure {
    Failure::Rejected(format!("Invalid prepared query: {problem}"))
}

impl Guarded for QueryRow<'_> {
    /// One without a name, and no template for all names, is known to those who made it.
    fn is_visible(&self, rights: &Rights) -> bool {
        match self.name.is_empty() && self.template.kind.is_empty() {
            true => rights.allow(Resource::Acl, Level::Write, ""),
            false => rights.allow(Resource::Query, Level::Read, self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_whole_and_shown_as_it_was() {
        let body = serde_json::json!({
            "ID": "x", "Name": "n", "Session": "", "Token": "secret",
            "Template": {"Type": "name_prefix_match", "Regexp": "^n(.*)$", "RemoveEmptyTags": true},
            "Service": {
                "Service": "s", "OnlyPassing": true, "Near": "_agent", "Tags": ["a", "!b"], "Connect": true,
                "IgnoreCheckIDs": ["c"], "NodeMeta": {"k": "v"}, "ServiceMeta": {"l": "w"},
                "Failover": {"NearestN": 3, "Datacenters": ["dc2"], "Targets": [{"Datacenter": "dc3"}, {"Peer": "p"}]},
            },
            "DNS": {"TTL": "10s"},
        });
        let (query, id) = query(body.to_string().as_bytes()).unwrap();
        assert_eq!((id.as_str(), query.token.0.as_str()), ("x", "secret"));
        let mut shown = serde_json::to_value(QueryRow::new(&query)).unwrap();
        let mut wanted = body;
        (wanted["ID"], wanted["Token"]) = (Uuid::nil().to_string().into(), "<hidden>".into());
        for name in ["CreateIndex", "ModifyIndex"] {
            assert_eq!(shown.as_object_mut().unwrap().remove(name), Some(0.into()));
        }
        assert_eq!(shown, wanted);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let long = "x".repeat(MAX_QUERY_NAME_BYTES + 1);
        let service = |rest: &str| format!(r#"{{"Name": "n", "Service": {{"Service": "s"}}{rest}}}"#);
        for (body, sentence) in [
            (service(""), ""),
            (service(r#", "DNS": {"TTL": "-0s"}"#), ""),
            (service(r#", "Template": {"Regexp": "("}"#), ""),
            (r#"{"Name": "n"}"#.into(), "Must provide a Service name"),
            (r#"{"Service": {"Service": "s"}}"#.into(), "Must be bound to a session"),
            (r#"{"Template": {"Type": "name_prefix_match"}, "Service": {"Service": "s"}}"#.into(), ""),
            (format!(r#"{{"Name": "{long}", "Service": {{"Service": "s"}}}}"#), "Name has 513 bytes"),
            (service(r#", "DNS": {"TTL": "10"}"#), "Bad DNS TTL '10': time: missing unit"),
            (service(r#", "DNS": {"TTL": "-10s"}"#), "Bad DNS TTL '-10s': must be >= 0"),
            (service(r#", "Template": {"Type": "x"}"#), "Bad Template.Type 'x'"),
            (service(r#", "Template": {"Type": "name_prefix_match", "Regexp": "("}"#), "Bad Template.Regexp '('"),
            (service(r#", "Token": "<hidden>""#), "Bad Token"),
            (service(r#", "Session": "x""#), "invalid session \"x\""),
            (service(r#", "Service": {"Failover": {"NearestN": -1}}"#), "Bad NearestN '-1'"),
            (service(r#", "Service": {"Tags": "a"}"#), "Request decode failed"),
            (service(&format!(r#", "x": "{}""#, "x".repeat(MAX_BODY_BYTES))), "max size is 8192 bytes"),
        ] {
            match query(body.as_bytes()) {
                Ok(_) => assert_eq!(sentence, "", "{body}"),
                Err(failure) => {
                    assert!(!sentence.is_empty() && failure.to_string().contains(sentence), "{body}: {failure}");
                }
            }
        }
    }
}
