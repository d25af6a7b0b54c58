//! Writes and what comes of them.

use lictor_shared::{
    backend::Consistency,
    command::{
        Command, Deregistration, Operation, OperationError, OperationResult, Outcome, Refusal, Registration, Written,
    },
    model::{Check, Index, NodeCoordinate, NodeName, Service},
};

use super::{
    DecodeError,
    coordination::{id, id_bytes},
    required,
};
use crate::internal::{self, command, deregistration, outcome, refusal};

impl From<&Command> for internal::Command {
    fn from(command: &Command) -> Self {
        let command = match command {
            Command::Register(registration) => command::Command::Register((&**registration).into()),
            Command::Deregister(what) => command::Command::Deregister(what.into()),
            Command::UpdateCoordinates(updates) => {
                let updates = updates.iter().map(Into::into).collect();
                command::Command::UpdateCoordinates(internal::UpdateCoordinates { updates })
            }
            Command::SetAutopilot { autopilot, expected } => {
                let (autopilot, expected) = (Some((&**autopilot).into()), expected.map(|index| index.0));
                command::Command::SetAutopilot(internal::SetAutopilot { autopilot, expected })
            }
            Command::Key(what) => command::Command::Key(what.into()),
            Command::Session(what) => command::Command::Session(what.into()),
            Command::Query(what) => command::Command::Query(what.into()),
            Command::Transaction(operations) => {
                let operations = operations.iter().map(Into::into).collect();
                command::Command::Transaction(internal::Transaction { operations })
            }
            Command::Restore(what) => command::Command::Restore(what.into()),
            Command::Access(what) => command::Command::Access(what.into()),
        };
        Self { command: Some(command) }
    }
}

impl TryFrom<internal::Command> for Command {
    type Error = DecodeError;

    fn try_from(command: internal::Command) -> Result<Self, DecodeError> {
        Ok(match required(command.command, "Command.command")? {
            command::Command::Register(registration) => Self::Register(Box::new(registration.try_into()?)),
            command::Command::Deregister(what) => Self::Deregister(what.try_into()?),
            command::Command::UpdateCoordinates(what) => {
                let updates = what.updates.into_iter().map(NodeCoordinate::try_from);
                Self::UpdateCoordinates(updates.collect::<Result<_, DecodeError>>()?)
            }
            command::Command::SetAutopilot(what) => {
                let autopilot = required(what.autopilot, "SetAutopilot.autopilot")?;
                Self::SetAutopilot { autopilot: Box::new(autopilot.into()), expected: what.expected.map(Index) }
            }
            command::Command::Key(what) => Self::Key(what.try_into()?),
            command::Command::Session(what) => Self::Session(what.try_into()?),
            command::Command::Query(what) => Self::Query(what.try_into()?),
            command::Command::Transaction(what) => {
                let operations = what.operations.into_iter().map(Operation::try_from);
                Self::Transaction(operations.collect::<Result<_, DecodeError>>()?)
            }
            command::Command::Restore(what) => Self::Restore(what.try_into()?),
            command::Command::Access(what) => Self::Access(what.try_into()?),
        })
    }
}

