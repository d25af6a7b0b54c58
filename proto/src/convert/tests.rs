//! Whatever goes out comes back; whatever else comes in is an error that names the field.

use std::{sync::Arc, time::Duration};

use lictor_shared::{
    backend::{ServerName, ServerReport, ServersChange, ServersReport},
    catalog::{CoordinationIndexes, Indexes, Row},
    command::{
        CatalogRow, Deregistration, KeyCommand, KeyEntry, Operation, OperationError, OperationResult, Outcome,
        QueryCommand, Refusal, Registration, RestoreCommand, SessionCommand, Written,
    },
    model::{
        Autopilot, Behavior, Check, CheckDefinition, CheckId, Coordinate, Failover, FailoverTarget, Index, KeyValue,
        Node, NodeCoordinate, Origin, PreparedQuery, Service, ServiceAddress, ServiceQuery, Session, Status, Template,
        Time, Token, Weights,
    },
};
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
};
use smol_str::SmolStr;
use uuid::Uuid;

use super::*;

fn text() -> BoxedStrategy<SmolStr> {
    prop_oneof![Just(String::new()), "[a-zA-Z0-9._-]{1,30}", "\\PC{0,12}"].prop_map(SmolStr::from).boxed()
}

fn index() -> impl Strategy<Value = Index> {
    prop_oneof![Just(0), 0..1000_u64, any::<u64>()].prop_map(Index)
}

fn origin() -> impl Strategy<Value = Origin> {
    prop_oneof![Just(Origin::Catalog), Just(Origin::Agent), Just(Origin::File)]
}

fn node() -> BoxedStrategy<Node> {
    let pairs = || btree_map(text(), text(), 0..4);
    (text(), option::of(any::<u128>()), text(), pairs(), pairs(), index(), index())
        .prop_map(|(name, id, address, tagged_addresses, meta, create_index, modify_index)| Node {
            name: name.into(),
            id: id.map(Uuid::from_u128),
            address,
            tagged_addresses,
            meta,
            create_index,
            modify_index,
        })
        .boxed()
}

fn service() -> BoxedStrategy<Service> {
    let address = (text(), any::<u16>()).prop_map(|(address, port)| ServiceAddress { address, port });
    let weights = (any::<u32>(), any::<u32>()).prop_map(|(passing, warning)| Weights { passing, warning });
    let names = (text(), text(), text(), vec(text(), 0..4), text(), any::<u16>());
    let rest = (btree_map(text(), text(), 0..4), btree_map(text(), address, 0..3), weights, any::<bool>(), origin());
    (names, rest, index(), index())
        .prop_map(|(names, rest, create_index, modify_index)| {
            let (node, id, name, tags, address, port) = names;
            let (meta, tagged_addresses, weights, enable_tag_override, origin) = rest;
            Service {
                node: node.into(),
                id: id.into(),
                name: name.into(),
                tags,
                address,
                port,
                meta,
                tagged_addresses,
                weights,
                enable_tag_override,
                origin,
                create_index,
                modify_index,
            }
        })
        .boxed()
}

fn definition() -> BoxedStrategy<CheckDefinition> {
    let flags = prop::array::uniform5(any::<bool>());
    let times = prop::array::uniform4(any::<u64>().prop_map(Duration::from_nanos));
    let numbers = prop::array::uniform4(any::<u32>());
    let texts = prop::array::uniform14(text());
    let header = btree_map(text(), vec(text(), 0..3), 0..3);
    (flags, times, numbers, texts, header, vec(text(), 0..4))
        .prop_map(|(flags, times, numbers, texts, header, script_args)| {
            let [http, method, body, tls_server_name, tcp, udp, grpc, h2ping, docker_container_id, shell, ..] =
                texts.clone();
            let [.., alias_node, alias_service, os_service] = texts;
            let [disable_redirects, tls_skip_verify, grpc_use_tls, h2ping_use_tls, _] = flags;
            let [ttl, interval, timeout, deregister_critical_service_after] = times;
            let [output_max_size, success_before_passing, failures_before_warning, failures_before_critical] = numbers;
            CheckDefinition {
                http,
                header,
                method,
                body,
                disable_redirects,
                tls_server_name,
                tls_skip_verify,
                tcp,
                udp,
                grpc,
                grpc_use_tls,
                h2ping,
                h2ping_use_tls,
                script_args,
                docker_container_id,
                shell,
                alias_node,
                alias_service,
                os_service,
                ttl,
                interval,
                timeout,
                deregister_critical_service_after,
                output_max_size,
                success_before_passing,
                failures_before_warning,
                failures_before_critical,
            }
        })
        .boxed()
}

