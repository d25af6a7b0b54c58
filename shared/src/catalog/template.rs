//! Templates of prepared queries: a name comes in, the query for it goes out. Pure.
//!
//! In every text of the query's service part, these are replaced (`$${` stands for `${` itself):
//!
//! | text | by |
//! |---|---|
//! | `${name.full}` | the name |
//! | `${name.prefix}` | the template's own name |
//! | `${name.suffix}` | the rest of the name |
//! | `${match(N)}` | group N of the template's expression in the name, 0 being all of the match; empty where there is none |
//! | `${agent.segment}` | nothing: there are no segments |
//!
//! Expressions are those of the `regex` crate, which takes time in proportion to the text and is given little memory.
//! Whatever cannot be used is refused when the query is written ([`check`]); should one be met later all the same (from
//! a server of another version), the text stays as it is, and nothing matches.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use regex::{Regex, RegexBuilder};
use smol_str::SmolStr;

use crate::model::{PreparedQuery, ServiceQuery, Template};

/// What a compiled expression may take, in bytes; and what it may take while it is used.
const EXPRESSION_BYTES: usize = 128 << 10;
/// How deep its groups may lie in each other.
const NESTING: u32 = 50;

/// Why a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Not an expression, or too large a one.
    #[error("Bad Template.Regexp '{expression}': {reason}")]
    Expression {
        /// As it is written.
        expression: SmolStr,
        /// What is wrong.
        reason: String,
    },
    /// A text has something between `${` and `}` that means nothing.
    #[error(
        "Bad format '{text}': {problem} (there are name.full, name.prefix, name.suffix, agent.segment and match(N))"
    )]
    Text {
        /// The text.
        text: String,
        /// What is wrong.
        problem: String,
    },
}

/// Says whether a template can be used.
///
/// # Errors
/// [`TemplateError`]. A query that is no template can.
pub fn check(query: &PreparedQuery) -> Result<(), TemplateError> {
    let Some(template) = &query.template else { return Ok(()) };
    compile(template)?;
    let mut first = Ok(());
    let mut service = query.service.clone();
    for_each_text(&mut service, |text| {
        if first.is_ok() {
            first = parts(text).map(drop).map_err(|problem| TemplateError::Text { text: text.to_string(), problem });
        }
    });
    first
}

fn compile(template: &Template) -> Result<Option<Regex>, TemplateError> {
    if template.regexp.is_empty() {
        return Ok(None);
    }
    let mut builder = RegexBuilder::new(&template.regexp);
    builder.size_limit(EXPRESSION_BYTES).dfa_size_limit(EXPRESSION_BYTES).nest_limit(NESTING);
    let failed = |error: regex::Error| TemplateError::Expression {
        expression: template.regexp.clone(),
        reason: error.to_string(),
    };
    builder.build().map(Some).map_err(failed)
}

/// A template, and its expression from the first use on.
#[derive(Clone, Debug)]
pub(super) struct Renderer {
    query: Arc<PreparedQuery>,
    expression: Arc<OnceLock<Option<Regex>>>,
}

impl Renderer {
    /// One for this query, which is a template.
    pub fn new(query: Arc<PreparedQuery>) -> Self {
        Self { query, expression: Arc::default() }
    }

    /// The template itself.
    pub fn query(&self) -> &PreparedQuery {
        &self.query
    }

    /// The query for a name that begins as it should.
    pub fn render(&self, name: &str) -> PreparedQuery {
        let mut query = PreparedQuery::clone(&self.query);
        let Some(template) = &self.query.template else { return query };
        let expression = self.expression.get_or_init(|| compile(template).unwrap_or_default());
        let groups = expression.as_ref().and_then(|expression| expression.captures(name));
        // Letter case apart, the name begins with the prefix.
        let suffix = name.get(query.name.len()..).unwrap_or_default();
        let prefix = query.name.clone();
        for_each_text(&mut query.service, |text| {
            let Ok(parts) = parts(text) else { return };
            let rendered = parts.into_iter().map(|part| match part {
                Part::Text(text) => text,
                Part::Full => name,
                Part::Prefix => &prefix,
                Part::Suffix => suffix,
                Part::Segment => "",
                Part::Group(number) => groups.as_ref().and_then(|g| g.get(number?)).map_or("", |group| group.as_str()),
            });
            *text = rendered.collect::<String>().into();
        });
        if template.remove_empty_tags {
            query.service.tags.retain(|tag| !tag.is_empty());
        }
        query
    }
}

/// Shows all texts in which something may be replaced.
fn for_each_text(service: &mut ServiceQuery, mut show: impl FnMut(&mut SmolStr)) {
    let ServiceQuery { service, failover, ignored_checks, near, tags, node_meta, service_meta, .. } = service;
    show(service);
    failover.datacenters.iter_mut().for_each(&mut show);
    failover.targets.iter_mut().for_each(|target| {
        show(&mut target.datacenter);
        show(&mut target.peer);
    });
    ignored_checks.iter_mut().for_each(|id| show(&mut id.0));
    show(near);
    tags.iter_mut().for_each(&mut show);
    node_meta.values_mut().for_each(&mut show);
    service_meta.values_mut().for_each(&mut show);
}

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
enum Part<'t> {
    Text(&'t str),
    Full,
    Prefix,
    Suffix,
    Segment,
    /// None: a number that no group has.
    Group(Option<usize>),
}

