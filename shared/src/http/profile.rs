//! `/debug/pprof/profile`: what this process's processor time goes into, where Consul has it and readers look for it.
//!
//! How that is found out is not known here: whoever puts a program together gives what does it ([`TakeProfile`]). It costs
//! memory and time, so it is for operators: with access control the token decides, without it `enable_debug`.

use std::{
    sync::{
        Arc,
        mpsc::{self, Receiver},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::HeaderValue;
use tokio::sync::Semaphore;

use super::{
    Context, Failure,
    answer::Answer,
    route::{Request, admit_again},
};

/// Samples this process for some time, or until it is told to end, and gives a profile: a gzipped message of pprof's
/// format. Blocks its thread. Where the other end is dropped nobody wants it any more. The error says why there is none.
pub type TakeProfile = fn(Duration, &Receiver<()>) -> Result<Vec<u8>, String>;

/// Where it is, in the table of endpoints.
pub(super) const PATH: &str = "/debug/pprof/profile";
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// The time that is looked at where nothing is said, in seconds: as in Consul.
const SECONDS: u64 = 30;
/// The longest, in seconds.
const MAX_SECONDS: u64 = 300;

const NOT_ENABLED: &str = "Profiles are taken where enable_debug = true is configured, or with access control and a token \
                           that has operator:read";

/// What takes profiles of this process, one at a time.
pub struct Profiler {
    take: Option<TakeProfile>,
    place: Arc<Semaphore>,
}

impl Profiler {
    /// That of a program; none: it has none.
    #[must_use]
    pub fn new(take: Option<TakeProfile>) -> Self {
        Self { take, place: Arc::new(Semaphore::new(1)) }
    }
}

/// The processor's time from now on, for `?seconds`; shorter where the node stops.
pub(super) async fn profile(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let take = context.profiler.take.ok_or(Failure::NoProfiler)?;
    if !context.settings.debug && !context.authority.settings().enabled {
        return Err(Failure::Forbidden(NOT_ENABLED));
    }
    let span = span(request.query.filled("seconds"))?;
    let place = context.profiler.place.clone().try_acquire_owned().map_err(|_| Failure::ProfileUnderWay)?;
    let (end, ended) = mpsc::channel();
    // It keeps its place until it has ended, also when this caller has gone, who drops the other end.
    let mut taken = tokio::task::spawn_blocking(move || {
        let _place = place;
        let taken = take(span, &ended);
        // The names of a whole program were there.
        lictor_heap::give_back();
        taken
    });
    let taken = match request.stopping.run_until_cancelled(&mut taken).await {
        Some(taken) => taken,
        None => {
            // Nobody listens where it has just ended.
            let _ = end.send(());
            taken.await
        }
    };
    let profile = taken
        .unwrap_or_else(|error| Err(error.to_string()))
        .map_err(|reason| Failure::Rejected(format!("No profile can be taken: {reason}")))?;
    // Their token may have been taken away meanwhile.
    admit_again(context, request)?;
    // As it comes: it is packed already.
    Ok(Answer::file(stream::iter([Ok(Bytes::from(profile))]), BYTES))
}

fn span(seconds: Option<&str>) -> Result<Duration, Failure> {
    let seconds = seconds.map_or(Ok(SECONDS), str::parse);
    match seconds {
        Ok(seconds @ 1..=MAX_SECONDS) => Ok(Duration::from_secs(seconds)),
        _ => Err(Failure::BadRequest(format!("seconds must be a number from 1 to {MAX_SECONDS}"))),
    }
}