fn check() -> BoxedStrategy<Check> {
    let status = prop::sample::select(&Status::ALL[..]);
    let shown = prop_oneof![Just(CheckDefinition::default()), definition()];
    let runs = option::of(definition().prop_map(Box::new));
    let indexes = (index(), index(), any::<u64>().prop_map(Time));
    (prop::array::uniform10(text()), status, shown, runs, origin(), indexes)
        .prop_map(|(texts, status, definition, runs, origin, (create_index, modify_index, since))| {
            let [node, id, name, notes, output, service_id, service_name, kind, interval, timeout] = texts;
            Check {
                node: node.into(),
                id: id.into(),
                name,
                status,
                notes,
                output,
                service_id: service_id.into(),
                service_name: service_name.into(),
                kind,
                interval,
                timeout,
                definition: definition.into(),
                runs,
                origin,
                since,
                create_index,
                modify_index,
            }
        })
        .boxed()
}

fn coordinate() -> BoxedStrategy<NodeCoordinate> {
    let number = || prop::num::f64::NORMAL | prop::num::f64::ZERO;
    (text(), prop::array::uniform8(number()), number(), number(), number())
        .prop_map(|(node, position, error, adjustment, height)| NodeCoordinate {
            node: node.into(),
            coordinate: Coordinate { position, error, adjustment, height },
        })
        .boxed()
}

fn autopilot() -> BoxedStrategy<Autopilot> {
    let time = || any::<u64>().prop_map(Duration::from_nanos);
    (any::<bool>(), time(), any::<u64>(), any::<u32>(), time(), text(), index(), index())
        .prop_map(|(flag, contact, trailing, quorum, stable, tag, create_index, modify_index)| Autopilot {
            cleanup_dead_servers: flag,
            last_contact_threshold: contact,
            max_trailing_logs: trailing,
            min_quorum: quorum,
            server_stabilization_time: stable,
            redundancy_zone_tag: tag.clone(),
            disable_upgrade_migration: !flag,
            upgrade_version_tag: tag,
            create_index,
            modify_index,
        })
        .boxed()
}

fn command() -> BoxedStrategy<Command> {
    let registration = (node(), any::<bool>(), option::of(service()), vec(check(), 0..3)).prop_map(
        |(node, skip_node_update, service, checks)| {
            Command::Register(Box::new(Registration { node, skip_node_update, service, checks }))
        },
    );
    let gone = (text(), text(), 0..3_u8).prop_map(|(node, id, kind)| {
        Command::Deregister(match kind {
            0 => Deregistration::Node(node.into()),
            1 => Deregistration::Service(node.into(), id.into()),
            _ => Deregistration::Check(node.into(), id.into()),
        })
    });
    let coordinates = vec(coordinate(), 0..3).prop_map(Command::UpdateCoordinates);
    let autopilot = (autopilot(), option::of(index()))
        .prop_map(|(autopilot, expected)| Command::SetAutopilot { autopilot: Box::new(autopilot), expected });
    let coordination = prop_oneof![
        key_command().prop_map(Command::Key),
        session().prop_map(|session| Command::Session(SessionCommand::Create(Box::new(session)))),
        id().prop_map(|id| Command::Session(SessionCommand::Destroy(id))),
        vec(operation(), 0..4).prop_map(Command::Transaction),
        restore_command().prop_map(Command::Restore),
    ];
    let query = prop_oneof![
        query().prop_map(|query| QueryCommand::Create(Box::new(query))),
        query().prop_map(|query| QueryCommand::Update(Box::new(query))),
        id().prop_map(QueryCommand::Delete),
    ];
    let query = query.prop_map(Command::Query);
    prop_oneof![registration, gone, coordinates, autopilot, coordination, query].boxed()
}

fn id() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn key_value() -> BoxedStrategy<KeyValue> {
    let value = vec(any::<u8>(), 0..20).prop_map(Bytes::from);
    (text(), value, any::<u64>(), option::of(id()), any::<u64>(), index(), index())
        .prop_map(|(key, value, flags, session, lock_index, create_index, modify_index)| KeyValue {
            key,
            value,
            flags,
            session,
            lock_index,
            create_index,
            modify_index,
        })
        .boxed()
}

