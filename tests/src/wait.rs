//! Waiting for a condition with a deadline: the only way a test here lets time pass.

use std::{
    fmt::Display,
    thread,
    time::{Duration, Instant},
};

/// Time between two looks at the condition.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Asks `condition` until it is `Ok`, and returns what it gave and the time that took.
///
/// # Panics
/// It is still an error after `within`; the message has `what` and the last error.
pub fn timed<T, E: Display>(what: &str, within: Duration, condition: impl FnMut() -> Result<T, E>) -> (T, Duration) {
    let start = Instant::now();
    let value = attempt(within, condition).unwrap_or_else(|error| panic!("{what}: not within {within:?}: {error}"));
    (value, start.elapsed())
}

/// Asks `condition` until it is `Ok`, for whom it is no failure of the test if it never is.
///
/// # Errors
/// The last error, when it still is one after `within`.
pub fn attempt<T, E>(within: Duration, mut condition: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let start = Instant::now();
    loop {
        match condition() {
            Err(_) if start.elapsed() < within => thread::sleep(LOOK_EVERY),
            done => return done,
        }
    }
}

/// [`timed`] without the time.
///
/// # Panics
/// As [`timed`].
pub fn until<T, E: Display>(what: &str, within: Duration, condition: impl FnMut() -> Result<T, E>) -> T {
    timed(what, within, condition).0
}

/// Looks at `condition` all the while.
///
/// # Panics
/// It is an error once; the message has `what` and the error.
pub fn hold<E: Display>(what: &str, during: Duration, mut condition: impl FnMut() -> Result<(), E>) {
    let start = Instant::now();
    while start.elapsed() < during {
        condition().unwrap_or_else(|error| panic!("{what}: no longer after {:?}: {error}", start.elapsed()));
        thread::sleep(LOOK_EVERY);
    }
}

/// `Ok` if `holds`, else the description as an error: for conditions written as a comparison.
///
/// # Errors
/// The description, when it does not hold.
pub fn ensure(holds: bool, description: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(description()) }
}