/// Takes a text apart; or says what is wrong with it.
fn parts(text: &str) -> Result<Vec<Part<'_>>, String> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find("${") {
        let after = &rest[at + 2..];
        if let Some(before) = rest[..at].strip_suffix('$') {
            parts.extend([Part::Text(before), Part::Text("${")]);
            rest = after;
            continue;
        }
        let (inside, behind) = after.split_once('}').ok_or("a '${' has no '}'")?;
        parts.extend([Part::Text(&rest[..at]), part(inside)?]);
        rest = behind;
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

fn part(inside: &str) -> Result<Part<'static>, String> {
    match inside.trim() {
        "name.full" => Ok(Part::Full),
        "name.prefix" => Ok(Part::Prefix),
        "name.suffix" => Ok(Part::Suffix),
        "agent.segment" => Ok(Part::Segment),
        other => {
            let unknown = |what: &dyn fmt::Display| format!("'{what}' means nothing");
            let call = other.strip_prefix("match").map(str::trim_start);
            let argument = call.and_then(|call| call.strip_prefix('(')?.strip_suffix(')'));
            let number = argument.and_then(|text| text.trim().parse::<i64>().ok()).ok_or_else(|| unknown(&other))?;
            Ok(Part::Group(usize::try_from(number).ok()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(name: &str, regexp: &str, service: &str) -> PreparedQuery {
        PreparedQuery {
            name: name.into(),
            template: Some(Template { regexp: regexp.into(), remove_empty_tags: false }),
            service: ServiceQuery { service: service.into(), ..ServiceQuery::default() },
            ..PreparedQuery::default()
        }
    }

    #[test]
    fn what_is_replaced_by_what() {
        for (text, service) in [
            ("db", "db"),
            ("", ""),
            ("${name.full}", "geo-db-eu"),
            ("a-${name.prefix}z", "a-geo-z"),
            ("${ name.suffix }", "db-eu"),
            ("${match(0)}", "geo-db-eu"),
            ("${match(1)}.${match( 2 )}", "db.eu"),
            ("${match(3)}${match(-1)}${match(99999999999)}", ""),
            ("x${agent.segment}", "x"),
            ("$${name.full}", "${name.full}"),
            ("$${${match(1)}}", "${db}"),
            ("$5 {a}", "$5 {a}"),
        ] {
            let query = template("geo-", "^geo-(.+?)-(.+)$", text);
            assert_eq!(check(&query), Ok(()), "{text}");
            assert_eq!(Renderer::new(Arc::new(query)).render("geo-db-eu").service.service, service, "{text}");
        }
    }

    #[test]
    fn every_text_of_the_service_part_is_rendered_and_nothing_else() {
        let text = || SmolStr::from("${name.suffix}");
        let pair = || [("k".into(), text())].into();
        let service = ServiceQuery {
            service: text(),
            near: text(),
            tags: vec![text(), "${match(7)}".into(), "!${name.suffix}".into()],
            ignored_checks: vec![text().into()],
            node_meta: pair(),
            service_meta: pair(),
            failover: crate::model::Failover { datacenters: vec![text()], ..Default::default() },
            ..ServiceQuery::default()
        };
        let template = Some(Template { regexp: SmolStr::default(), remove_empty_tags: true });
        let query = PreparedQuery { name: "a-".into(), template, service, dns_ttl: text(), ..Default::default() };
        let made = Renderer::new(Arc::new(query.clone())).render("A-Db");
        assert_eq!((made.name, made.dns_ttl, made.template), (query.name, text(), query.template));
        let service = made.service;
        assert_eq!((service.service.as_str(), service.near.as_str()), ("Db", "Db"));
        assert_eq!(service.tags, ["Db", "!Db"]);
        assert_eq!((service.node_meta["k"].as_str(), service.service_meta["k"].as_str()), ("Db", "Db"));
        assert_eq!((service.ignored_checks[0].as_str(), service.failover.datacenters[0].as_str()), ("Db", "Db"));
    }

    #[test]
    fn an_expression_that_does_not_match_gives_nothing() {
        let query = template("geo-", "^other$", "a${match(0)}b${match(1)}");
        assert_eq!(Renderer::new(Arc::new(query)).render("geo-x").service.service, "ab");
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        for (regexp, text, sentence) in [
            ("(", "a", "Bad Template.Regexp '('"),
            (r"(\w{100}){1000}", "a", "Bad Template.Regexp"),
            ("", "${name}", "'name' means nothing"),
            ("", "${match(x)}", "'match(x)' means nothing"),
            ("", "${match(1}", "'match(1' means nothing"),
            ("", "a ${name.full", "a '${' has no '}'"),
        ] {
            let error = check(&template("t", regexp, text)).unwrap_err().to_string();
            assert!(error.contains(sentence), "{error}");
        }
        let deep = "(".repeat(10_000) + &")".repeat(10_000);
        assert!(check(&template("t", &deep, "a")).is_err());
    }
}
