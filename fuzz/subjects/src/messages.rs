//! What servers and sidecars send each other: commands, changes, records, a watch stream, Raft's messages. What can be
//! read can be applied, and what is written again is the same. The first byte chooses.

use lictor_proto::{
    decode_change, decode_command, decode_record, encode_change, encode_command, encode_record, internal::WatchEvent,
};
use lictor_shared::{
    catalog::{Loader, State},
    model::{Index, Time},
    view,
};
use lictor_sidecar::absorb::Absorber;
use prost::Message;

/// The messages of one stream, at most.
const MAX_EVENTS: usize = 16;

/// Reads a message and does what a node does with it.
pub fn run(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else { return };
    match choice % 5 {
        0 => {
            if let Ok(command) = decode_command(bytes) {
                let again = decode_command(&encode_command(&command)).expect("our own commands can be read");
                assert_eq!(again, command, "it changed on its way");
                State::default().apply(Index(1), Time(1), &command);
            }
        }
        1 => {
            if let Ok(change) = decode_change(bytes) {
                assert_eq!(decode_change(&encode_change(&change)).as_ref(), Ok(&change), "it changed on its way");
                State::default().absorb(&change);
            }
        }
        2 => {
            if let Ok(record) = decode_record(bytes) {
                assert_eq!(decode_record(&encode_record(&record)).as_ref(), Ok(&record), "it changed on its way");
                let mut loader = Loader::default();
                loader.push(record);
                drop(loader.finish(Index(7)));
            }
        }
        3 => stream(bytes),
        _ => drop(bytes.split_first().map(|(kind, message)| lictor_server::raft::is_readable(*kind, message))),
    }
}

/// Each message after two bytes of length.
fn stream(mut bytes: &[u8]) {
    let mut absorber = Absorber::new(view::new().0);
    for _ in 0..MAX_EVENTS {
        let Some((length, rest)) = bytes.split_first_chunk() else { return };
        let (message, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        let before = absorber.index();
        if let Ok(event) = WatchEvent::decode(message) {
            let taken = absorber.take(event, false);
            assert!(absorber.index() >= before, "the view went back: {taken:?}");
        }
        bytes = rest;
    }
}