fn key_command() -> BoxedStrategy<KeyCommand> {
    (key_value(), id(), index(), 0..7_u8)
        .prop_map(|(row, id, index, kind)| {
            let entry = KeyEntry { key: row.key.clone(), value: row.value, flags: row.flags };
            match kind {
                0 => KeyCommand::Set(entry),
                1 => KeyCommand::Cas(entry, index),
                2 => KeyCommand::Acquire(entry, id),
                3 => KeyCommand::Release(entry, id),
                4 => KeyCommand::Delete(row.key),
                5 => KeyCommand::DeleteCas(row.key, index),
                _ => KeyCommand::DeleteTree(row.key),
            }
        })
        .boxed()
}

fn session() -> BoxedStrategy<Session> {
    let checks = || vec(text().prop_map(CheckId), 0..3);
    let spans = || any::<u64>().prop_map(Duration::from_nanos);
    (id(), (text(), text(), text()), checks(), checks(), (spans(), spans()), any::<bool>(), index())
        .prop_map(|(id, (name, node, ttl_text), node_checks, service_checks, (lock_delay, ttl), deletes, index)| {
            Session {
                id,
                name,
                node: node.into(),
                node_checks,
                service_checks,
                lock_delay,
                behavior: if deletes { Behavior::Delete } else { Behavior::Release },
                ttl,
                ttl_text,
                create_index: index,
                modify_index: index,
            }
        })
        .boxed()
}

fn query() -> BoxedStrategy<PreparedQuery> {
    let template =
        (text(), any::<bool>()).prop_map(|(regexp, remove_empty_tags)| Template { regexp, remove_empty_tags });
    let target = (text(), text()).prop_map(|(datacenter, peer)| FailoverTarget { datacenter, peer });
    let failover = (any::<u32>(), vec(text(), 0..3), vec(target, 0..3))
        .prop_map(|(nearest, datacenters, targets)| Failover { nearest, datacenters, targets });
    let pairs = || btree_map(text(), text(), 0..3);
    let lists = (vec(text(), 0..3), vec(text().prop_map(CheckId), 0..3), pairs(), pairs());
    let service = (text(), text(), failover, lists, any::<[bool; 2]>()).prop_map(
        |(service, near, failover, (tags, ignored_checks, node_meta, service_meta), [only_passing, connect])| {
            ServiceQuery {
                service,
                failover,
                only_passing,
                ignored_checks,
                near,
                tags,
                node_meta,
                service_meta,
                connect,
            }
        },
    );
    let ids = (id(), option::of(id()));
    (ids, prop::array::uniform3(text()), option::of(template), service, index(), index())
        .prop_map(|((id, session), [name, token, dns_ttl], template, service, create_index, modify_index)| {
            PreparedQuery {
                id,
                name,
                session,
                template,
                token: Token(token),
                service,
                dns_ttl,
                create_index,
                modify_index,
            }
        })
        .boxed()
}

fn operation() -> BoxedStrategy<Operation> {
    let row = prop_oneof![
        node().prop_map(|node| CatalogRow::Node(Box::new(node))),
        service().prop_map(|service| CatalogRow::Service(Box::new(service))),
        check().prop_map(|check| CatalogRow::Check(Box::new(check))),
    ];
    let looks = (text(), id(), index(), 0..6_u8).prop_map(|(key, id, index, kind)| match kind {
        0 => Operation::GetKey(key),
        1 => Operation::GetTree(key),
        2 => Operation::CheckIndex(key, index),
        3 => Operation::CheckSession(key, id),
        4 => Operation::CheckAbsent(key),
        _ => Operation::DestroySession(id),
    });
    let rows = (row, option::of(index()), 0..3_u8).prop_map(|(row, expected, kind)| match kind {
        0 => Operation::Get(row.name()),
        1 => Operation::Remove(row.name(), expected),
        _ => Operation::Put(row, expected),
    });
    prop_oneof![key_command().prop_map(Operation::Key), looks, rows].boxed()
}

fn coordination_record() -> BoxedStrategy<Record> {
    let time = || any::<u64>().prop_map(Time);
    let indexes = (prop::array::uniform4(index()), any::<u64>()).prop_map(
        |([keys, keys_forgotten, sessions, sessions_gone], ahead)| {
            Record::CoordinationIndexes(CoordinationIndexes { keys, keys_forgotten, sessions, sessions_gone, ahead })
        },
    );
    prop_oneof![
        key_value().prop_map(|row| Record::Key(Arc::new(row))),
        (text(), index(), time()).prop_map(|(key, index, due)| Record::KeyGone(key, index, due)),
        (text(), time()).prop_map(|(key, until)| Record::LockDelay(key, until)),
        session().prop_map(|session| Record::Session(Arc::new(session))),
        indexes,
    ]
    .boxed()
}

