//! Writes without pause, and the account of them: what was acknowledged must be there, once; what was refused must not;
//! what got no answer may be.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    agent::texts,
    base64::encode as base64,
    http::{Answer, Client, Failure},
};

/// Longest wait for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// A pause where no server can be reached.
const UNREACHABLE_PAUSE: Duration = Duration::from_millis(20);
const PUTTERS: usize = 2;
const COUNTERS: usize = 2;
const WRITERS_PER_COUNTER: usize = 2;
/// What refused writes would have left.
const REFUSED: &str = "refused";

/// What is known of all writes since the cluster began.
#[derive(Debug, Default)]
pub struct Account {
    /// Keys that were put once each, with the key as value: whether that was acknowledged.
    puts: Mutex<BTreeMap<String, bool>>,
    /// The index that each of them had in the last audit.
    indexes: Mutex<HashMap<String, u64>>,
    counters: [Counter; COUNTERS],
    /// Instances that were registered and acknowledged.
    instances: Mutex<HashSet<String>>,
    /// A violation that was seen at once.
    wrong: Mutex<Vec<String>>,
    next: AtomicUsize,
}

/// A key that is only ever counted up by one, by compare-and-set.
#[derive(Debug, Default)]
struct Counter {
    acknowledged: Mutex<HashSet<u64>>,
    unknown: AtomicUsize,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What became of a write.
enum Written {
    Done,
    Refused,
    Unknown,
    /// Nobody has got it.
    Unsent,
}

fn written(answer: Result<Answer, Failure>) -> Written {
    match answer {
        Err(Failure::Unsent(_)) => Written::Unsent,
        Ok(answer) if answer.status == 200 && answer.text().trim() == "true" => Written::Done,
        Ok(answer) if answer.status == 200 && answer.text().trim() == "false" => Written::Refused,
        Ok(_) | Err(Failure::Unknown(_)) => Written::Unknown,
    }
}

impl Account {
    /// So many writes were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        let puts = locked(&self.puts).values().filter(|acknowledged| **acknowledged).count();
        let counted: usize = self.counters.iter().map(|counter| locked(&counter.acknowledged).len()).sum();
        puts + counted + locked(&self.instances).len()
    }

    /// Writes through these servers until `stop`, on threads of its own.
    pub fn load(&self, servers: &[Client], stop: &AtomicBool) {
        let servers: Vec<Client> = servers.iter().map(|server| server.with_time_out(ANSWER_LIMIT)).collect();
        thread::scope(|scope| {
            let until_stop = |number: usize, work: &dyn Fn(&Client) -> bool| {
                let mut turn = number;
                while !stop.load(Ordering::Relaxed) {
                    turn += 1;
                    if !work(&servers[turn % servers.len()]) {
                        thread::sleep(UNREACHABLE_PAUSE);
                    }
                }
            };
            for number in 0..PUTTERS {
                scope.spawn(move || until_stop(number, &|server| self.put(server)));
            }
            for number in 0..COUNTERS * WRITERS_PER_COUNTER {
                scope.spawn(move || until_stop(number, &|server| self.count(number % COUNTERS, server)));
            }
            scope.spawn(move || until_stop(0, &|server| self.register(server)));
        });
    }

    /// Puts a new key; then tries what must be refused. False where the server cannot be reached.
    fn put(&self, server: &Client) -> bool {
        let key = format!("crash/put/{}", self.next.fetch_add(1, Ordering::Relaxed));
        locked(&self.puts).insert(key.clone(), false);
        let path = format!("/v1/kv/{key}");
        match written(server.attempt("PUT", &path, &[], key.as_bytes())) {
            Written::Done => {
                locked(&self.puts).insert(key.clone(), true);
                let again = written(server.attempt("PUT", &format!("{path}?cas=0"), &[], REFUSED.as_bytes()));
                if matches!(again, Written::Done) {
                    self.wrong(format!("{key} was made anew although it was there"));
                }
                true
            }
            Written::Refused => {
                self.wrong(format!("a plain write of {key} was refused"));
                true
            }
            Written::Unknown => true,
            Written::Unsent => {
                locked(&self.puts).remove(&key);
                false
            }
        }
    }

    fn count(&self, number: usize, server: &Client) -> bool {
        let path = format!("/v1/kv/crash/counter/{number}");
        let Ok(read) = server.attempt("GET", &format!("{path}?consistent"), &[], b"") else { return false };
        let (count, index) = match read.status {
            404 => (0, 0),
            200 => {
                let rows: Value = serde_json::from_slice(&read.body).unwrap_or_default();
                // The count stands in the flags, where it need not be decoded.
                let (Some(count), Some(index)) = (rows[0]["Flags"].as_u64(), rows[0]["ModifyIndex"].as_u64()) else {
                    self.wrong(format!("no row of a key: {}", read.text()));
                    return true;
                };
                (count, index)
            }
            _ => return true,
        };
        let next = count + 1;
        let path = format!("{path}?cas={index}&flags={next}");
        match written(server.attempt("PUT", &path, &[], next.to_string().as_bytes())) {
            Written::Done => {
                if !locked(&self.counters[number].acknowledged).insert(next) {
                    self.wrong(format!("counter {number} was set to {next} twice"));
                }
            }
            Written::Unknown => drop(self.counters[number].unknown.fetch_add(1, Ordering::Relaxed)),
            Written::Refused => {}
            Written::Unsent => return false,
        }
        true
    }

