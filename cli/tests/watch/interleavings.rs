//! The servers' streams, message by message: in whatever order changes are applied, told and taken, and streams break
//! off and are resumed, who has caught up has the server's state, and was never sent anything twice or out of order.
//!
//! No network and no real time: the streams are taken from the service itself, so that a watcher can stop reading in the
//! middle of a whole state. The watcher here is stricter than a sidecar, which passes over what it has. `main` has what
//! happens to a sidecar over real connections.

use futures_util::StreamExt;
use lictor_proto::{
    client::PROTOCOL_VERSION,
    decode_change, decode_record,
    internal::{WatchRequest, registry_server::Registry, watch_event},
};
use lictor_server::grpc::{RegistryService, WatchStream};
use lictor_shared::{
    catalog::{Loader, Record, State},
    command::{Command, Deregistration},
    model::{Index, Status},
    tasks::Tasks,
};
use proptest::prelude::*;
use tonic::Request;

use super::{
    register,
    registry::{Log, Store},
};

/// The Raft IDs of the cluster.
const IDS: [u64; 2] = [1, 2];
/// Messages in which a watcher has surely caught up.
const ENOUGH_MESSAGES: usize = 1000;

/// Who follows one server after another, and insists on what each message must be.
#[derive(Default)]
struct Watcher {
    state: State,
    loading: Option<Loader>,
    stream: Option<WatchStream>,
}

impl Watcher {
    async fn open(&mut self, service: &RegistryService) {
        self.loading = None;
        let request = WatchRequest {
            node: "n".into(),
            datacenter: "dc1".into(),
            resume_index: self.state.index().0,
            protocol_version: PROTOCOL_VERSION,
            server_ids: IDS.to_vec(),
        };
        self.stream = Some(service.watch(Request::new(request)).await.unwrap().into_inner());
    }

    /// Takes the next message, if there is a stream; there is a heartbeat at the latest.
    async fn take(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        let event = stream.next().await.expect("a stream never ends by itself").unwrap().event.unwrap();
        match event {
            watch_event::Event::Heartbeat(heartbeat) => assert_eq!(heartbeat.server_ids, IDS),
            watch_event::Event::InitBegin(_) => {
                assert!(self.loading.replace(Loader::default()).is_none(), "a state within a state");
            }
            watch_event::Event::Records(records) => {
                let loader = self.loading.as_mut().expect("records of no state");
                records.records.iter().for_each(|record| loader.push(decode_record(record).unwrap()));
            }
            watch_event::Event::InitDone(done) => {
                assert!(Index(done.index) >= self.state.index(), "back from {} to {}", self.state.index(), done.index);
                self.state = self.loading.take().expect("the end of no state").finish(Index(done.index));
            }
            watch_event::Event::Changes(changes) => {
                assert!(self.loading.is_none(), "changes within a state");
                for change in changes.changes.iter().map(|encoded| decode_change(encoded).unwrap()) {
                    assert_eq!(change.index.0, self.state.index().0 + 1, "not the next change");
                    self.state.absorb(&change);
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A server applies so many commands more: its view shows them.
    Show(usize, u64),
    /// It tells its streams.
    Tell(usize),
    /// It is sent a snapshot of all that the log has.
    Install(usize),
    Open(usize),
    Break,
    Take(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let server = || 0..IDS.len();
    prop_oneof![
        4 => (server(), 1..8_u64).prop_map(|(server, commands)| Step::Show(server, commands)),
        4 => server().prop_map(Step::Tell),
        1 => server().prop_map(Step::Install),
        2 => server().prop_map(Step::Open),
        1 => Just(Step::Break),
        5 => (1..8_usize).prop_map(Step::Take),
    ]
}

/// The same commands in every case: what is tested is their order on the way.
fn command(number: u64) -> Command {
    let (node, status) = (format!("n{}", number * 7 % 5), Status::ALL[usize::try_from(number % 3).unwrap()]);
    match number % 6 {
        5 => Command::Deregister(Deregistration::Node(node.as_str().into())),
        4 => Command::Deregister(Deregistration::Service(node.as_str().into(), "web".into())),
        _ => register(&node, if number.is_multiple_of(2) { "web" } else { "db" }, status),
    }
}

async fn any_order(steps: Vec<Step>, ring: usize) {
    let (log, tasks) = (Log::new(&IDS), Tasks::new());
    let mut last = Index(0);
    let stores = IDS.map(|_| Store::new(&log, ring, "127.0.0.1:1".parse().unwrap()));
    let services = stores.each_ref().map(|store| store.service(&tasks));
    let mut watcher = Watcher::default();
    for step in steps {
        match step {
            Step::Show(server, commands) => {
                let store = &stores[server];
                let wanted = Index(store.reader.load().index().0 + commands);
                while last < wanted {
                    last = log.append(command(last.0));
                }
                store.show_to(wanted);
            }
            Step::Tell(server) => stores[server].tell(),
            Step::Install(server) => stores[server].install_snapshot(),
            Step::Open(server) => watcher.open(&services[server]).await,
            Step::Break => watcher.stream = None,
            Step::Take(messages) => {
                for _ in 0..messages {
                    watcher.take().await;
                }
            }
        }
    }
    last = log.append(command(last.0));
    stores.iter().for_each(|store| _ = store.apply_to(last));
    if watcher.stream.is_none() {
        watcher.open(&services[0]).await;
    }
    for _ in 0..ENOUGH_MESSAGES {
        if watcher.state.index() == last {
            break;
        }
        watcher.take().await;
    }
    let sent: Vec<Record> = watcher.state.records().collect();
    assert_eq!(watcher.state.index(), last);
    assert_eq!(sent, stores[0].records());
    drop(watcher);
    assert!(tasks.shutdown(std::time::Duration::from_secs(10)).await);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn streams_give_the_servers_state_in_any_order_of_what_happens(
        steps in prop::collection::vec(step(), 0..80),
        ring in prop_oneof![Just(1_usize), Just(6), Just(1000)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(any_order(steps, ring));
    }
}
