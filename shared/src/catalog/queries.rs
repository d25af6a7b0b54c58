//! Prepared queries: their tables, the meaning of each [`QueryCommand`], and which one a name means.
//!
//! Every node has them, so that a question by name is answered where it is asked. Their tokens stay on the servers: the
//! rows that others are sent say no more than that there is one ([`PreparedQuery::without_secret`]).
//!
//! A text that is an ID means the query with that ID. Any other means the query of that name, in any letter case, or
//! else the template whose name is the longest that it begins with.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use uuid::Uuid;

use super::{Row, State, Topic, Touched, apply::Changes, template::Renderer, topic::common_prefix};
use crate::{
    command::{QueryCommand, Refusal},
    model::{Key, PreparedQuery},
};

/// The most queries there are: every node holds them all.
pub(super) const MAX_QUERIES: u32 = 4096;
/// The longest name that is asked by, in bytes: it is put into texts of a template.
pub const MAX_QUERY_NAME_BYTES: usize = 512;

/// The tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Queries {
    rows: OrdMap<Uuid, Arc<PreparedQuery>>,
    /// Those that have a name, templates too.
    names: OrdMap<Key, Uuid>,
    templates: OrdMap<Key, Renderer>,
    /// Sessions, and the queries that go with them.
    bound: OrdSet<(Uuid, Uuid)>,
}

impl Queries {
    /// The template for a name.
    fn template(&self, name: &Key) -> Option<&Renderer> {
        // All prefixes of a text stand before it, the longer ones later; one that stands between and is none of them
        // shows how much shorter the next can be at most.
        let mut upper = name.as_str();
        loop {
            let (prefix, renderer) = self.templates.get_prev(upper)?;
            if name.as_str().starts_with(prefix.as_str()) {
                return Some(renderer);
            }
            upper = common_prefix(name.as_str(), prefix.as_str());
        }
    }

    fn put(&mut self, query: &Arc<PreparedQuery>) {
        self.remove(query.id);
        let name = Key::new(&query.name);
        if !query.name.is_empty() {
            self.names.insert(name.clone(), query.id);
        }
        if query.template.is_some() {
            self.templates.insert(name, Renderer::new(query.clone()));
        }
        if let Some(session) = query.session {
            self.bound.insert((session, query.id));
        }
        self.rows.insert(query.id, query.clone());
    }

    fn remove(&mut self, id: Uuid) {
        let Some(query) = self.rows.remove(&id) else { return };
        let name = Key::new(&query.name);
        self.names.remove(&name);
        if query.template.is_some() {
            self.templates.remove(&name);
        }
        if let Some(session) = query.session {
            self.bound.remove(&(session, id));
        }
    }

    fn bound_to(&self, session: Uuid) -> impl Iterator<Item = Uuid> {
        self.bound.range((session, Uuid::nil())..).take_while(move |(s, _)| *s == session).map(|(_, id)| *id)
    }
}

impl State {
    /// All prepared queries, by ID.
    pub fn queries(&self) -> impl Iterator<Item = &Arc<PreparedQuery>> {
        self.queries.rows.values()
    }

    /// The prepared query with that ID.
    #[must_use]
    pub fn query(&self, id: Uuid) -> Option<&Arc<PreparedQuery>> {
        self.queries.rows.get(&id)
    }

    /// The prepared query that is meant by this text; a template is made into the query for that name.
    ///
    /// # Errors
    /// [`IsTemplate`]: it is the ID of a template, from which no query can be made.
    pub fn find_query(&self, id_or_name: &str) -> Result<Option<Arc<PreparedQuery>>, IsTemplate> {
        if id_or_name.is_empty() || id_or_name.len() > MAX_QUERY_NAME_BYTES {
            return Ok(None);
        }
        if let Some(query) = as_id(id_or_name).and_then(|id| self.query(id)) {
            return if query.template.is_some() { Err(IsTemplate) } else { Ok(Some(query.clone())) };
        }
        let name = Key::new(id_or_name);
        let named = self.queries.names.get(&name).and_then(|id| self.query(*id));
        if let Some(query) = named.filter(|query| query.template.is_none()) {
            return Ok(Some(query.clone()));
        }
        Ok(self.queries.template(&name).map(|renderer| Arc::new(renderer.render(id_or_name))))
    }

