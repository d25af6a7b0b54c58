//! Sessions: their tables, the meaning of each [`SessionCommand`], and what else ends one.
//!
//! A session is bound to a node and to checks on it. When a change of the catalog takes the node or such a check away,
//! or turns the check critical, the session ends with the same command: its locks are free (or its keys gone), and the
//! prepared queries that go with it are gone, at the same index. That its time to live has passed is for the leader to find out (a command destroys it then): here is no
//! clock.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use uuid::Uuid;

use super::{Row, State, Topic, apply::Changes};
use crate::{
    command::{Refusal, SessionCommand},
    model::{Index, Key, NodeName, Session, Status},
};

/// The tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    rows: OrdMap<Uuid, Arc<Session>>,
    by_node: OrdSet<(Key, Uuid)>,
    /// The last change of any.
    pub index: Index,
    /// The last end of any: the index of every session that is not there.
    pub gone: Index,
}

impl Sessions {
    /// When a session began or, where it is not there, when any may have ended last.
    pub fn index_of(&self, id: Uuid) -> Index {
        self.rows.get(&id).map_or(self.gone, |session| session.modify_index)
    }

    fn on_node<'a>(&'a self, node: &'a Key) -> impl Iterator<Item = &'a Arc<Session>> {
        let ids = self.by_node.range((node.clone(), Uuid::nil())..).take_while(move |(n, _)| n == node);
        ids.filter_map(|(_, id)| self.rows.get(id))
    }

    /// When the sessions of a node last changed.
    pub fn index_on(&self, node: &Key) -> Index {
        let begun = self.on_node(node).map(|session| session.modify_index).max();
        begun.unwrap_or_default().max(self.gone)
    }

    /// Puts a row as it is.
    pub fn put(&mut self, session: Arc<Session>) {
        self.by_node.insert((session.node.key(), session.id));
        self.rows.insert(session.id, session);
    }

    fn remove(&mut self, id: Uuid) -> Option<Arc<Session>> {
        let session = self.rows.remove(&id)?;
        self.by_node.remove(&(session.node.key(), id));
        Some(session)
    }
}

impl State {
    /// The session with that ID.
    #[must_use]
    pub fn session(&self, id: Uuid) -> Option<&Arc<Session>> {
        self.sessions.rows.get(&id)
    }

    /// All sessions, by ID.
    pub fn sessions(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.sessions.rows.values()
    }

    /// The sessions that are bound to a node, by ID.
    #[must_use]
    pub fn node_sessions(&self, node: &str) -> Vec<Arc<Session>> {
        self.sessions.on_node(&Key::new(node)).cloned().collect()
    }

    /// Does what the command says.
    pub(super) fn write_session(&mut self, command: &SessionCommand, changes: &mut Changes) -> Result<(), Refusal> {
        match command {
            SessionCommand::Create(session) => self.create_session(session, changes),
            SessionCommand::Destroy(id) => {
                self.end_session(*id, changes);
                Ok(())
            }
        }
    }

    fn create_session(&mut self, session: &Session, changes: &mut Changes) -> Result<(), Refusal> {
        if self.session(session.id).is_some() {
            return Ok(());
        }
        let node = self.node(&session.node).ok_or(Refusal::MissingNode)?.name.clone();
        for id in session.checks() {
            let check = self.node_check(&node, id).ok_or_else(|| Refusal::MissingCheck(id.clone()))?;
            if check.status == Status::Critical {
                return Err(Refusal::CriticalCheck(id.clone()));
            }
        }
        let row = Session { node, create_index: self.index, modify_index: self.index, ..session.clone() };
        self.touch_session(&row, changes);
        self.sessions.put(Arc::new(row));
        Ok(())
    }

    fn touch_session(&mut self, session: &Session, changes: &mut Changes) {
        self.sessions.index = self.index;
        let topics = [Topic::Sessions, Topic::Session(session.id), Topic::SessionsOf(session.node.key())];
        changes.touched.extend(topics);
    }

    /// Ends a session, if it is there, and takes its locks.
    pub(super) fn end_session(&mut self, id: Uuid, changes: &mut Changes) {
        let Some(session) = self.sessions.remove(id) else { return };
        self.sessions.gone = self.index;
        self.touch_session(&session, changes);
        self.give_up_keys(&session, changes);
        self.end_queries_of(id, changes);
    }

    /// Ends the sessions that cannot go on after a change of this row, which was made already.
    pub(super) fn end_sessions_of(&mut self, row: &Row, changes: &mut Changes) {
        let ended: Vec<Uuid> = match row {
            Row::Check(check) if check.status == Status::Critical => self.sessions_with_check(&check.node, &check.id),
            Row::CheckGone(node, id) => self.sessions_with_check(node, id),
            Row::NodeGone(node) => self.sessions.on_node(&node.key()).map(|session| session.id).collect(),
            _ => return,
        };
        ended.into_iter().for_each(|id| self.end_session(id, changes));
    }

    fn sessions_with_check(&self, node: &NodeName, check: &str) -> Vec<Uuid> {
        let (node, check) = (node.key(), Key::new(check));
        let bound = self.sessions.on_node(&node).filter(|session| session.checks().any(|id| id.key() == check));
        bound.map(|session| session.id).collect()
    }
}