    fn register(&self, server: &Client) -> bool {
        let id = format!("instance-{}", self.next.fetch_add(1, Ordering::Relaxed));
        let service = json!({"ID": id, "Service": "crash", "Port": 80});
        let body = json!({"Node": "crash-node", "Address": "192.0.2.1", "Service": service}).to_string();
        match written(server.attempt("PUT", "/v1/catalog/register", &[], body.as_bytes())) {
            Written::Done => drop(locked(&self.instances).insert(id)),
            Written::Unsent => return false,
            Written::Refused | Written::Unknown => {}
        }
        true
    }

    fn wrong(&self, what: String) {
        locked(&self.wrong).push(what);
    }

    /// Compares the account with what a server says, reading with a quorum.
    ///
    /// # Errors
    /// What is lost, done twice, or there and must not be; or that the server does not answer.
    pub fn audit(&self, server: &Client) -> Result<(), String> {
        if let Some(wrong) = locked(&self.wrong).first() {
            return Err(wrong.clone());
        }
        let rows = server.json("/v1/kv/crash/?recurse&consistent")?;
        let rows: HashMap<&str, &Value> =
            rows.as_array().into_iter().flatten().filter_map(|row| Some((row["Key"].as_str()?, row))).collect();
        self.audit_puts(&rows)?;
        for (number, counter) in self.counters.iter().enumerate() {
            let row = rows.get(format!("crash/counter/{number}").as_str());
            counter
                .audit(row.and_then(|row| row["Flags"].as_u64()).unwrap_or(0))
                .map_err(|wrong| format!("counter {number}: {wrong}"))?;
        }
        let found = server.json("/v1/catalog/service/crash?consistent")?;
        let found: HashSet<String> = texts(&found, "/ServiceID").into_iter().collect();
        match locked(&self.instances).difference(&found).next() {
            Some(lost) => Err(format!("{lost} was registered, and acknowledged, and is not there")),
            None => Ok(()),
        }
    }

    fn audit_puts(&self, rows: &HashMap<&str, &Value>) -> Result<(), String> {
        let (puts, mut indexes) = (locked(&self.puts), locked(&self.indexes));
        let mut used: HashMap<u64, &str> = HashMap::new();
        for (&key, row) in rows {
            let index = row["ModifyIndex"].as_u64().ok_or_else(|| format!("{key} has no index: {row}"))?;
            if let Some(other) = used.insert(index, key) {
                return Err(format!("{key} and {other} both have index {index}"));
            }
            if !key.starts_with("crash/put/") {
                continue;
            }
            if !puts.contains_key(key) {
                return Err(format!("{key} is there, and nobody has written it"));
            }
            if row["Value"] != base64(key.as_bytes()) {
                return Err(format!("{key} has a value that was never acknowledged: {row}"));
            }
            let known = *indexes.entry(key.to_owned()).or_insert(index);
            if row["CreateIndex"] != row["ModifyIndex"] || known != index {
                return Err(format!("{key} was written twice (index {known} before): {row}"));
            }
        }
        let lost = puts.iter().find(|(key, acknowledged)| **acknowledged && !rows.contains_key(key.as_str()));
        let seen = indexes.keys().find(|key| !rows.contains_key(key.as_str()));
        match (lost, seen) {
            (Some((lost, _)), _) => Err(format!("{lost} was written, and acknowledged, and is not there")),
            (_, Some(lost)) => Err(format!("{lost} was there in the last audit, and is gone")),
            (None, None) => Ok(()),
        }
    }
}

impl Counter {
    fn audit(&self, count: u64) -> Result<(), String> {
        let (acknowledged, unknown) = (locked(&self.acknowledged), self.unknown.load(Ordering::Relaxed));
        let least = acknowledged.len() as u64;
        let highest = acknowledged.iter().max().copied().unwrap_or(0);
        if count < least.max(highest) {
            return Err(format!("it is {count}, but {least} counts were acknowledged, up to {highest}"));
        }
        if count > least + unknown as u64 {
            return Err(format!(
                "it is {count}, but only {least} counts were acknowledged and {unknown} had no answer"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_done_twice_or_never_written_is_found() {
        let row = |key: &str, value: &str, created: u64, modified: u64| json!({"Key": key, "Value": base64(value.as_bytes()), "CreateIndex": created, "ModifyIndex": modified});
        let (one, two) = ("crash/put/1", "crash/put/2");
        for (rows, expected) in [
            (vec![row(one, one, 5, 5), row(two, two, 6, 6)], ""),
            (vec![row(one, one, 5, 5)], ""),
            (vec![row(two, two, 6, 6)], "crash/put/1 was written, and acknowledged, and is not there"),
            (vec![row(one, one, 5, 7)], "written twice"),
            (vec![row(one, REFUSED, 5, 5)], "never acknowledged"),
            (vec![row(one, one, 5, 5), row(two, two, 5, 5)], "both have index 5"),
            (vec![row(one, one, 5, 5), row("crash/put/3", "x", 6, 6)], "nobody has written it"),
        ] {
            let account = Account::default();
            locked(&account.puts).extend([(one.to_owned(), true), (two.to_owned(), false)]);
            let rows: HashMap<&str, &Value> = rows.iter().map(|row| (row["Key"].as_str().unwrap_or(""), row)).collect();
            let found = account.audit_puts(&rows).err().unwrap_or_default();
            assert!(
                if expected.is_empty() { found.is_empty() } else { found.contains(expected) },
                "{expected}: {found}"
            );
        }
    }

    #[test]
    fn a_counter_that_lost_or_gained_is_found() {
        let counter = Counter::default();
        locked(&counter.acknowledged).extend([1, 2, 4]);
        counter.unknown.store(2, Ordering::Relaxed);
        let results: Vec<bool> = [3, 4, 5, 6].iter().map(|&count| counter.audit(count).is_ok()).collect();
        assert_eq!(results, [false, true, true, false]);
    }
}