    /// Does what the command says.
    pub(super) fn write_query(&mut self, command: &QueryCommand, changes: &mut Changes) -> Result<(), Refusal> {
        match command {
            QueryCommand::Create(query) if self.query(query.id).is_some() => Ok(()),
            QueryCommand::Create(query) => {
                if u32::try_from(self.queries.rows.len()).is_ok_and(|count| count >= MAX_QUERIES) {
                    return Err(Refusal::TooManyQueries(MAX_QUERIES));
                }
                self.set_query(query, None, changes)
            }
            QueryCommand::Update(query) => {
                let old = self.query(query.id).cloned().ok_or(Refusal::NoQuery(query.id))?;
                self.set_query(query, Some(&old), changes)
            }
            QueryCommand::Delete(id) => {
                self.query(*id).ok_or(Refusal::NoQuery(*id))?;
                self.change(Row::QueryGone(*id), changes);
                Ok(())
            }
        }
    }

    fn set_query(
        &mut self,
        query: &PreparedQuery,
        old: Option<&PreparedQuery>,
        changes: &mut Changes,
    ) -> Result<(), Refusal> {
        self.refuse_taken_query_name(query)?;
        if let Some(session) = query.session.filter(|session| self.session(*session).is_none()) {
            return Err(Refusal::NoSession(session));
        }
        let create_index = old.map_or(self.index, |old| old.create_index);
        let row = PreparedQuery { create_index, modify_index: self.index, ..query.clone() };
        if let Some(old) = old {
            let unchanged = PreparedQuery { modify_index: old.modify_index, ..row.clone() };
            if unchanged == *old {
                return Ok(());
            }
        }
        let row = Arc::new(row);
        self.put(&Row::Query(row.clone()), &mut changes.touched);
        changes.tell(Row::Query(row.without_secret()));
        Ok(())
    }

    fn refuse_taken_query_name(&self, query: &PreparedQuery) -> Result<(), Refusal> {
        let key = Key::new(&query.name);
        let of_another = |id: Uuid| id != query.id;
        if query.name.is_empty() {
            let taken = self.queries.templates.get(&key).is_some_and(|template| of_another(template.query().id));
            return if query.template.is_some() && taken { Err(Refusal::TemplateForAllTaken) } else { Ok(()) };
        }
        if self.queries.names.get(&key).is_some_and(|id| of_another(*id)) {
            return Err(Refusal::QueryNameTaken(query.name.clone()));
        }
        // IDs come first when a query is looked for.
        if as_id(&query.name).is_some_and(|id| self.query(id).is_some()) {
            return Err(Refusal::QueryNameIsId(query.name.clone()));
        }
        Ok(())
    }

    /// Deletes the queries that go with a session.
    pub(super) fn end_queries_of(&mut self, session: Uuid, changes: &mut Changes) {
        let ended: Vec<Uuid> = self.queries.bound_to(session).collect();
        ended.into_iter().for_each(|id| self.change(Row::QueryGone(id), changes));
    }

    /// Puts a row as it is.
    pub(super) fn put_query(&mut self, query: &Arc<PreparedQuery>, touched: &mut Touched) {
        self.queries.put(query);
        self.touch_query(query.id, touched);
    }

    /// Takes a row out.
    pub(super) fn remove_query(&mut self, id: Uuid, touched: &mut Touched) {
        self.queries.remove(id);
        self.indexes.queries_gone = self.index;
        self.touch_query(id, touched);
    }

    fn touch_query(&mut self, id: Uuid, touched: &mut Touched) {
        self.indexes.queries = self.index;
        touched.extend([Topic::Queries, Topic::Query(id)]);
    }
}

/// The ID that a text is, in the one form that IDs are given in.
fn as_id(text: &str) -> Option<Uuid> {
    if text.len() == 36 { Uuid::try_parse(text).ok() } else { None }
}

/// A template was asked for by its ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a prepared query template can only be asked by a name, not by its ID")]
pub struct IsTemplate;
