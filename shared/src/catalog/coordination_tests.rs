//! Keys, locks, sessions and transactions: examples, and random commands against a plain model of them.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use proptest::prelude::*;
use smol_str::SmolStr;

use super::*;
use crate::{
    command::{
        CatalogName, CatalogRow, Command, Deregistration, KeyCommand, KeyEntry, Operation, OperationResult, Outcome,
        Refusal, Registration, SessionCommand,
    },
    model::{Behavior, SERF_HEALTH, Session, Time},
};

fn entry(key: &str, value: &str) -> KeyEntry {
    KeyEntry { key: key.into(), value: Bytes::copy_from_slice(value.as_bytes()), flags: 0 }
}

fn set(key: &str, value: &str) -> Command {
    Command::Key(KeyCommand::Set(entry(key, value)))
}

fn acquire(key: &str, session: Uuid) -> Command {
    Command::Key(KeyCommand::Acquire(entry(key, "held"), session))
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn session(number: u128) -> Session {
    Session { id: id(number), node: "n1".into(), node_checks: vec![SERF_HEALTH.into()], ..Session::default() }
}

fn create(session: Session) -> Command {
    Command::Session(SessionCommand::Create(Box::new(session)))
}

fn destroy(number: u128) -> Command {
    Command::Session(SessionCommand::Destroy(id(number)))
}

fn health(status: Status) -> Command {
    let check = Check { id: SERF_HEALTH.into(), status, ..Check::default() };
    let node = Node { name: "n1".into(), address: "10.0.0.1".into(), ..Node::default() };
    Command::Register(Box::new(Registration { node, checks: vec![check], ..Registration::default() }))
}

/// A log that begins with a healthy node, one entry each second.
struct Log {
    state: State,
    index: u64,
    now: Time,
}

impl Log {
    fn new() -> Self {
        let mut log = Self { state: State::default(), index: 10, now: Time(0) };
        log.apply(&health(Status::Passing));
        log
    }

    fn apply(&mut self, command: &Command) -> Applied {
        self.index += 1;
        self.now.0 += 1000;
        self.state.apply(Index(self.index), self.now, command)
    }

    fn done(&mut self, command: &Command) -> bool {
        self.apply(command).outcome.is_done()
    }

    fn index_of(&self, key: &str) -> u64 {
        self.state.index_of(&Topic::Key(key.into())).0
    }

    fn index_below(&self, prefix: &str) -> u64 {
        self.state.index_of(&Topic::Prefix(prefix.into())).0
    }

    fn holder(&self, key: &str) -> Option<Uuid> {
        self.state.key(key).and_then(|row| row.session)
    }
}

#[test]
fn a_key_has_its_own_index_and_wakes_alone() {
    let mut log = Log::new();
    assert_eq!((log.index_of("a/x"), log.index_below("a/")), (1, 1));
    let applied = log.apply(&set("a/x", "1"));
    assert_eq!(applied.touched, [Topic::Key("a/x".into())].into());
    assert!(applied.change.rows.is_empty(), "no sidecar is sent a key");
    log.apply(&set("a/y", "1"));
    assert_eq!(
        (log.index_of("a/x"), log.index_of("a/y"), log.index_below("a/"), log.index_below("b")),
        (12, 13, 13, 1)
    );
    let again = log.apply(&set("a/x", "1"));
    assert!(again.touched.is_empty() && log.index_of("a/x") == 12, "the same again is no change");
}

#[test]
fn a_deletion_is_a_change_and_its_index_outlives_it() {
    let mut log = Log::new();
    for key in ["a/x", "a/y", "b"] {
        log.apply(&set(key, "1"));
    }
    let gone = log.apply(&Command::Key(KeyCommand::DeleteTree("a/".into())));
    assert_eq!(gone.touched, [Topic::Key("a/x".into()), Topic::Key("a/y".into())].into());
    assert_eq!((log.index_of("a/x"), log.index_below("a/"), log.index_below("b")), (15, 15, 14));
    log.apply(&set("a/y", "2"));
    log.now.0 += 15 * 60_000;
    log.apply(&set("b", "2"));
    assert_eq!(log.state.keys.gone().count(), 0, "forgotten after a while");
    assert_eq!((log.index_of("a/x"), log.index_of("a/y"), log.index_below("a/")), (15, 16, 16));
    assert_eq!((log.index_of("never"), log.index_below("never")), (15, 15));
}

#[test]
fn conditions_on_the_index() {
    let mut log = Log::new();
    let mut cas = |index: u64| log.done(&Command::Key(KeyCommand::Cas(entry("k", &index.to_string()), Index(index))));
    assert_eq!([cas(5), cas(0), cas(0), cas(13)], [false, true, false, true]);
    let delete = |index| Command::Key(KeyCommand::DeleteCas("k".into(), Index(index)));
    assert!(!log.done(&delete(13)) && log.done(&delete(15)) && log.done(&delete(99)));
    assert!(log.state.key("k").is_none());
}

#[test]
fn one_session_at_a_time_has_a_lock() {
    let mut log = Log::new();
    log.apply(&create(session(1)));
    log.apply(&create(session(2)));
    assert_eq!([log.done(&acquire("l", id(1))), log.done(&acquire("l", id(2)))], [true, false]);
    assert!(log.done(&acquire("l", id(1))), "again by its holder");
    assert_eq!((log.holder("l"), log.state.key("l").unwrap().lock_index), (Some(id(1)), 1));
    assert!(log.done(&set("l", "written past the lock")));
    assert_eq!((log.holder("l"), log.state.key("l").unwrap().lock_index), (Some(id(1)), 0));
    let release = |by| Command::Key(KeyCommand::Release(entry("l", "free"), id(by)));
    assert_eq!([log.done(&release(2)), log.done(&release(1)), log.done(&release(1))], [false, true, false]);
    assert!(log.done(&acquire("l", id(2))));
    assert_eq!(log.state.key("l").unwrap().lock_index, 1);
    assert_eq!(log.apply(&acquire("l", id(9))).outcome, Outcome::Refused(Refusal::NoSession(id(9))));
}

#[test]
fn a_session_needs_its_node_and_checks_and_is_created_once() {
    let mut log = Log::new();
    let refused = |log: &mut Log, session| match log.apply(&create(session)).outcome {
        Outcome::Refused(refusal) => refusal.to_string(),
        other => format!("{other:?}"),
    };
    assert_eq!(refused(&mut log, Session { node: "n2".into(), ..session(1) }), "Missing node registration");
    let other = Session { node_checks: vec!["disk".into()], ..session(1) };
    assert_eq!(refused(&mut log, other), "Missing check 'disk' registration");
    assert!(log.done(&create(Session { node: "N1".into(), ..session(1) })));
    let begun = log.index;
    assert!(log.apply(&create(session(1))).touched.is_empty(), "sent again after a time-out");
    assert_eq!(log.state.session(id(1)).unwrap().create_index, Index(begun));
    log.apply(&health(Status::Critical));
    assert_eq!(refused(&mut log, session(2)), "Check 'serfHealth' is in critical state");
}

#[test]
fn whatever_ends_a_session_frees_its_locks_with_the_same_command() {
    let node_gone = Command::Deregister(Deregistration::Node("n1".into()));
    let check_gone = Command::Deregister(Deregistration::Check("n1".into(), SERF_HEALTH.into()));
    for end in [destroy(1), health(Status::Critical), check_gone, node_gone] {
        let mut log = Log::new();
        log.apply(&create(session(1)));
        log.apply(&create(Session { behavior: Behavior::Delete, ..session(2) }));
        log.apply(&create(Session { node_checks: Vec::new(), ..session(3) }));
        for (key, holder) in [("kept", 1), ("ephemeral", 2), ("unbound", 3)] {
            assert!(log.done(&acquire(key, id(holder))));
        }
        let ended = log.apply(&end);
        assert!(log.state.session(id(1)).is_none() && log.holder("kept").is_none(), "{end:?}");
        assert_eq!(log.index_of("kept"), log.index);
        assert!(ended.touched.contains(&Topic::Key("kept".into())) && ended.touched.contains(&Topic::Session(id(1))));
        if end != destroy(1) {
            assert!(log.state.key("ephemeral").is_none(), "{end:?}");
            assert_eq!(log.index_of("ephemeral"), log.index);
        }
        let outlives = log.state.node("n1").is_some();
        assert_eq!(log.holder("unbound").is_some(), outlives, "{end:?}");
        assert_eq!(log.state.index_of(&Topic::SessionsOf(Key::new("n1"))), Index(log.index));
    }
}

#[test]
fn a_lock_that_was_lost_is_held_back() {
    let mut log = Log::new();
    log.apply(&create(Session { lock_delay: Duration::from_secs(15), ..session(1) }));
    log.apply(&create(session(2)));
    log.apply(&acquire("l", id(1)));
    log.apply(&destroy(1));
    assert!(log.holder("l").is_none() && !log.done(&acquire("l", id(2))));
    let transaction = Command::Transaction(vec![Operation::Key(KeyCommand::Acquire(entry("l", ""), id(2)))]);
    assert!(!log.done(&transaction));
    log.now.0 += 14_000;
    assert!(log.done(&acquire("l", id(2))));
    assert_eq!(log.state.keys.delays().count(), 0);
}

#[test]
fn a_transaction_does_all_or_nothing() {
    let mut log = Log::new();
    log.apply(&set("a", "1"));
    let key = |command| Operation::Key(command);
    let before: Vec<_> = log.state.records().collect();
    let failing = vec![
        key(KeyCommand::Set(entry("b", "2"))),
        key(KeyCommand::Cas(entry("a", "2"), Index(1))),
        Operation::GetKey("absent".into()),
        Operation::Remove(CatalogName::Node("n1".into()), Some(Index(1))),
    ];
    let applied = log.apply(&Command::Transaction(failing));
    let Outcome::Aborted(errors) = applied.outcome else { panic!("it did") };
    let reasons: Vec<_> = errors.iter().map(|error| (error.place, error.reason.as_str())).collect();
    let expected = [
        (1, "failed to set key \"a\", index is stale"),
        (2, "key \"absent\" doesn't exist"),
        (3, "failed to delete node \"n1\", index is stale"),
    ];
    assert_eq!(reasons, expected);
    assert!(applied.touched.is_empty() && applied.change.rows.is_empty());
    assert_eq!(before, log.state.records().collect::<Vec<_>>());

    let service = Service { id: "s".into(), name: "s".into(), node: "n1".into(), ..Service::default() };
    let working = vec![
        Operation::CheckAbsent("b".into()),
        key(KeyCommand::Set(entry("b", "2"))),
        Operation::GetTree("".into()),
        Operation::Put(CatalogRow::Service(Box::new(service)), Some(Index(0))),
        key(KeyCommand::Delete("a".into())),
    ];
    let applied = log.apply(&Command::Transaction(working));
    let Outcome::Committed(results) = applied.outcome else { panic!("it did not") };
    let shown: Vec<_> = results
        .iter()
        .map(|result| match result {
            OperationResult::Key(row) => format!("{}={}", row.key, String::from_utf8_lossy(&row.value)),
            OperationResult::Service(row) => format!("{}@{}", row.id, row.modify_index),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(shown, ["b=", "a=1", "b=2", "s@14"]);
    assert_eq!(applied.change.rows.len(), 1, "the service's row alone is for sidecars");
    assert!(log.state.key("a").is_none() && log.state.service("s").is_some());
}

#[test]
fn looking_changes_nothing_and_gives_no_more_than_fits() {
    let mut log = Log::new();
    let large = "x".repeat(3 << 20);
    for key in ["a", "b", "c"] {
        log.apply(&set(key, &large));
    }
    assert_eq!(log.state.look(&[Operation::GetKey("a".into())]).unwrap().len(), 1);
    let errors = log.state.look(&[Operation::GetTree("".into())]).unwrap_err();
    assert!(errors[0].reason.contains("ask for less"));
}

/// A key in the model: value, holder, modify index.
type Plain = (String, Option<u128>, u64);

/// What the registry should hold, in plain maps.
#[derive(Default)]
struct Model {
    keys: BTreeMap<String, Plain>,
    /// Sessions with their lock delays in milliseconds and whether they delete.
    sessions: BTreeMap<u128, (u64, bool)>,
    delays: BTreeMap<String, u64>,
}

#[derive(Clone, Debug)]
enum Step {
    Set(String, u8),
    Cas(String, u8, bool),
    Delete(String),
    DeleteTree(String),
    Acquire(String, u128),
    Release(String, u128),
    Create(u128, u64, bool),
    Destroy(u128),
    Fail,
    Wait(u64),
}

impl Model {
    /// Does a step at an index and a time; gives the command, and whether it should be done.
    fn step(&mut self, step: &Step, index: u64, now: u64) -> (Command, bool) {
        let value = |number: &u8| format!("v{number}");
        match step {
            Step::Set(key, number) => (set(key, &value(number)), self.put(key, value(number), None, index)),
            Step::Cas(key, number, right) => {
                let present = self.keys.get(key).map_or(0, |row| row.2);
                let expected = if *right { present } else { present + 1 };
                let command = KeyCommand::Cas(entry(key, &value(number)), Index(expected));
                (Command::Key(command), *right && self.put(key, value(number), None, index))
            }
            Step::Delete(key) => {
                self.keys.remove(key);
                (Command::Key(KeyCommand::Delete(key.as_str().into())), true)
            }
            Step::DeleteTree(prefix) => {
                self.keys.retain(|key, _| !key.starts_with(prefix.as_str()));
                (Command::Key(KeyCommand::DeleteTree(prefix.as_str().into())), true)
            }
            Step::Acquire(key, by) => {
                let holder = self.keys.get(key).and_then(|row| row.1);
                let free = holder.is_none() && self.delays.get(key).is_none_or(|until| *until <= now);
                let can = self.sessions.contains_key(by) && (holder == Some(*by) || free);
                (acquire(key, id(*by)), can && self.put(key, "held".into(), Some(Some(*by)), index))
            }
            Step::Release(key, by) => {
                let holds = self.keys.get(key).is_some_and(|row| row.1 == Some(*by));
                let command = Command::Key(KeyCommand::Release(entry(key, "free"), id(*by)));
                (command, holds && self.put(key, "free".into(), Some(None), index))
            }
            Step::Create(number, delay_s, deletes) => {
                self.sessions.entry(*number).or_insert((delay_s * 1000, *deletes));
                let behavior = if *deletes { Behavior::Delete } else { Behavior::Release };
                let lock_delay = Duration::from_secs(*delay_s);
                (create(Session { lock_delay, behavior, ..session(*number) }), true)
            }
            Step::Destroy(number) => {
                self.end(*number, index, now);
                (destroy(*number), true)
            }
            Step::Fail => {
                let all: Vec<u128> = self.sessions.keys().copied().collect();
                all.into_iter().for_each(|number| self.end(number, index, now));
                (health(Status::Critical), true)
            }
            Step::Wait(_) => (health(Status::Passing), true),
        }
    }

    /// `holder`: who holds it from now on; `None`: who did.
    fn put(&mut self, key: &str, value: String, holder: Option<Option<u128>>, index: u64) -> bool {
        let old = self.keys.get(key);
        let holder = holder.unwrap_or_else(|| old.and_then(|old| old.1));
        // Puts of the same may or may not count as a change (of the lock's count): see the comparison.
        let index = old.filter(|old| (&old.0, old.1) == (&value, holder)).map_or(index, |old| old.2);
        self.keys.insert(key.into(), (value, holder, index));
        true
    }

    fn end(&mut self, number: u128, index: u64, now: u64) {
        let Some((delay_ms, deletes)) = self.sessions.remove(&number) else { return };
        let held: Vec<String> =
            self.keys.iter().filter(|(_, row)| row.1 == Some(number)).map(|(key, _)| key.clone()).collect();
        for key in held {
            if deletes {
                self.keys.remove(&key);
            } else if let Some(row) = self.keys.get_mut(&key) {
                (row.1, row.2) = (None, index);
            }
            if delay_ms > 0 {
                self.delays.insert(key, now + delay_ms);
            }
        }
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    let key = || prop::sample::select(vec!["a", "a/", "a/b", "a/c", "b", "é"]).prop_map(String::from);
    let by = 1..4_u128;
    prop_oneof![
        (key(), 0..3_u8).prop_map(|(key, value)| Step::Set(key, value)),
        (key(), 0..3_u8, any::<bool>()).prop_map(|(key, value, right)| Step::Cas(key, value, right)),
        key().prop_map(Step::Delete),
        key().prop_map(Step::DeleteTree),
        (key(), by.clone()).prop_map(|(key, by)| Step::Acquire(key, by)),
        (key(), by.clone()).prop_map(|(key, by)| Step::Acquire(key, by)),
        (key(), by.clone()).prop_map(|(key, by)| Step::Release(key, by)),
        (by.clone(), 0..8_u64, any::<bool>()).prop_map(|(by, delay, deletes)| Step::Create(by, delay, deletes)),
        by.prop_map(Step::Destroy),
        Just(Step::Fail),
        (0..20_u64).prop_map(Step::Wait),
    ]
}

fn loaded(state: &State) -> State {
    let mut loader = Loader::default();
    state.records().for_each(|record| loader.push(record));
    loader.finish(state.index())
}

proptest! {
    /// The registry does as the plain model does; a replayed log and a state loaded from a snapshot in the middle of
    /// it are the same as the state; indexes never go back, and grow with every change.
    #[test]
    fn random_steps_do_what_the_model_does(steps in prop::collection::vec(any_step(), 1..80), cut in 0..80_usize) {
        let (mut log, mut model) = (Log::new(), Model::default());
        let mut restored = None;
        let prefixes = ["", "a", "a/", "é", "x"];
        for (number, step) in steps.iter().enumerate() {
            if number == cut.min(steps.len() - 1) {
                restored = Some(Log { state: loaded(&log.state), ..log });
                log = Log { state: loaded(&restored.as_ref().unwrap().state), index: log.index, now: log.now };
            }
            if let Step::Wait(seconds) = step {
                log.now.0 += seconds * 1000;
            }
            if matches!(step, Step::Create(..)) {
                log.apply(&health(Status::Passing));
            }
            let before: Vec<_> = prefixes.iter().map(|prefix| log.index_below(prefix)).collect();
            let (command, done) = model.step(step, log.index + 1, log.now.0 + 1000);
            let applied = log.apply(&command);
            prop_assert_eq!(applied.outcome.is_done(), done, "{:?}", step);
            let rows: Vec<_> = log.state.keys_below("").map(|row| (row.key.to_string(), row.value.clone(), row.session)).collect();
            let wanted: Vec<_> = model.keys.iter()
                .map(|(key, row)| (key.clone(), Bytes::from(row.0.clone()), row.1.map(Uuid::from_u128))).collect();
            prop_assert_eq!(rows, wanted, "{:?}", step);
            prop_assert!(log.state.sessions().map(|session| session.id.as_u128()).eq(model.sessions.keys().copied()));
            for (prefix, before) in prefixes.iter().zip(before) {
                let touches = applied.touched.iter().any(|topic| matches!(topic, Topic::Key(key) if key.starts_with(prefix)));
                let index = log.index_below(prefix);
                prop_assert!(if touches { index == log.index } else { index >= before }, "{:?} {}", step, prefix);
            }
            // The model's indexes are for its conditions: taken over where the same was put again.
            for row in log.state.keys_below("") {
                model.keys.get_mut(row.key.as_str()).unwrap().2 = row.modify_index.0;
            }
            if let Some(restored) = &mut restored {
                restored.index = log.index - 1;
                restored.now.0 = log.now.0 - 1000;
                if matches!(step, Step::Create(..)) {
                    restored.state.apply(Index(restored.index), restored.now, &health(Status::Passing));
                }
                restored.apply(&command);
                prop_assert!(restored.state.records().eq(log.state.records()), "{:?}", step);
            }
        }
    }

    /// A key wakes those who wait for it and for its prefixes, each once, and nobody else.
    #[test]
    fn a_key_wakes_whom_it_concerns(prefixes in prop::collection::btree_set("[aé/]{0,4}", 0..12), key in "[aé/]{0,5}") {
        let mut waiting: BTreeMap<Topic, String> = prefixes.iter().map(|p| (Topic::Prefix(p.into()), p.clone())).collect();
        waiting.insert(Topic::Key("a".into()), "key a".into());
        waiting.insert(Topic::Nodes, "nodes".into());
        let mut woken = Vec::new();
        for_each_woken(&waiting, &Topic::Key(SmolStr::new(&key)), |_, name| woken.push(name.clone()));
        woken.sort();
        let mut expected: Vec<_> = prefixes.into_iter().filter(|prefix| key.starts_with(prefix.as_str())).collect();
        expected.extend((key == "a").then(|| "key a".to_string()));
        expected.sort();
        prop_assert_eq!(woken, expected);
    }
}