impl From<&Registration> for internal::Registration {
    fn from(registration: &Registration) -> Self {
        Self {
            node: Some((&registration.node).into()),
            skip_node_update: registration.skip_node_update,
            service: registration.service.as_ref().map(Into::into),
            checks: registration.checks.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<internal::Registration> for Registration {
    type Error = DecodeError;

    fn try_from(registration: internal::Registration) -> Result<Self, DecodeError> {
        let checks = registration.checks.into_iter().map(Check::try_from);
        Ok(Self {
            node: required(registration.node, "Registration.node")?.try_into()?,
            skip_node_update: registration.skip_node_update,
            service: registration.service.map(Service::try_from).transpose()?,
            checks: checks.collect::<Result<_, DecodeError>>()?,
        })
    }
}

pub(super) fn on_node(node: &NodeName, id: &str) -> internal::OnNode {
    internal::OnNode { node: node.to_string(), id: id.to_owned() }
}

impl From<&Deregistration> for internal::Deregistration {
    fn from(what: &Deregistration) -> Self {
        let what = match what {
            Deregistration::Node(node) => deregistration::What::Node(node.to_string()),
            Deregistration::Service(node, id) => deregistration::What::Service(on_node(node, id)),
            Deregistration::Check(node, id) => deregistration::What::Check(on_node(node, id)),
        };
        Self { what: Some(what) }
    }
}

impl TryFrom<internal::Deregistration> for Deregistration {
    type Error = DecodeError;

    fn try_from(what: internal::Deregistration) -> Result<Self, DecodeError> {
        Ok(match required(what.what, "Deregistration.what")? {
            deregistration::What::Node(node) => Self::Node(node.into()),
            deregistration::What::Service(what) => Self::Service(what.node.into(), what.id.into()),
            deregistration::What::Check(what) => Self::Check(what.node.into(), what.id.into()),
        })
    }
}

impl From<&Outcome> for internal::Outcome {
    fn from(outcome: &Outcome) -> Self {
        let outcome = match outcome {
            Outcome::Done => outcome::Outcome::Done(internal::Done {}),
            Outcome::Mismatch => outcome::Outcome::Mismatch(internal::Mismatch {}),
            Outcome::Refused(refusal) => outcome::Outcome::Refused(refusal.into()),
            Outcome::Committed(results) => {
                let results = results.iter().map(Into::into).collect();
                outcome::Outcome::Committed(internal::Committed { results })
            }
            Outcome::Aborted(errors) => {
                outcome::Outcome::Aborted(internal::Aborted { errors: errors.iter().map(Into::into).collect() })
            }
        };
        Self { outcome: Some(outcome) }
    }
}

impl TryFrom<internal::Outcome> for Outcome {
    type Error = DecodeError;

    fn try_from(outcome: internal::Outcome) -> Result<Self, DecodeError> {
        Ok(match required(outcome.outcome, "Outcome.outcome")? {
            outcome::Outcome::Done(internal::Done {}) => Self::Done,
            outcome::Outcome::Mismatch(internal::Mismatch {}) => Self::Mismatch,
            outcome::Outcome::Refused(refusal) => Self::Refused(refusal.try_into()?),
            outcome::Outcome::Committed(committed) => {
                let results = committed.results.into_iter().map(OperationResult::try_from);
                Self::Committed(results.collect::<Result<_, DecodeError>>()?)
            }
            outcome::Outcome::Aborted(aborted) => {
                Self::Aborted(aborted.errors.into_iter().map(OperationError::from).collect())
            }
        })
    }
}

impl From<&Refusal> for internal::Refusal {
    fn from(refusal: &Refusal) -> Self {
        let reason = match refusal {
            Refusal::MissingService => refusal::Reason::MissingService(internal::MissingService {}),
            Refusal::NameTaken { name, holder, address } => refusal::Reason::NameTaken(internal::NameTaken {
                name: name.to_string(),
                holder: holder.clone(),
                address: address.clone(),
            }),
            Refusal::NoSession(session) => refusal::Reason::NoSession(id_bytes(*session)),
            Refusal::MissingNode => refusal::Reason::MissingNode(internal::MissingNode {}),
            Refusal::MissingCheck(check) => refusal::Reason::MissingCheck(check.to_string()),
            Refusal::CriticalCheck(check) => refusal::Reason::CriticalCheck(check.to_string()),
            Refusal::NoQuery(query) => refusal::Reason::NoQuery(id_bytes(*query)),
            Refusal::QueryNameTaken(name) => refusal::Reason::QueryNameTaken(name.to_string()),
            Refusal::QueryNameIsId(name) => refusal::Reason::QueryNameIsId(name.to_string()),
            Refusal::TemplateForAllTaken => refusal::Reason::TemplateForAllTaken(internal::TemplateForAllTaken {}),
            Refusal::TooManyQueries(most) => refusal::Reason::TooManyQueries(*most),
            Refusal::Access(reason) => refusal::Reason::Access(reason.clone()),
            Refusal::Bootstrapped(index) => refusal::Reason::Bootstrapped(index.0),
            Refusal::NotRestoring(restore) => refusal::Reason::NotRestoring(id_bytes(*restore)),
        };
        Self { reason: Some(reason) }
    }
}

impl TryFrom<internal::Refusal> for Refusal {
    type Error = DecodeError;

    fn try_from(refusal: internal::Refusal) -> Result<Self, DecodeError> {
        Ok(match required(refusal.reason, "Refusal.reason")? {
            refusal::Reason::MissingService(internal::MissingService {}) => Self::MissingService,
            refusal::Reason::NameTaken(taken) => {
                Self::NameTaken { name: taken.name.into(), holder: taken.holder, address: taken.address }
            }
            refusal::Reason::NoSession(session) => Self::NoSession(id(&session, "Refusal.no_session")?),
            refusal::Reason::MissingNode(internal::MissingNode {}) => Self::MissingNode,
            refusal::Reason::MissingCheck(check) => Self::MissingCheck(check.into()),
            refusal::Reason::CriticalCheck(check) => Self::CriticalCheck(check.into()),
            refusal::Reason::NoQuery(query) => Self::NoQuery(id(&query, "Refusal.no_query")?),
            refusal::Reason::QueryNameTaken(name) => Self::QueryNameTaken(name.into()),
            refusal::Reason::QueryNameIsId(name) => Self::QueryNameIsId(name.into()),
            refusal::Reason::TemplateForAllTaken(internal::TemplateForAllTaken {}) => Self::TemplateForAllTaken,
            refusal::Reason::TooManyQueries(most) => Self::TooManyQueries(most),
            refusal::Reason::Access(reason) => Self::Access(reason),
            refusal::Reason::Bootstrapped(index) => Self::Bootstrapped(Index(index)),
            refusal::Reason::NotRestoring(restore) => Self::NotRestoring(id(&restore, "Refusal.not_restoring")?),
        })
    }
}

impl From<&Written> for internal::Written {
    fn from(written: &Written) -> Self {
        Self { index: written.index.0, outcome: Some((&written.outcome).into()) }
    }
}

impl TryFrom<internal::Written> for Written {
    type Error = DecodeError;

    fn try_from(written: internal::Written) -> Result<Self, DecodeError> {
        let outcome = required(written.outcome, "Written.outcome")?.try_into()?;
        Ok(Self { index: Index(written.index), outcome })
    }
}

impl From<Consistency> for internal::Consistency {
    fn from(consistency: Consistency) -> Self {
        match consistency {
            Consistency::Leader => Self::Leader,
            Consistency::Quorum => Self::Quorum,
        }
    }
}

impl TryFrom<internal::BarrierRequest> for Consistency {
    type Error = DecodeError;

    fn try_from(request: internal::BarrierRequest) -> Result<Self, DecodeError> {
        let field = "BarrierRequest.consistency";
        match internal::Consistency::try_from(request.consistency) {
            Ok(internal::Consistency::Leader) => Ok(Self::Leader),
            Ok(internal::Consistency::Quorum) => Ok(Self::Quorum),
            Ok(internal::Consistency::Unspecified) => Err(DecodeError::Missing { field }),
            Err(_) => Err(DecodeError::OutOfRange { field, value: request.consistency.into() }),
        }
    }
}
