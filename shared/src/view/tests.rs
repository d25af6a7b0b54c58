//! What readers may rely on, whatever the servers, this node and the network do.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::timeout;
use uuid::Uuid;

use super::*;
use crate::{
    catalog::{Loader, tests::any_command},
    command::{QueryCommand, Registration},
    model::{Key, Node, PreparedQuery, Service, Status},
};

fn write(writer: &mut Writer, index: u64, service: &str) {
    let mut state = State::clone(&writer.state());
    let node = Node { name: "n".into(), ..Node::default() };
    let service = Service { id: service.into(), name: service.into(), ..Service::default() };
    let service = Some(Service { port: u16::try_from(index).unwrap(), ..service });
    let command = Command::Register(Box::new(Registration { node, service, ..Registration::default() }));
    let applied = state.apply(Index(index), Time(0), &command);
    writer.publish(state, &applied.touched);
}

#[tokio::test]
async fn a_reader_wakes_for_its_topic_only() {
    let (mut writer, reader) = new();
    write(&mut writer, 5, "a");
    let topic = Topic::Service(Key::new("a"));
    let waiting = reader.changed(&topic, Index(5));
    tokio::pin!(waiting);
    assert!(timeout(Duration::from_millis(5), &mut waiting).await.is_err());
    let woken = reader.wait_for(&topic);
    let wake_up = woken.next();
    tokio::pin!(wake_up);
    write(&mut writer, 6, "b");
    assert!(timeout(Duration::from_millis(5), &mut wake_up).await.is_err());
    write(&mut writer, 7, "a");
    assert_eq!(timeout(Duration::from_secs(5), waiting).await.unwrap().index(), Index(7));
    timeout(Duration::from_secs(5), wake_up).await.unwrap();
}

#[tokio::test]
async fn a_wake_up_between_look_and_wait_is_not_lost() {
    let (mut writer, reader) = new();
    let waiting = reader.wait_for(&Topic::Services);
    let next = waiting.next();
    write(&mut writer, 3, "a");
    timeout(Duration::from_secs(5), next).await.unwrap();
}

#[tokio::test]
async fn reach_returns_when_the_index_is_there() {
    let (mut writer, reader) = new();
    write(&mut writer, 3, "a");
    reader.reach(Index(2)).await;
    let waiting = reader.reach(Index(5));
    tokio::pin!(waiting);
    assert!(timeout(Duration::from_millis(5), &mut waiting).await.is_err());
    write(&mut writer, 6, "a");
    timeout(Duration::from_secs(5), waiting).await.unwrap();
}

#[test]
fn a_view_never_goes_back() {
    let (mut writer, reader) = new();
    write(&mut writer, 9, "a");
    writer.replace(State::default());
    assert_eq!(reader.load().index(), Index(9));
}

#[test]
fn topics_without_waiters_are_forgotten() {
    let (_writer, reader) = new();
    let waiting: Vec<_> = (0..100).map(|i| reader.wait_for(&Topic::Service(Key::new(&format!("s{i}"))))).collect();
    assert_eq!(reader.topics_waited_for(), 100);
    drop(waiting);
    assert_eq!(reader.topics_waited_for(), 0);
}

/// What a node may live through.
#[derive(Clone, Debug)]
enum Event {
    /// The servers tell of a command.
    Told(Command),
    /// This node has these unsent commands.
    Unsent(Vec<Command>),
    /// The servers send the whole state, these commands later.
    Resync(Vec<Command>),
    /// The cluster was formed anew, and this is what it has.
    FormedAnew(Vec<Command>),
}

/// What only servers write.
fn any_query() -> impl Strategy<Value = Command> {
    (0..3_u128, 0..3_u8, 0..3_u8).prop_map(|(id, name, kind)| {
        let id = Uuid::from_u128(id);
        let query = PreparedQuery { id, name: format!("q{name}").into(), ..PreparedQuery::default() };
        Command::Query(match kind {
            0 => QueryCommand::Create(Box::new(query)),
            1 => QueryCommand::Update(Box::new(query)),
            _ => QueryCommand::Delete(id),
        })
    })
}

fn any_event() -> impl Strategy<Value = Event> {
    let any = || prop_oneof![3 => any_command(), 1 => any_query()];
    let several = |most| prop::collection::vec(any(), 0..most);
    prop_oneof![
        6 => any().prop_map(Event::Told),
        4 => prop::collection::vec(any_command(), 0..4).prop_map(Event::Unsent),
        1 => several(4).prop_map(Event::Resync),
        1 => several(6).prop_map(Event::FormedAnew),
    ]
}

fn all_topics() -> Vec<Topic> {
    let mut topics = vec![Topic::Nodes, Topic::Services, Topic::Checks, Topic::Coordinates];
    topics.push(Topic::Queries);
    topics.extend((0..3).map(|id| Topic::Query(Uuid::from_u128(id))));
    topics.extend(Status::ALL.map(Topic::Status));
    topics.extend((0..3).map(|n| Topic::Node(Key::new(&format!("n{n}")))));
    topics.extend(["web", "web0", "web1", "web2", "web3", "absent"].map(|name| Topic::Service(Key::new(name))));
    topics
}

