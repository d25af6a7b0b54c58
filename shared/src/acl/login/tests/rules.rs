//! Whom binding rules are for, and what they give.

use uuid::Uuid;

use super::*;
use crate::{
    catalog::{AccessRow, State},
    command::{AccessCommand, Command, Named, Presence},
    model::{Bind, BindingRule, Grants, Index, NodeIdentity, Role, ServiceIdentity},
};

const ROLE: Uuid = Uuid::from_u128(7);

fn alice() -> Identity {
    let values = [("name", "Alice"), ("team", "payments"), ("empty", "")];
    let lists = [("groups", vec!["ops", "dev"]), ("none", vec![])];
    Identity {
        values: values.map(|(name, value)| (name.into(), value.to_string())).into(),
        lists: lists.map(|(name, list)| (name.into(), list.into_iter().map(str::to_string).collect())).into(),
    }
}

fn method_of_alice() -> Jwt {
    let mut config = config(&Issuer::of("RS256"), "RS256");
    config["ClaimMappings"] = json!({"sub": "name", "team": "team", "e": "empty"});
    config["ListClaimMappings"] = json!({"g": "groups", "n": "none"});
    method(&config)
}

fn rule(bind: Bind, name: &str, selector: &str) -> BindingRule {
    let id = Uuid::from_u128(1);
    BindingRule { id, bind, bind_name: name.into(), selector: selector.into(), ..BindingRule::default() }
}

/// A registry with a role.
fn state() -> State {
    let mut state = State::default();
    let row = AccessRow::Role(std::sync::Arc::new(Role { id: ROLE, name: "Ops".into(), ..Role::default() }));
    let put = AccessCommand::Put { row, named: Named::default(), presence: Presence::Absent };
    state.apply(Index(1), Time(1), &Command::Access(put));
    state
}

fn service(name: &str) -> Grants {
    let service = ServiceIdentity { service: name.into(), datacenters: Vec::new() };
    Grants { services: vec![service], ..Grants::default() }
}

#[test]
fn a_rule_is_for_those_whom_its_selector_lets_through() {
    for (selector, is_for) in [
        ("", true),
        ("value.team == payments", true),
        ("value.team == Payments", false),
        ("value.team != payments", false),
        ("value.name matches \"^A\" and ops in list.groups", true),
        ("ops not in list.groups", false),
        ("list.groups contains dev or value.team == x", true),
        ("list.none is empty", true),
        ("list.groups is empty", false),
        ("value.empty == \"\"", true),
        ("not (value[\"team\"] == payments)", false),
        ("\"/value/team\" == payments", true),
    ] {
        let rule = rule(Bind::Service, "web", selector);
        assert_eq!(check_rule(&rule, &method_of_alice()), Ok(()), "{selector}");
        let found = grants(&alice(), [&rule].into_iter(), &state(), "dc1");
        let expected = if is_for { Ok(service("web")) } else { Err(LoginError::NoRule) };
        assert_eq!(found, expected, "{selector}");
    }
}

#[test]
fn a_selector_may_name_only_what_is_mapped() {
    for selector in [
        "value.unmapped == x",
        "x in list.unmapped",
        "value.groups == x",
        "x in list.team",
        "x in value",
        "value is empty",
        "list is empty",
        "list.groups == x",
        "value.team.x == x",
        "other == x",
        "not not-an-expression",
        "value.team == payments or value.unmapped == x",
        "value.team matches \"(\"",
    ] {
        let rule = rule(Bind::Service, "web", selector);
        let found = check_rule(&rule, &method_of_alice());
        assert!(matches!(found, Err(RuleError::Selector(_))), "{selector}: {found:?}");
        // One that was good once, and is for nobody since the method maps less.
        assert_eq!(grants(&alice(), [&rule].into_iter(), &state(), "dc1"), Err(LoginError::NoRule), "{selector}");
    }
}

#[test]
fn names_are_made_of_what_is_known() {
    for (bind, template, made) in [
        (Bind::Service, "web", Some("web")),
        (Bind::Service, "${value.team}-api", Some("payments-api")),
        (Bind::Service, "x-${ value.name }-${value.team}", Some("x-alice-payments")),
        (Bind::Service, "${value.empty}", None),
        (Bind::Service, "${value.empty}-x", None),
        (Bind::Node, "${value.name}", Some("alice")),
        (Bind::Role, "Ops", Some("Ops")),
    ] {
        let rule = rule(bind, template, "");
        assert_eq!(check_rule(&rule, &method_of_alice()), Ok(()), "{template}");
        let found = grants(&alice(), [&rule].into_iter(), &state(), "dc1");
        let Some(made) = made else {
            assert!(matches!(found, Err(LoginError::Name { .. })), "{template}: {found:?}");
            continue;
        };
        let expected = match bind {
            Bind::Service => service(made),
            Bind::Node => {
                let node = NodeIdentity { node: made.into(), datacenter: "dc1".into() };
                Grants { nodes: vec![node], ..Grants::default() }
            }
            Bind::Role => Grants { roles: vec![ROLE], ..Grants::default() },
        };
        assert_eq!(found, Ok(expected), "{template}");
    }
}

#[test]
fn names_that_can_never_be_made_are_refused() {
    let long = "x".repeat(2000);
    for (bind, template, expected) in [
        (Bind::Service, "Web", "cannot be the name of a service"),
        (Bind::Service, "${value.unmapped}", "\"value.unmapped\" is not mapped"),
        (Bind::Service, "${list.groups}", "\"list.groups\" is not mapped"),
        (Bind::Service, "${team}", "\"team\" is not mapped"),
        (Bind::Service, "${upper(value.team)}", "is not mapped"),
        (Bind::Service, "${value.team", "has no end"),
        (Bind::Service, "$${value.team}", "makes \"${value.team}\""),
        (Bind::Node, "a b", "cannot be the name of a node"),
        (Bind::Role, "a/b", "cannot be the name of a role"),
        (Bind::Role, &long, "longer than"),
    ] {
        let found = check_rule(&rule(bind, template, ""), &method_of_alice()).unwrap_err().to_string();
        assert!(found.contains(expected), "{template}: {found}");
    }
}

#[test]
fn what_several_rules_give_is_given_once_each() {
    let rules = [
        rule(Bind::Service, "web", ""),
        rule(Bind::Service, "${value.team}", "ops in list.groups"),
        rule(Bind::Service, "web", "value.team == payments"),
        rule(Bind::Service, "secret", "admins in list.groups"),
        rule(Bind::Role, "Ops", ""),
        rule(Bind::Role, "Ops", ""),
        rule(Bind::Role, "absent", ""),
    ];
    let found = grants(&alice(), rules.iter(), &state(), "dc1").unwrap();
    let services: Vec<&str> = found.services.iter().map(|service| service.service.as_str()).collect();
    assert_eq!((services, found.roles, found.nodes), (vec!["web", "payments"], vec![ROLE], Vec::new()));
    // A role that does not exist gives nothing, and nothing is no token.
    assert_eq!(grants(&alice(), rules[6..].iter(), &state(), "dc1"), Err(LoginError::NoRule));
    assert_eq!(grants(&alice(), [].into_iter(), &state(), "dc1"), Err(LoginError::NoRule));
    let many: Vec<BindingRule> = (0..257).map(|number| rule(Bind::Service, &format!("s{number}"), "")).collect();
    assert_eq!(grants(&alice(), many.iter(), &state(), "dc1"), Err(LoginError::TooMany(256)));
    assert_eq!(grants(&alice(), many[1..].iter(), &state(), "dc1").unwrap().services.len(), 256);
}
