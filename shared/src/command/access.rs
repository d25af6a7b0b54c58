//! Writes of tokens, policies, roles, and ways to log in.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use uuid::Uuid;

use crate::{
    catalog::AccessRow,
    model::{AccessToken, Index, Secret},
};

/// A write about access control, which whoever made the command has looked over. Indexes in rows do not matter, and
/// the time of a token's creation is the leader's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessCommand {
    /// Put what must be there: the policy that allows everything and the anonymous token; with a secret, the token that
    /// the configuration names.
    Initialise {
        /// Of the token of the configuration, if there is one.
        management: Option<Secret>,
        /// The accessor that it gets.
        accessor: Uuid,
        /// By what servers know each other from now on, unless they have something already.
        servers: Secret,
    },
    /// Put the first token, unless that was done already.
    Bootstrap {
        /// The token.
        token: Box<AccessToken>,
        /// Do it although it was done at this index.
        reset: Option<Index>,
    },
    /// Put a row. Of a token that is there, only what it is for and what it grants changes.
    Put {
        /// The row; never one that says that something is gone.
        row: AccessRow,
        /// Policies and roles by name, which are added to the row's grants.
        named: Named,
        /// Whether there must be one already.
        presence: Presence,
    },
    /// Take these out; what is not there is passed over. With an auth method go its binding rules and the tokens of those
    /// who logged in by it.
    Remove(Vec<AccessRow>),
    /// Put and take out what the primary datacenter has put and taken out; grants are IDs already.
    Replicate(Vec<AccessRow>),
}

/// Policies and roles by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Of policies.
    pub policies: Vec<SmolStr>,
    /// Of roles.
    pub roles: Vec<SmolStr>,
}

/// Whether what is put must be there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Presence {
    /// It must not.
    Absent,
    /// It must.
    Present,
}
