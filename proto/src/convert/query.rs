//! Prepared queries: rows and writes.

use lictor_shared::{
    command::QueryCommand,
    model::{CheckId, Failover, FailoverTarget, Index, PreparedQuery, ServiceQuery, Template, Token},
};

use super::{
    DecodeError,
    coordination::{id, id_bytes},
    model::{pairs, strings, texts},
    required,
};
use crate::internal::{self, query_command};

impl From<&PreparedQuery> for internal::PreparedQuery {
    fn from(query: &PreparedQuery) -> Self {
        let template = query.template.as_ref().map(|template| internal::QueryTemplate {
            regexp: template.regexp.to_string(),
            remove_empty_tags: template.remove_empty_tags,
        });
        Self {
            id: id_bytes(query.id),
            name: query.name.to_string(),
            session: query.session.map(id_bytes).unwrap_or_default(),
            template,
            token: query.token.0.to_string(),
            service: Some((&query.service).into()),
            dns_ttl: query.dns_ttl.to_string(),
            create_index: query.create_index.0,
            modify_index: query.modify_index.0,
        }
    }
}

impl TryFrom<internal::PreparedQuery> for PreparedQuery {
    type Error = DecodeError;

    fn try_from(query: internal::PreparedQuery) -> Result<Self, DecodeError> {
        let session = (!query.session.is_empty()).then(|| id(&query.session, "PreparedQuery.session")).transpose()?;
        let template = query
            .template
            .map(|template| Template { regexp: template.regexp.into(), remove_empty_tags: template.remove_empty_tags });
        Ok(Self {
            id: id(&query.id, "PreparedQuery.id")?,
            name: query.name.into(),
            session,
            template,
            token: Token(query.token.into()),
            service: required(query.service, "PreparedQuery.service")?.into(),
            dns_ttl: query.dns_ttl.into(),
            create_index: Index(query.create_index),
            modify_index: Index(query.modify_index),
        })
    }
}

impl From<&ServiceQuery> for internal::ServiceQuery {
    fn from(service: &ServiceQuery) -> Self {
        let target = |target: &FailoverTarget| internal::QueryTarget {
            datacenter: target.datacenter.to_string(),
            peer: target.peer.to_string(),
        };
        Self {
            service: service.service.to_string(),
            failover_nearest: service.failover.nearest,
            failover_datacenters: strings(&service.failover.datacenters),
            failover_targets: service.failover.targets.iter().map(target).collect(),
            only_passing: service.only_passing,
            ignored_checks: service.ignored_checks.iter().map(ToString::to_string).collect(),
            near: service.near.to_string(),
            tags: strings(&service.tags),
            node_meta: texts(&service.node_meta),
            service_meta: texts(&service.service_meta),
            connect: service.connect,
        }
    }
}

impl From<internal::ServiceQuery> for ServiceQuery {
    fn from(service: internal::ServiceQuery) -> Self {
        let all = |texts: Vec<String>| texts.into_iter().map(Into::into).collect();
        let target = |target: internal::QueryTarget| FailoverTarget {
            datacenter: target.datacenter.into(),
            peer: target.peer.into(),
        };
        Self {
            service: service.service.into(),
            failover: Failover {
                nearest: service.failover_nearest,
                datacenters: all(service.failover_datacenters),
                targets: service.failover_targets.into_iter().map(target).collect(),
            },
            only_passing: service.only_passing,
            ignored_checks: service.ignored_checks.into_iter().map(CheckId::from).collect(),
            near: service.near.into(),
            tags: all(service.tags),
            node_meta: pairs(service.node_meta),
            service_meta: pairs(service.service_meta),
            connect: service.connect,
        }
    }
}

impl From<&QueryCommand> for internal::QueryCommand {
    fn from(command: &QueryCommand) -> Self {
        let command = match command {
            QueryCommand::Create(query) => query_command::Command::Create((&**query).into()),
            QueryCommand::Update(query) => query_command::Command::Update((&**query).into()),
            QueryCommand::Delete(query) => query_command::Command::Delete(id_bytes(*query)),
        };
        Self { command: Some(command) }
    }
}

impl TryFrom<internal::QueryCommand> for QueryCommand {
    type Error = DecodeError;

    fn try_from(command: internal::QueryCommand) -> Result<Self, DecodeError> {
        Ok(match required(command.command, "QueryCommand.command")? {
            query_command::Command::Create(query) => Self::Create(Box::new(query.try_into()?)),
            query_command::Command::Update(query) => Self::Update(Box::new(query.try_into()?)),
            query_command::Command::Delete(query) => Self::Delete(id(&query, "QueryCommand.delete")?),
        })
    }
}
