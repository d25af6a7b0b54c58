//! Prepared queries: examples, and the longest prefix against a plain search.

use proptest::prelude::*;
use smol_str::SmolStr;

use super::{queries::MAX_QUERIES, *};
use crate::{
    command::{Command, Outcome, QueryCommand, Refusal, Registration, SessionCommand},
    model::{PreparedQuery, ServiceQuery, Session, Template, Time, Token},
};

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn query(number: u128, name: &str) -> PreparedQuery {
    let service = ServiceQuery { service: format!("service-{number}").into(), ..ServiceQuery::default() };
    PreparedQuery { id: id(number), name: name.into(), service, ..PreparedQuery::default() }
}

fn template(number: u128, name: &str) -> PreparedQuery {
    PreparedQuery { template: Some(Template::default()), ..query(number, name) }
}

fn create(query: PreparedQuery) -> Command {
    Command::Query(QueryCommand::Create(Box::new(query)))
}

fn update(query: PreparedQuery) -> Command {
    Command::Query(QueryCommand::Update(Box::new(query)))
}

fn delete(number: u128) -> Command {
    Command::Query(QueryCommand::Delete(id(number)))
}

#[derive(Default)]
struct Log {
    state: State,
    /// What a sidecar has absorbed.
    copy: State,
}

impl Log {
    fn apply(&mut self, command: &Command) -> Applied {
        let index = Index(self.state.index().0 + 1);
        let applied = self.state.apply(index, Time(index.0), command);
        let touched = self.copy.absorb(&applied.change);
        assert!(touched.is_subset(&applied.touched));
        applied
    }

    fn outcome(&mut self, command: &Command) -> Outcome {
        self.apply(command).outcome
    }

    /// The service that a name leads to.
    fn found(&self, name: &str) -> Option<SmolStr> {
        self.state.find_query(name).unwrap().map(|query| query.service.service.clone())
    }
}

#[test]
fn a_query_is_found_by_its_id_and_by_its_name_in_any_case() {
    let mut log = Log::default();
    let applied = log.apply(&create(query(1, "My-Db")));
    assert_eq!(applied.touched, [Topic::Queries, Topic::Query(id(1))].into());
    for name in ["my-db", "MY-DB", &id(1).to_string()] {
        assert_eq!(log.found(name).as_deref(), Some("service-1"), "{name}");
    }
    for name in ["", "my", "my-db-", &id(2).to_string(), &"x".repeat(MAX_QUERY_NAME_BYTES + 1)] {
        assert_eq!(log.found(name), None, "{name}");
    }
    log.apply(&update(query(1, "other")));
    assert_eq!((log.found("my-db"), log.found("other").as_deref()), (None, Some("service-1")));
    log.apply(&delete(1));
    assert_eq!((log.found("other"), log.found(&id(1).to_string())), (None, None));
}

#[test]
fn names_are_unique_and_none_is_an_id() {
    let mut log = Log::default();
    log.apply(&create(query(1, "a")));
    log.apply(&create(template(2, "t")));
    log.apply(&create(template(3, "")));
    log.apply(&create(query(4, "")));
    let first = id(1).to_string();
    for (refused, refusal) in [
        (query(9, "A"), Refusal::QueryNameTaken("A".into())),
        (query(9, "T"), Refusal::QueryNameTaken("T".into())),
        (template(9, "a"), Refusal::QueryNameTaken("a".into())),
        (template(9, ""), Refusal::TemplateForAllTaken),
        (query(9, &first), Refusal::QueryNameIsId(first.clone().into())),
        (PreparedQuery { session: Some(id(7)), ..query(9, "b") }, Refusal::NoSession(id(7))),
    ] {
        let applied = log.apply(&create(refused));
        assert_eq!(applied.outcome, Outcome::Refused(refusal));
        assert!(applied.touched.is_empty() && applied.change.rows.is_empty());
    }
    assert!(log.outcome(&create(query(5, ""))).is_done(), "any number have no name");
    for same in [query(1, "A"), template(3, ""), template(2, "t")] {
        assert!(log.outcome(&update(same)).is_done(), "its own name is not another's");
    }
    for command in [update(query(9, "x")), delete(9)] {
        assert_eq!(log.outcome(&command), Outcome::Refused(Refusal::NoQuery(id(9))));
    }
}

#[test]
fn indexes_grow_with_each_change_and_only_then() {
    let mut log = Log::default();
    let indexes =
        |log: &Log| [Topic::Queries, Topic::Query(id(1)), Topic::Query(id(2))].map(|t| log.state.index_of(&t).0);
    log.apply(&create(query(1, "a")));
    log.apply(&create(query(2, "b")));
    assert_eq!(indexes(&log), [2, 1, 2]);
    for again in [create(query(1, "a")), update(query(1, "a"))] {
        let applied = log.apply(&again);
        assert!(applied.outcome.is_done() && applied.touched.is_empty() && applied.change.rows.is_empty());
    }
    assert_eq!(indexes(&log), [2, 1, 2]);
    log.apply(&update(query(1, "c")));
    assert_eq!((indexes(&log), log.state.query(id(1)).unwrap().create_index), ([5, 5, 2], Index(1)));
    log.apply(&delete(2));
    assert_eq!(indexes(&log), [6, 5, 6]);
}