fn operation_result() -> BoxedStrategy<OperationResult> {
    prop_oneof![
        key_value().prop_map(OperationResult::Key),
        node().prop_map(|node| OperationResult::Node(Box::new(node))),
        service().prop_map(|service| OperationResult::Service(Box::new(service))),
        check().prop_map(|check| OperationResult::Check(Box::new(check))),
    ]
    .boxed()
}

fn row() -> BoxedStrategy<Row> {
    prop_oneof![
        node().prop_map(|node| Row::Node(Arc::new(node))),
        text().prop_map(|name| Row::NodeGone(name.into())),
        service().prop_map(|service| Row::Service(Arc::new(service))),
        (text(), text()).prop_map(|(node, id)| Row::ServiceGone(node.into(), id.into())),
        check().prop_map(|check| Row::Check(Arc::new(check))),
        (text(), text()).prop_map(|(node, id)| Row::CheckGone(node.into(), id.into())),
        coordinate().prop_map(|coordinate| Row::Coordinate(Arc::new(coordinate))),
        text().prop_map(|node| Row::CoordinateGone(node.into())),
        autopilot().prop_map(|autopilot| Row::Autopilot(Arc::new(autopilot))),
        query().prop_map(|query| Row::Query(Arc::new(query))),
        id().prop_map(Row::QueryGone),
    ]
    .boxed()
}

fn restore_command() -> BoxedStrategy<RestoreCommand> {
    (id(), any::<u32>(), vec(coordination_record(), 0..4), index(), 0..4_u8)
        .prop_map(|(id, number, records, saved, kind)| match kind {
            0 => RestoreCommand::Begin(id),
            1 => RestoreCommand::Records { id, number, records: records.into() },
            2 => RestoreCommand::Commit { id, parts: number, saved },
            _ => RestoreCommand::Abandon(id),
        })
        .boxed()
}

fn record() -> BoxedStrategy<Record> {
    let indexes = prop::array::uniform13(index()).prop_map(|indexes| {
        let [
            nodes,
            nodes_gone,
            services,
            services_gone,
            checks,
            by_status @ ..,
            coordinates,
            queries,
            queries_gone,
            restored,
            access,
        ] = indexes;
        Record::Indexes(Indexes {
            nodes,
            nodes_gone,
            services,
            services_gone,
            checks,
            by_status,
            coordinates,
            queries,
            queries_gone,
            restored,
            access,
        })
    });
    prop_oneof![
        (node(), index()).prop_map(|(node, index)| Record::Node(Arc::new(node), index)),
        service().prop_map(|service| Record::Service(Arc::new(service))),
        check().prop_map(|check| Record::Check(Arc::new(check))),
        (text(), index()).prop_map(|(name, index)| Record::ServiceIndex(name.into(), index)),
        coordinate().prop_map(|coordinate| Record::Coordinate(Arc::new(coordinate))),
        autopilot().prop_map(|autopilot| Record::Autopilot(Arc::new(autopilot))),
        query().prop_map(|query| Record::Query(Arc::new(query))),
        coordination_record(),
        (id(), any::<u64>()).prop_map(|(id, time)| Record::Restoring(id, Time(time))),
        vec(coordination_record(), 0..4).prop_map(|records| Record::Staged(records.into())),
        indexes,
    ]
    .boxed()
}

proptest! {
    #[test]
    fn a_command_comes_back(command in command()) {
        prop_assert_eq!(decode_command(&encode_command(&command)), Ok(command));
    }

    #[test]
    fn a_change_comes_back(index in index(), rows in vec(row(), 0..5)) {
        let change = Change { index, rows };
        prop_assert_eq!(decode_change(&encode_change(&change)), Ok(change));
    }

    #[test]
    fn a_record_comes_back(record in record()) {
        prop_assert_eq!(decode_record(&encode_record(&record)), Ok(record));
    }

    #[test]
    fn the_outcome_of_a_transaction_comes_back(
        results in vec(operation_result(), 0..4),
        errors in vec((any::<u32>(), ".{0,9}"), 0..4),
    ) {
        let errors = errors.into_iter().map(|(place, reason)| OperationError { place, reason }).collect();
        for outcome in [Outcome::Committed(results), Outcome::Aborted(errors)] {
            let written = Written { index: Index(3), outcome };
            prop_assert_eq!(Written::try_from(internal::Written::from(&written)), Ok(written));
        }
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..200), command in command(), flip in any::<prop::sample::Index>()) {
        let _ = (decode_command(&bytes), decode_change(&bytes), decode_record(&bytes));
        let mut damaged = encode_command(&command).to_vec();
        let at = flip.index(damaged.len());
        damaged[at] ^= 0x55;
        let _ = decode_command(&damaged);
    }
}

