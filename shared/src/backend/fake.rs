//! A backend for tests: one server without Raft, whose log is a counter and whose leader can be lost.

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::stream;

use uuid::Uuid;

use super::{Backend, BackendError, Consistency, Contact, Fetch, Fetched, Pieces, ServerReport, ServersReport};
use crate::{
    acl::{Authority, Credential},
    catalog::State,
    command::{Command, SessionCommand, Written},
    http::Interface,
    model::{Index, Time},
    view::{self, Reader, Writer},
};

/// The index of the first write, so that indexes are told apart from the 1 of an empty table.
const FIRST_INDEX: u64 = 10;
/// What comes at once of the body of a fetched answer, in bytes.
const BEGINNING_BYTES: usize = 64;

/// Applies commands straight to a view.
pub struct Fake {
    reader: Reader,
    /// The server that is asked what this node does not hold.
    server: Interface,
    /// A server of another datacenter.
    far: Interface,
    fetches: Mutex<Vec<Fetch>>,
    /// Whether the way to other datacenters is cut.
    is_cut: AtomicBool,
    inner: Mutex<Inner>,
    authority: OnceLock<Arc<Authority>>,
}

struct Inner {
    writer: Writer,
    next: u64,
    contact: Contact,
    barriers: usize,
}

impl Fake {
    /// A backend with an empty registry and a leader: itself.
    pub fn new() -> Arc<Self> {
        let (writer, reader) = view::new();
        let contact = Contact { known_leader: true, last: Duration::ZERO };
        let inner = Inner { writer, next: FIRST_INDEX, contact, barriers: 0 };
        let (server, far) = (Interface::default(), Interface::default());
        let (fetches, is_cut) = (Mutex::default(), AtomicBool::new(false));
        Arc::new(Self { reader, server, far, fetches, is_cut, inner: Mutex::new(inner), authority: OnceLock::new() })
    }

    /// Sees what was written.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Who decides; everybody may do everything until that is set.
    pub fn authority(&self) -> Arc<Authority> {
        self.authority.get().cloned().unwrap_or_else(|| Arc::new(Authority::open(self.reader())))
    }

    /// From now on this one decides.
    pub fn set_authority(&self, authority: Arc<Authority>) {
        assert!(self.authority.set(authority).is_ok());
    }

    /// The server that is asked what this node does not hold: none until it is opened.
    pub fn server(&self) -> &Interface {
        &self.server
    }

    /// The server of another datacenter that is asked on the way of a server: none until it is opened.
    pub fn far(&self) -> &Interface {
        &self.far
    }

    /// Cuts the way to other datacenters, or mends it.
    pub fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Relaxed);
    }

    /// What that server was asked.
    pub fn fetches(&self) -> Vec<Fetch> {
        self.fetches.lock().unwrap().clone()
    }

    /// Writes without asking whether there is a leader.
    pub fn apply(&self, command: &Command) -> Written {
        let mut inner = self.inner.lock().unwrap();
        let mut state = State::clone(&inner.writer.state());
        let index = Index(inner.next);
        inner.next += 1;
        let applied = state.apply(index, Time(index.0 * 1000), command);
        inner.writer.publish(state, &applied.touched);
        Written { index, outcome: applied.outcome }
    }

    /// From now on there is no leader; the last word from one is this old.
    pub fn lose_leader(&self, last: Duration) {
        self.inner.lock().unwrap().contact = Contact { known_leader: false, last };
    }

    /// How often a barrier was asked for.
    pub fn barriers(&self) -> usize {
        self.inner.lock().unwrap().barriers
    }
}

#[async_trait]
impl Backend for Fake {
    async fn write(&self, command: Command, by: &Credential) -> Result<Written, BackendError> {
        if !self.contact().known_leader {
            return Err(BackendError::NoLeader);
        }
        self.authority().authorize(by, &command)?;
        Ok(self.apply(&command))
    }

    async fn barrier(&self, _: Consistency) -> Result<Index, BackendError> {
        self.inner.lock().unwrap().barriers += 1;
        if self.contact().known_leader { Ok(self.reader.load().index()) } else { Err(BackendError::NoLeader) }
    }

    async fn servers(&self, _: bool, _: &Credential) -> Result<ServersReport, BackendError> {
        let server = ServerReport {
            name: "node-a".into(),
            node_id: Uuid::from_u128(1),
            address: "127.0.0.1:8300".into(),
            voter: true,
            leader: true,
            last_contact: Some(Duration::ZERO),
            last_term: 2,
            last_index: self.reader.load().index(),
            stable_since: Time(1_700_000_000_000),
        };
        let last_index = server.last_index;
        if self.contact().known_leader {
            Ok(ServersReport { servers: vec![server], last_index })
        } else {
            Err(BackendError::NoLeader)
        }
    }

    async fn fetch(&self, fetch: Fetch) -> Result<Fetched, BackendError> {
        self.fetches.lock().unwrap().push(fetch.clone());
        if self.is_cut.load(Relaxed) && !fetch.datacenter.is_empty() {
            let (datacenter, reason) = (fetch.datacenter, "it is cut off".into());
            return Err(BackendError::DatacenterUnavailable { datacenter, reason });
        }
        let far = Fetch { crossed: true, ..fetch.clone() };
        let mut fetched = match self.far.answer(far).await.filter(|_| !fetch.datacenter.is_empty()) {
            Some(fetched) => fetched,
            None if fetch.datacenter.is_empty() => self.server.answer(fetch).await.ok_or(BackendError::NoServers)?,
            None => self.server.answer(fetch).await.ok_or(BackendError::NoPath)?,
        };
        if fetched.body.len() > BEGINNING_BYTES {
            let rest = fetched.body.split_off(BEGINNING_BYTES);
            fetched.rest_bytes = rest.len() as u64;
            fetched.rest = Some(Pieces::new(stream::iter([Ok(rest)])));
        }
        Ok(fetched)
    }

    async fn renew(&self, session: Uuid, by: &Credential) -> Result<bool, BackendError> {
        self.authority().authorize(by, &Command::Session(SessionCommand::Destroy(session)))?;
        if !self.contact().known_leader {
            return Err(BackendError::NoLeader);
        }
        Ok(self.reader.load().session(session).is_some())
    }

    fn contact(&self) -> Contact {
        self.inner.lock().unwrap().contact
    }

    fn leader(&self) -> Option<String> {
        self.contact().known_leader.then(|| "127.0.0.1:8300".to_string())
    }

    fn peers(&self) -> Vec<String> {
        vec!["127.0.0.1:8300".to_string()]
    }
}
