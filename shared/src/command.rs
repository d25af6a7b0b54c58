//! Every write there is, and what comes of it.
//!
//! A [`Command`] is what a handler has validated and the leader proposes; the catalog's `apply` is its only
//! interpreter. Fields that only `apply` can know (indexes, a check's service name) are empty in a command.

mod access;
mod coordination;
mod queries;
mod restore;
pub mod sizes;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use uuid::Uuid;

pub use self::restore::RestoreCommand;
pub use self::{
    access::{AccessCommand, Named, Presence},
    coordination::{
        CatalogName, CatalogRow, Condition, KeyCommand, KeyEntry, Operation, OperationError, OperationResult,
        SessionCommand,
    },
    queries::QueryCommand,
};
use crate::model::{Autopilot, Check, CheckId, Index, Node, NodeCoordinate, NodeName, Service, ServiceId};

/// A write to the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Put a node and, with it, a service and checks: all or nothing.
    Register(Box<Registration>),
    /// Remove a node, a service or a check; one that is not there is no error.
    Deregister(Deregistration),
    /// Put the coordinates of nodes; those of nodes that are not there are passed over.
    UpdateCoordinates(Vec<NodeCoordinate>),
    /// Put the autopilot configuration.
    SetAutopilot {
        /// The new one; its indexes do not matter.
        autopilot: Box<Autopilot>,
        /// Only if the present one has this modify index (0: there is none).
        expected: Option<Index>,
    },
    /// Write a key.
    Key(KeyCommand),
    /// Create or end a session.
    Session(SessionCommand),
    /// Write a prepared query.
    Query(QueryCommand),
    /// Do all of these, in order, or nothing.
    Transaction(Vec<Operation>),
    /// Put another state in the place of the present one.
    Restore(RestoreCommand),
    /// Write a token, a policy, a role, or a way to log in.
    Access(AccessCommand),
}

/// What [`Command::Register`] puts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The node; only its name is used with `skip_node_update`.
    pub node: Node,
    /// Leave an existing node's row as it is.
    pub skip_node_update: bool,
    /// An instance on that node.
    pub service: Option<Service>,
    /// Checks of the node or of a service on it.
    pub checks: Vec<Check>,
}

/// What [`Command::Deregister`] removes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deregistration {
    /// The node with all that is on it.
    Node(NodeName),
    /// A service with its checks.
    Service(NodeName, ServiceId),
    /// A check.
    Check(NodeName, CheckId),
}

impl Command {
    /// Whether doing it twice is the same as doing it once, so that it may be sent again after a time-out whose
    /// outcome is unknown.
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        match self {
            Self::Register(_) | Self::Deregister(_) | Self::UpdateCoordinates(_) => true,
            // The second time would find what the first has written.
            Self::SetAutopilot { expected, .. } => expected.is_none(),
            // Between the two, another client may have written what the second time would undo.
            Self::Key(_) | Self::Transaction(_) => false,
            // The second time would be out of place, or find what the first has done.
            Self::Restore(_) | Self::Access(_) => false,
            // No ID is ever given to another session or query.
            Self::Session(_) | Self::Query(QueryCommand::Create(_)) => true,
            // As with keys; and the second time finds nothing to delete, which is told.
            Self::Query(_) => false,
        }
    }
}

/// What came of a command: the same on every server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It is done, or there was nothing to do.
    Done,
    /// What was to be there first was not: nothing was changed.
    Mismatch,
    /// Nothing was changed, and why.
    Refused(Refusal),
    /// A transaction is done; what its operations gave, in order.
    Committed(Vec<OperationResult>),
    /// A transaction changed nothing, for these reasons.
    Aborted(Vec<OperationError>),
}

impl Outcome {
    /// Whether the command has done what it says.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done | Self::Committed(_))
    }
}

/// Why `apply` changed nothing. `Display` is the sentence a client sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// A check names a service that its node does not have.
    #[error("Missing service registration")]
    MissingService,
    /// The name belongs to a live node with another ID.
    #[error("Node name {name} is reserved by node {holder} with name {name} ({address})")]
    NameTaken {
        /// The name asked for.
        name: NodeName,
        /// The ID that has it.
        holder: String,
        /// That node's address.
        address: String,
    },
    /// There is no such session.
    #[error("invalid session \"{0}\"")]
    NoSession(Uuid),
    /// There is no such node to bind a session to.
    #[error("Missing node registration")]
    MissingNode,
    /// There is no such check to bind a session to.
    #[error("Missing check '{0}' registration")]
    MissingCheck(CheckId),
    /// A session cannot be bound to a check that would end it.
    #[error("Check '{0}' is in critical state")]
    CriticalCheck(CheckId),
    /// There is no prepared query with that ID.
    #[error("Cannot modify non-existent prepared query: '{0}'")]
    NoQuery(Uuid),
    /// Another prepared query has that name.
    #[error("name '{0}' aliases an existing query name")]
    QueryNameTaken(SmolStr),
    /// The name is another prepared query's ID.
    #[error("name '{0}' aliases an existing query ID")]
    QueryNameIsId(SmolStr),
    /// There is a template for all names already.
    #[error("a query template with an empty name already exists")]
    TemplateForAllTaken,
    /// No more prepared queries are taken.
    #[error("there are {0} prepared queries, and there may not be more (delete some)")]
    TooManyQueries(u32),
    /// What was asked for about tokens, policies, roles or ways to log in cannot be: the sentence says why.
    #[error("{0}")]
    Access(String),
    /// There was a first token already.
    #[error("Permission denied: ACL bootstrap no longer allowed (reset index: {0})")]
    Bootstrapped(Index),
    /// A part of a restore that is not under way.
    #[error("the restore {0} is not under way any more: another one has begun, or it took too long")]
    NotRestoring(Uuid),
}

/// A command that was committed and applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The index of the registry that it made.
    pub index: Index,
    /// What came of it.
    pub outcome: Outcome,
}