#[test]
fn an_outcome_comes_back() {
    let taken = Refusal::NameTaken { name: "n".into(), holder: "id".into(), address: "10.0.0.1".into() };
    let written = Written { index: Index(8), outcome: Outcome::Mismatch };
    assert_eq!(Written::try_from(internal::Written::from(&written)), Ok(written));
    let of_sessions = [
        Refusal::NoSession(Uuid::from_u128(4)),
        Refusal::MissingNode,
        Refusal::MissingCheck("c".into()),
        Refusal::CriticalCheck("c".into()),
        Refusal::NotRestoring(Uuid::from_u128(7)),
    ];
    let of_queries = [
        Refusal::NoQuery(Uuid::from_u128(5)),
        Refusal::QueryNameTaken("a".into()),
        Refusal::QueryNameIsId("b".into()),
        Refusal::TemplateForAllTaken,
        Refusal::TooManyQueries(6),
    ];
    let refusals = [Refusal::MissingService, taken].into_iter().chain(of_sessions).chain(of_queries);
    for refusal in std::iter::once(None).chain(refusals.map(Some)) {
        let written = Written { index: Index(7), outcome: refusal.map_or(Outcome::Done, Outcome::Refused) };
        assert_eq!(Written::try_from(internal::Written::from(&written)), Ok(written));
    }
}

#[test]
fn a_report_of_the_servers_comes_back() {
    let server = ServerReport {
        name: "n1".into(),
        node_id: Uuid::from_u128(7),
        address: "10.0.0.1:8300".into(),
        voter: true,
        leader: false,
        last_contact: Some(Duration::from_millis(12)),
        last_term: 3,
        last_index: Index(40),
        stable_since: Time(5),
    };
    let silent = ServerReport { last_contact: None, leader: true, ..server.clone() };
    let report = ServersReport { servers: vec![server, silent], last_index: Index(41) };
    assert_eq!(ServersReport::try_from(internal::ServersReport::from(&report)), Ok(report));
}

#[test]
fn a_bad_field_is_named() {
    let good = internal::Service::from(&Service::default());
    let bad_port = internal::Service { port: 65_536, ..good.clone() };
    let no_weights = internal::Service { weights: None, ..good.clone() };
    let later_origin = internal::Service { origin: 99, ..good };
    let no_status = internal::Check::default();
    let short_id = internal::Node { id: vec![1, 2].into(), ..internal::Node::default() };
    let errors = [
        (Service::try_from(bad_port).unwrap_err(), "Service.port: 65536 is out of range"),
        (Service::try_from(no_weights).unwrap_err(), "Service.weights: missing, or of a kind unknown to this version"),
        (Service::try_from(later_origin).unwrap_err(), "Service.origin: 99 is out of range"),
        (Check::try_from(no_status).unwrap_err(), "Check.status: missing, or of a kind unknown to this version"),
        (Node::try_from(short_id).unwrap_err(), "Node.id: 2 bytes, an ID has 16"),
        (decode_command(&[]).unwrap_err(), "Command.command: missing, or of a kind unknown to this version"),
    ];
    for (error, sentence) in errors {
        assert_eq!(error.to_string(), sentence);
    }
}

#[test]
fn parts_of_a_restore_hold_no_parts() {
    let inner: Record = Record::Staged([].into());
    for record in [inner.clone(), Record::Restoring(Uuid::nil(), Time(0))] {
        let outer = encode_record(&Record::Staged([record].into()));
        assert!(decode_record(&outer).is_err());
    }
    let mut deep = inner;
    for _ in 0..3 {
        deep = Record::Staged([deep].into());
    }
    assert!(decode_record(&encode_record(&deep)).is_err());
}

#[test]
fn a_change_of_the_servers_comes_back() {
    let (id, address) = (ServerName::Id("i".into()), ServerName::Address("127.0.0.1:1".into()));
    for change in [
        ServersChange::TransferLeader(None),
        ServersChange::TransferLeader(Some(id.clone())),
        ServersChange::Remove(id),
        ServersChange::Remove(address),
    ] {
        assert_eq!(ServersChange::try_from(internal::ChangeServersRequest::from(&change)), Ok(change));
    }
}