/// All that an answer about a topic can say.
fn answer(state: &State, topic: &Topic) -> String {
    match topic {
        Topic::Access => format!("{:?}", state.access_policies().collect::<Vec<_>>()),
        Topic::Nodes => format!("{:?}", state.nodes().collect::<Vec<_>>()),
        Topic::Node(key) => {
            let (services, checks) = (state.node_services(key.as_str()), state.node_checks(key.as_str()));
            let rows = (state.node(key.as_str()), services.collect::<Vec<_>>(), checks.collect::<Vec<_>>());
            format!("{rows:?}")
        }
        Topic::Services => {
            let tags = |name: &str| state.instances(name).map(|i| i.service.tags.clone()).collect::<Vec<_>>();
            format!("{:?}", state.services().map(|entry| (entry.name.clone(), tags(&entry.name))).collect::<Vec<_>>())
        }
        Topic::Service(key) => format!("{:?}", state.instances(key.as_str()).collect::<Vec<_>>()),
        Topic::Checks => format!("{:?}", state.checks().collect::<Vec<_>>()),
        Topic::Status(status) => {
            format!("{:?}", state.checks().filter(|check| check.status == *status).collect::<Vec<_>>())
        }
        Topic::Coordinates => format!("{:?}", state.coordinates().collect::<Vec<_>>()),
        Topic::Key(_) | Topic::Prefix(_) | Topic::Sessions | Topic::Session(_) | Topic::SessionsOf(_) => {
            unreachable!("only servers hold keys and sessions, and only sidecars have two layers")
        }
        Topic::Queries => format!("{:?}", state.queries().collect::<Vec<_>>()),
        Topic::Query(id) => format!("{:?}", state.query(*id)),
    }
}

fn with(mut state: State, commands: &[Command]) -> State {
    for command in commands {
        let index = Index(state.index().0 + 1);
        state.apply(index, Time(index.0), command);
    }
    state
}

fn happen(writer: &mut Writer, reader: &Reader, event: Event) {
    let base = State::clone(&writer.state());
    match event {
        Event::Told(command) => {
            let mut state = base;
            let index = Index(state.index().0 + 1);
            let applied = state.apply(index, Time(index.0), &command);
            writer.publish(state, &applied.touched);
        }
        Event::Unsent(commands) => reader.show(commands, Time(base.index().0)),
        Event::Resync(commands) => {
            let later = with(base, &commands);
            let mut loader = Loader::default();
            later.records().for_each(|record| loader.push(record));
            writer.replace(loader.finish(later.index()));
        }
        Event::FormedAnew(commands) => writer.begin_anew(with(State::default(), &commands)),
    }
}

proptest! {
    #[test]
    fn an_index_never_goes_back_and_grows_with_every_change(events in prop::collection::vec(any_event(), 1..40)) {
        let (mut writer, reader) = new();
        // The first entries of a log are the cluster's own.
        writer.replace(with(State::default(), &vec![Command::UpdateCoordinates(Vec::new()); 5]));
        let topics = all_topics();
        for event in events {
            let before = reader.load_full();
            let plain = matches!(event, Event::Told(_)) && Arc::ptr_eq(&before, &reader.base());
            happen(&mut writer, &reader, event.clone());
            let after = reader.load_full();
            for topic in &topics {
                let (was, is) = (before.index_of(topic), after.index_of(topic));
                let changed = answer(&before, topic) != answer(&after, topic);
                prop_assert!(is >= was && (is > was || !changed), "{event:?}: {topic:?} from {was} to {is}");
                prop_assert!(is <= after.highest_index().max(Index(1)), "{topic:?}: {is}");
            }
            if plain {
                prop_assert!(Arc::ptr_eq(&after, &reader.base()), "nothing is made anew in ordinary times");
            }
        }
        reader.show(Vec::new(), Time(0));
        let (shown, base) = (reader.load_full(), reader.base());
        prop_assert_eq!(shown.records().collect::<Vec<_>>(), base.records().collect::<Vec<_>>());
        prop_assert_eq!(shown.index(), base.index());
    }
}

#[test]
fn indexes_join_those_of_the_servers_again() {
    let (mut writer, reader) = new();
    write(&mut writer, 5, "a");
    let topic = Topic::Service(Key::new("a"));
    let critical = |status| {
        let node = Node { name: "n".into(), ..Node::default() };
        let check = crate::model::Check { id: "c".into(), status, ..crate::model::Check::default() };
        let registration = Registration { node, skip_node_update: true, service: None, checks: vec![check] };
        vec![Command::Register(Box::new(registration))]
    };
    for (shown, index) in [(critical(Status::Critical), 6), (critical(Status::Passing), 7), (Vec::new(), 8)] {
        reader.show(shown, Time(1));
        assert_eq!(reader.load().index_of(&topic), Index(index));
    }
    assert_eq!((reader.load().index(), reader.load().highest_index()), (Index(5), Index(8)));
    write(&mut writer, 6, "a");
    assert_eq!(reader.load().index_of(&topic), Index(9));
    write(&mut writer, 20, "a");
    assert_eq!(reader.load().index_of(&topic), Index(20));
}

#[tokio::test]
async fn what_only_this_node_shows_wakes_readers_and_is_not_in_the_base() {
    let (mut writer, reader) = new();
    write(&mut writer, 5, "a");
    let topic = Topic::Service(Key::new("a"));
    let waiting = reader.changed(&topic, Index(5));
    tokio::pin!(waiting);
    assert!(timeout(Duration::from_millis(5), &mut waiting).await.is_err());
    let gone = Command::Deregister(crate::command::Deregistration::Node("n".into()));
    reader.show(vec![gone], Time(1));
    let shown = timeout(Duration::from_secs(5), waiting).await.unwrap();
    assert_eq!(shown.instances("a").count(), 0);
    assert_eq!((reader.base().instances("a").count(), writer.state().instances("a").count()), (1, 1));
}
