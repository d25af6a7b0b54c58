//! Changes and records: what watchers are sent and snapshots hold.

use std::sync::Arc;

use lictor_shared::{
    catalog::{Change, Indexes, Record, Row},
    model::{Index, Time},
};

use super::{
    DecodeError,
    command::on_node,
    coordination::{self, id, id_bytes},
    required,
    restore::{part, records},
};
use crate::internal::{self, record, row};

impl From<&Change> for internal::Change {
    fn from(change: &Change) -> Self {
        Self { index: change.index.0, rows: change.rows.iter().map(Into::into).collect() }
    }
}

impl TryFrom<internal::Change> for Change {
    type Error = DecodeError;

    fn try_from(change: internal::Change) -> Result<Self, DecodeError> {
        let rows = change.rows.into_iter().map(Row::try_from).collect::<Result<_, DecodeError>>()?;
        Ok(Self { index: Index(change.index), rows })
    }
}

impl From<&Row> for internal::Row {
    fn from(row: &Row) -> Self {
        let row = match row {
            Row::Node(node) => row::Row::Node((&**node).into()),
            Row::NodeGone(name) => row::Row::NodeGone(name.to_string()),
            Row::Service(service) => row::Row::Service((&**service).into()),
            Row::ServiceGone(node, id) => row::Row::ServiceGone(on_node(node, id)),
            Row::Check(check) => row::Row::Check((&**check).into()),
            Row::CheckGone(node, id) => row::Row::CheckGone(on_node(node, id)),
            Row::Coordinate(coordinate) => row::Row::Coordinate((&**coordinate).into()),
            Row::CoordinateGone(node) => row::Row::CoordinateGone(node.to_string()),
            Row::Autopilot(autopilot) => row::Row::Autopilot((&**autopilot).into()),
            Row::Query(query) => row::Row::Query((&**query).into()),
            Row::QueryGone(query) => row::Row::QueryGone(id_bytes(*query)),
            Row::Access(what) => row::Row::Access(what.into()),
        };
        Self { row: Some(row) }
    }
}

impl TryFrom<internal::Row> for Row {
    type Error = DecodeError;

    fn try_from(row: internal::Row) -> Result<Self, DecodeError> {
        Ok(match required(row.row, "Row.row")? {
            row::Row::Node(node) => Self::Node(Arc::new(node.try_into()?)),
            row::Row::NodeGone(name) => Self::NodeGone(name.into()),
            row::Row::Service(service) => Self::Service(Arc::new(service.try_into()?)),
            row::Row::ServiceGone(gone) => Self::ServiceGone(gone.node.into(), gone.id.into()),
            row::Row::Check(check) => Self::Check(Arc::new(check.try_into()?)),
            row::Row::CheckGone(gone) => Self::CheckGone(gone.node.into(), gone.id.into()),
            row::Row::Coordinate(coordinate) => Self::Coordinate(Arc::new(coordinate.try_into()?)),
            row::Row::CoordinateGone(node) => Self::CoordinateGone(node.into()),
            row::Row::Autopilot(autopilot) => Self::Autopilot(Arc::new(autopilot.into())),
            row::Row::Query(query) => Self::Query(Arc::new(query.try_into()?)),
            row::Row::QueryGone(query) => Self::QueryGone(id(&query, "Row.query_gone")?),
            row::Row::Access(what) => Self::Access(what.try_into()?),
        })
    }
}

