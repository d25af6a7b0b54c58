//! Prepared queries: questions about a service that are kept in the registry and asked by name. Plain data; how they
//! are found is `catalog`'s matter, how they are answered `prepared`'s.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use uuid::Uuid;

use super::{CheckId, Index, Meta};

/// A prepared query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedQuery {
    /// Never used twice.
    pub id: Uuid,
    /// What it is asked by, in any letter case; of a template, what names begin with. May be empty.
    pub name: SmolStr,
    /// It goes when this session ends.
    pub session: Option<Uuid>,
    /// Whether, and how, it is made anew for each name.
    pub template: Option<Template>,
    /// By what right it is answered.
    pub token: Token,
    /// What is asked.
    pub service: ServiceQuery,
    /// How long DNS answers may be kept, as its creator wrote it; empty: as those about the service.
    pub dns_ttl: SmolStr,
    /// When it was created.
    pub create_index: Index,
    /// When it last changed.
    pub modify_index: Index,
}

impl PreparedQuery {
    /// Whether there is no name that a right could be about: who knows its ID may see and change it. A template without a
    /// name is about all names.
    #[must_use]
    pub fn is_only_known_by_id(&self) -> bool {
        self.name.is_empty() && self.template.is_none()
    }

    /// The same as others may see it: that it has a token, but not which. Only servers hold more.
    #[must_use]
    pub fn without_secret(self: &Arc<Self>) -> Arc<Self> {
        if self.token.is_hidden_or_none() {
            return self.clone();
        }
        Arc::new(Self { token: Token::hidden(), ..(**self).clone() })
    }
}

/// Says that a query is one for all names that begin with its own (Consul's `name_prefix_match`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Takes the name apart, for `${match(N)}`; empty: nothing does.
    pub regexp: SmolStr,
    /// Tags that come out empty are not asked for.
    pub remove_empty_tags: bool,
}

/// Which instances are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceQuery {
    /// The service's name.
    pub service: SmolStr,
    /// Where to ask when there are none here.
    pub failover: Failover,
    /// Leave out instances in the warning state, too.
    pub only_passing: bool,
    /// Checks that do not count.
    pub ignored_checks: Vec<CheckId>,
    /// The node from which the nearest come first; `_agent`: that of the agent that is asked, `_ip`: that of the asker.
    pub near: SmolStr,
    /// Tags that an instance must have or, after a `!`, must not have.
    pub tags: Vec<SmolStr>,
    /// Pairs that its node must have.
    pub node_meta: Meta,
    /// Pairs that it must have.
    pub service_meta: Meta,
    /// Only mesh proxies.
    pub connect: bool,
}

/// Which other datacenters are asked when there is no instance in this one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failover {
    /// So many of the nearest.
    pub nearest: u32,
    /// Then these.
    pub datacenters: Vec<SmolStr>,
    /// Or these, in order.
    pub targets: Vec<FailoverTarget>,
}

impl Failover {
    /// Whether any are named.
    #[must_use]
    pub fn names_others(&self) -> bool {
        self.nearest > 0 || !self.datacenters.is_empty() || !self.targets.is_empty()
    }
}

/// Where a query is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailoverTarget {
    /// A datacenter.
    pub datacenter: SmolStr,
    /// A peer.
    pub peer: SmolStr,
}

/// A secret. `Debug` does not show it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token(pub SmolStr);

impl Token {
    /// What stands for one that may not be seen: Consul's word.
    pub const HIDDEN: &'static str = "<hidden>";

    fn hidden() -> Self {
        Self(SmolStr::new_static(Self::HIDDEN))
    }

    fn is_hidden_or_none(&self) -> bool {
        self.0.is_empty() || self.0 == Self::HIDDEN
    }

    /// What may be shown of it.
    #[must_use]
    pub fn shown(&self) -> &'static str {
        if self.0.is_empty() { "" } else { Self::HIDDEN }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown().fmt(formatter)
    }
}
