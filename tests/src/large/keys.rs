//! The keys: `large/0000000` and on, each with a value of 100 bytes that follows from its number.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde_json::{Value, json};

use super::connection::Connection;
use crate::{agent::Agent, base64::encode};

/// The length of each value, in bytes.
pub const VALUE_BYTES: usize = 100;
/// Keys that one transaction sets: as many as one may have.
const KEYS_AT_ONCE: usize = 64;
/// Transactions on their way at once.
const WRITERS: usize = 16;
/// Keys whose values are looked at.
const SAMPLE: usize = 500;

fn name(number: usize) -> String {
    format!("large/{number:07}")
}

fn value(number: usize) -> String {
    // Letters and digits that compress no better than most of what is kept in keys.
    let mut random = SmallRng::seed_from_u64(number as u64);
    (0..VALUE_BYTES).map(|_| char::from(random.sample(rand::distr::Alphanumeric))).collect()
}

/// Sets so many keys, through all of these servers.
///
/// # Errors
/// A transaction was not done.
pub fn fill(servers: &[SocketAddr], keys: usize) -> Result<(), String> {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let write = |writer: usize| {
            let mut connection = Connection::new(servers[writer % servers.len()]);
            loop {
                let first = next.fetch_add(KEYS_AT_ONCE, Ordering::Relaxed);
                if first >= keys {
                    return Ok(());
                }
                set(&mut connection, first..keys.min(first + KEYS_AT_ONCE))?;
            }
        };
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
        writers.into_iter().try_for_each(|writer| writer.join().map_err(|_| "a writer panicked".to_owned())?)
    })
}

fn set(connection: &mut Connection, numbers: std::ops::Range<usize>) -> Result<(), String> {
    let first = numbers.start;
    let operations = numbers
        .map(|number| json!({"KV": {"Verb": "set", "Key": name(number), "Value": encode(value(number).as_bytes())}}));
    let body = Value::from(operations.collect::<Vec<_>>()).to_string();
    match connection.send("PUT", "/v1/txn", body.as_bytes()) {
        Ok((200, _)) => Ok(()),
        Ok((status, body)) => {
            Err(format!("keys from {first} on: {status} {}", String::from_utf8_lossy(&body[..body.len().min(200)])))
        }
        Err(error) => Err(format!("keys from {first} on: {error}")),
    }
}

/// Whether the server itself has all of them, and the values of some.
///
/// # Errors
/// What is not there, or that the server does not answer.
pub fn check(server: &Agent, keys: usize) -> Result<(), String> {
    let client = server.http().with_time_out(super::steps::STEP_LIMIT);
    let names = client.json("/v1/kv/large/?keys&stale")?;
    let names = names.as_array().ok_or("no list of keys")?;
    if names.len() != keys {
        return Err(format!("{} has {} keys, and {keys} were set", server.name, names.len()));
    }
    for number in (0..keys).step_by((keys / SAMPLE).max(1)) {
        if names[number] != name(number) {
            return Err(format!("{} has {} in the place of {}", server.name, names[number], name(number)));
        }
        let answer = client.get(&format!("/v1/kv/{}?raw&stale", name(number)))?;
        if answer.text() != value(number) {
            return Err(format!("{}: {} is {} {}", server.name, name(number), answer.status, answer.text()));
        }
    }
    Ok(())
}