impl From<&Record> for internal::Record {
    fn from(record: &Record) -> Self {
        let record = match record {
            Record::Node(node, index) => {
                record::Record::Node(internal::NodeRecord { node: Some((&**node).into()), index: index.0 })
            }
            Record::Service(service) => record::Record::Service((&**service).into()),
            Record::Check(check) => record::Record::Check((&**check).into()),
            Record::ServiceIndex(name, index) => {
                record::Record::ServiceIndex(internal::ServiceIndex { name: name.to_string(), index: index.0 })
            }
            Record::Coordinate(coordinate) => record::Record::Coordinate((&**coordinate).into()),
            Record::Autopilot(autopilot) => record::Record::Autopilot((&**autopilot).into()),
            Record::Query(query) => record::Record::Query((&**query).into()),
            Record::Access(what) => record::Record::Access(what.into()),
            Record::Indexes(indexes) => record::Record::Indexes((*indexes).into()),
            Record::Key(row) => record::Record::Key((&**row).into()),
            Record::KeyGone(key, index, due) => coordination::key_gone(key, *index, *due),
            Record::LockDelay(key, until) => coordination::lock_delay(key, *until),
            Record::Session(session) => record::Record::Session((&**session).into()),
            Record::CoordinationIndexes(indexes) => record::Record::CoordinationIndexes((*indexes).into()),
            Record::Restoring(id, time) => {
                record::Record::Restoring(internal::Restoring { id: id_bytes(*id), time_ms: time.0 })
            }
            Record::Staged(records) => record::Record::Staged(part(0, records)),
        };
        Self { record: Some(record) }
    }
}

impl TryFrom<internal::Record> for Record {
    type Error = DecodeError;

    fn try_from(record: internal::Record) -> Result<Self, DecodeError> {
        Ok(match required(record.record, "Record.record")? {
            record::Record::Node(record) => {
                let node = required(record.node, "NodeRecord.node")?.try_into()?;
                Self::Node(Arc::new(node), Index(record.index))
            }
            record::Record::Service(service) => Self::Service(Arc::new(service.try_into()?)),
            record::Record::Check(check) => Self::Check(Arc::new(check.try_into()?)),
            record::Record::ServiceIndex(record) => Self::ServiceIndex(record.name.into(), Index(record.index)),
            record::Record::Coordinate(coordinate) => Self::Coordinate(Arc::new(coordinate.try_into()?)),
            record::Record::Autopilot(autopilot) => Self::Autopilot(Arc::new(autopilot.into())),
            record::Record::Query(query) => Self::Query(Arc::new(query.try_into()?)),
            record::Record::Access(what) => Self::Access(what.try_into()?),
            record::Record::Indexes(indexes) => Self::Indexes(indexes.into()),
            record::Record::Key(row) => row.try_into()?,
            record::Record::KeyGone(gone) => gone.into(),
            record::Record::LockDelay(delay) => delay.into(),
            record::Record::Session(session) => Self::Session(Arc::new(session.try_into()?)),
            record::Record::CoordinationIndexes(indexes) => Self::CoordinationIndexes(indexes.into()),
            record::Record::Restoring(what) => Self::Restoring(id(&what.id, "Restoring.id")?, Time(what.time_ms)),
            record::Record::Staged(part) => Self::Staged(records(&part.records)?),
        })
    }
}

impl From<Indexes> for internal::Indexes {
    fn from(indexes: Indexes) -> Self {
        let [passing, warning, critical] = indexes.by_status;
        Self {
            nodes: indexes.nodes.0,
            nodes_gone: indexes.nodes_gone.0,
            services: indexes.services.0,
            services_gone: indexes.services_gone.0,
            checks: indexes.checks.0,
            passing: passing.0,
            warning: warning.0,
            critical: critical.0,
            coordinates: indexes.coordinates.0,
            queries: indexes.queries.0,
            queries_gone: indexes.queries_gone.0,
            restored: indexes.restored.0,
            access: indexes.access.0,
        }
    }
}

impl From<internal::Indexes> for Indexes {
    fn from(indexes: internal::Indexes) -> Self {
        Self {
            nodes: Index(indexes.nodes),
            nodes_gone: Index(indexes.nodes_gone),
            services: Index(indexes.services),
            services_gone: Index(indexes.services_gone),
            checks: Index(indexes.checks),
            by_status: [Index(indexes.passing), Index(indexes.warning), Index(indexes.critical)],
            coordinates: Index(indexes.coordinates),
            queries: Index(indexes.queries),
            queries_gone: Index(indexes.queries_gone),
            restored: Index(indexes.restored),
            access: Index(indexes.access),
        }
    }
}
