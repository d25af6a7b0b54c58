//! The bodies of requests, as JSON: read or refused, and what is read can be written down, sent and kept.
//!
//! The first byte chooses the endpoint.

use lictor_proto::{decode_command, encode_command};
use lictor_shared::{
    agent::definition::{CheckRegistration, ServiceDefinition},
    command::{Command, QueryCommand, SessionCommand},
    http::json::{coordinate, far, operator, parse, prepared, registration, session, txn},
    model::{PreparedQuery, Session},
};

/// Reads a body.
pub fn run(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    match choice % 11 {
        0 => written(registration::register(body).ok().and_then(|read| read.write.ok())),
        1 => written(registration::deregister(body).ok().and_then(|read| read.write.ok())),
        2 => written(txn::operations(body).ok().map(|read| Command::Transaction(read.into_iter().flatten().collect()))),
        3 => written(
            session::session(body, "node")
                .ok()
                .map(|read: Session| Command::Session(SessionCommand::Create(Box::new(read)))),
        ),
        4 => written(
            prepared::query(body)
                .ok()
                .map(|(read, _): (PreparedQuery, _)| Command::Query(QueryCommand::Create(Box::new(read)))),
        ),
        5 => written(coordinate::update(body).ok().map(|(_, read)| Command::UpdateCoordinates(vec![read]))),
        6 => drop(operator::autopilot(body)),
        7 => drop(parse(body).map(|value| ServiceDefinition::from_json(&value).map_err(|error| error.explain()))),
        8 => drop(parse(body).map(|value| CheckRegistration::from_json(&value).map_err(|error| error.explain()))),
        9 => drop(far::instances(body)),
        _ => drop((far::node(body), far::execution(body, "name"))),
    }
}

/// A command that is not too large is the same after its journey.
fn written(command: Option<Command>) {
    let Some(command) = command.filter(|command| command.check_sizes().is_ok()) else { return };
    let read = decode_command(&encode_command(&command)).expect("our own commands can be read");
    assert_eq!(read, command, "it changed on its way");
}