#[test]
fn a_query_goes_with_its_session_and_with_what_ends_that() {
    let mut log = Log::default();
    let node = Node { name: "n1".into(), ..Node::default() };
    let register = Registration { node, ..Registration::default() };
    log.apply(&Command::Register(Box::new(register)));
    let session = |number| Session { id: id(number), node: "n1".into(), ..Session::default() };
    for number in [11, 12] {
        log.apply(&Command::Session(SessionCommand::Create(Box::new(session(number)))));
    }
    for (number, session) in [(1, Some(11)), (2, Some(11)), (3, Some(12)), (4, None)] {
        log.apply(&create(PreparedQuery { session: session.map(id), ..query(number, "") }));
    }
    log.apply(&update(query(2, "no longer bound")));
    let left = |state: &State| state.queries().map(|query| query.id.as_u128()).collect::<Vec<_>>();
    let applied = log.apply(&Command::Session(SessionCommand::Destroy(id(11))));
    assert_eq!(applied.change.rows, [Row::QueryGone(id(1))]);
    assert_eq!(left(&log.state), [2, 3, 4]);
    log.apply(&Command::Deregister(crate::command::Deregistration::Node("n1".into())));
    assert_eq!((left(&log.state), left(&log.copy)), (vec![2, 4], vec![2, 4]));
}

#[test]
fn a_template_is_asked_by_names_and_never_by_its_id() {
    let mut log = Log::default();
    for (number, name) in [(1, ""), (2, "a"), (3, "ab"), (4, "abcd")] {
        log.apply(&create(template(number, name)));
    }
    log.apply(&create(query(5, "abc")));
    for (name, number) in [("x", 1), ("a", 2), ("aXb", 2), ("abX", 3), ("ABC", 5), ("abce", 3), ("abcde", 4)] {
        assert_eq!(log.found(name), Some(format!("service-{number}").into()), "{name}");
    }
    assert_eq!(log.state.find_query(&id(2).to_string()), Err(IsTemplate));
    log.apply(&update(query(3, "ab")));
    assert_eq!((log.found("abX"), log.found("ab")), (Some("service-2".into()), Some("service-3".into())));
}

#[test]
fn tokens_stay_on_the_servers() {
    let mut log = Log::default();
    let secret = PreparedQuery { token: Token("s3cret".into()), ..query(1, "a") };
    let applied = log.apply(&create(secret));
    assert!(!format!("{applied:?} {:?}", log.state).contains("s3cret"), "not in any log either");
    assert_eq!(log.state.query(id(1)).unwrap().token, Token("s3cret".into()));
    assert_eq!(log.copy.query(id(1)).unwrap().token, Token(Token::HIDDEN.into()));
    let reload = |records: Vec<Record>| {
        let mut loader = Loader::default();
        records.into_iter().for_each(|record| loader.push(record));
        loader.finish(log.state.index()).query(id(1)).unwrap().token.clone()
    };
    assert_eq!(reload(log.state.records().collect()), Token("s3cret".into()));
    assert_eq!(reload(log.state.catalog_records().collect()), Token(Token::HIDDEN.into()));
}

#[test]
fn there_is_a_most() {
    let mut log = Log::default();
    for number in 0..MAX_QUERIES {
        assert!(log.outcome(&create(query(number.into(), ""))).is_done());
    }
    let refused = Outcome::Refused(Refusal::TooManyQueries(MAX_QUERIES));
    assert_eq!(log.outcome(&create(query(1 << 40, ""))), refused);
    assert!(log.outcome(&update(query(7, "a"))).is_done());
    log.apply(&delete(0));
    assert!(log.outcome(&create(query(1 << 40, ""))).is_done());
}

fn names() -> impl Strategy<Value = String> {
    // Few letters, so that many names begin alike; some of more bytes than one.
    prop::string::string_regex("[abBÄ-]{0,6}").unwrap()
}

fn commands() -> impl Strategy<Value = Command> {
    let any = || {
        (0..12_u128, names(), any::<bool>()).prop_map(|(number, name, is_template)| {
            if is_template { template(number, &name) } else { query(number, &name) }
        })
    };
    prop_oneof![4 => any().prop_map(create), 2 => any().prop_map(update), 1 => (0..12_u128).prop_map(delete)]
}

proptest! {
    #[test]
    fn the_best_template_is_the_longest_prefix(
        commands in prop::collection::vec(commands(), 1..40),
        asked in prop::collection::vec(names(), 1..20),
    ) {
        let mut log = Log::default();
        for command in &commands {
            log.apply(command);
        }
        for name in asked {
            let folded = name.to_lowercase();
            let matching = |query: &&Arc<PreparedQuery>| match query.template {
                Some(_) => folded.starts_with(&query.name.to_lowercase()),
                None => !query.name.is_empty() && folded == query.name.to_lowercase(),
            };
            let best = log.state.queries().filter(matching).max_by_key(|query| query.name.to_lowercase().len());
            let best = best.filter(|_| !name.is_empty()).map(|query| query.service.service.clone());
            prop_assert_eq!(log.found(&name), best, "{}", name);
        }
        // A sidecar, and a server that starts, have the same.
        let mut loader = Loader::default();
        log.state.records().for_each(|record| loader.push(record));
        let reloaded = loader.finish(log.state.index());
        for state in [&log.copy, &reloaded] {
            prop_assert!(state.records().eq(log.state.records()));
        }
    }
}
