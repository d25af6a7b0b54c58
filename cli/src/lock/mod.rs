//! `lictor lock`: runs a program while it holds a lock, or one of a number of places, and ends it when that is lost.
//!
//! The protocols are those of Consul's client library, so that both kinds of programs respect each other: a lock is the
//! key `PREFIX/.lock`, acquired with a session (`mutex`); of a semaphore that key lists the holders, and every contender
//! has a key of its own beside it (`semaphore`). The session (`session`) has a short time to live, which is renewed; its
//! end is the end of the lock, and so is an agent that cannot be asked for too long.
//!
//! What it cannot do: when this program itself is killed at once (`kill -9`), the child goes on without the lock.

mod child;
mod mutex;
mod semaphore;
mod session;
mod store;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::{anyhow, bail};
use clap::{ArgAction::Set, Args};
use lictor_shared::agent::duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::{child::Child, mutex::Mutex, semaphore::Semaphore, session::Session, store::Store};
use crate::{
    arguments::go_bool,
    target::{self, HttpFlags},
};

const EXAMPLES: &str = "\
Examples:
  One host at a time:
    lictor lock service/backup ./backup.sh
  At most three:
    lictor lock -n=3 service/import ./import.sh
  Give up after a minute; exit code 2 if the program fails:
    lictor lock -timeout=1m -child-exit-code service/backup ./backup.sh

The program finds CONSUL_LOCK_HELD=true in its environment. When the lock is lost it is sent SIGTERM, and SIGKILL after
five seconds. Exit code 1: the lock was not acquired in time, or it was lost.";

/// How long a lock that was not acquired is cleaned up after.
const GIVE_UP_LIMIT: Duration = Duration::from_secs(5);
/// The exit code for a child that failed, with `-child-exit-code`.
const CHILD_FAILED: u8 = 2;

/// Flags of `lock`.
#[derive(Args, Debug, Default)]
#[command(after_long_help = EXAMPLES)]
pub struct LockFlags {
    /// How many may hold it at the same time; more than one makes it a semaphore
    #[arg(short = 'n', long = "n", value_name = "NUMBER", default_value_t = 1)]
    limit: u32,
    /// The session's name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// End with exit code 2 when the program fails
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    child_exit_code: bool,
    /// How often an agent that fails is asked again, a second apart, before the lock is given up for lost
    #[arg(long, value_name = "NUMBER", default_value_t = 3)]
    monitor_retry: u32,
    /// Give this program's standard input to the child
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    pass_stdin: bool,
    /// Run the program with a shell
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "true")]
    shell: bool,
    /// How long to wait for the lock, such as 10s; else without end
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// The same, as it was once called
    #[arg(long = "try", value_name = "DURATION", conflicts_with = "timeout")]
    try_for: Option<String>,
    /// Say what happens
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    verbose: bool,
    /// Where the lock's keys are
    #[arg(value_name = "PREFIX")]
    prefix: String,
    /// The program to run, with its arguments
    #[arg(value_name = "CHILD", trailing_var_arg = true, required = true)]
    child: Vec<String>,
    #[command(flatten)]
    http: HttpFlags,
}

/// What is held, or is to be.
enum Lock {
    Mutex(Mutex),
    Semaphore(Semaphore),
}

impl Lock {
    async fn acquire(&self) -> anyhow::Result<()> {
        match self {
            Self::Mutex(mutex) => mutex.acquire().await,
            Self::Semaphore(semaphore) => semaphore.acquire().await,
        }
    }

    /// Returns when it is lost, with the reason.
    async fn lost(&self, retries: u32) -> String {
        match self {
            Self::Mutex(mutex) => store::watch(retries, async |index| mutex.still_held(index).await).await,
            Self::Semaphore(semaphore) => store::watch(retries, async |index| semaphore.still_held(index).await).await,
        }
    }

    async fn release(&self) -> anyhow::Result<()> {
        match self {
            Self::Mutex(mutex) => mutex.release().await,
            Self::Semaphore(semaphore) => semaphore.release().await,
        }
    }

    /// Removes the keys, if nobody else uses them.
    async fn clean_up(&self) -> anyhow::Result<()> {
        match self {
            Self::Mutex(mutex) => mutex.clean_up().await,
            Self::Semaphore(semaphore) => semaphore.clean_up().await,
        }
    }
}

/// Runs the child under the lock.
///
/// # Errors
/// Wrong flags, a lock that is not acquired or is lost, a child that cannot be started, or an agent that cannot be asked.
pub async fn run(flags: LockFlags) -> anyhow::Result<ExitCode> {
    if flags.limit == 0 {
        bail!("Lock holder limit must be positive");
    }
    let prefix = flags.prefix.trim_start_matches('/').trim_end_matches('/').to_owned();
    if prefix.is_empty() {
        bail!("the PREFIX of the lock is empty");
    }
    let mut ends = Ends::new()?;
    let time_out = time_out(&flags)?;
    let store = Store::new(target::agent(&flags.http)?, &flags.http);
    let line = flags.child.join(" ");
    let name = flags.name.clone().unwrap_or_else(|| format!("Consul lock for '{line}' at '{prefix}'"));
    let session = Session::create(store.clone(), &name).await?;
    let lock = if flags.limit == 1 {
        Lock::Mutex(Mutex::new(store, &prefix, &session.id))
    } else {
        Lock::Semaphore(Semaphore::new(store, &prefix, &session.id, flags.limit))
    };
    let ended = hold(&flags, &lock, &session, time_out, &mut ends).await;
    session.end().await;
    ended
}

async fn hold(
    flags: &LockFlags,
    lock: &Lock,
    session: &Session,
    time_out: Option<Duration>,
    ends: &mut Ends,
) -> anyhow::Result<ExitCode> {
    let say = |text: &str| {
        if flags.verbose {
            // Nothing is left to do where stderr is gone.
            let _ = writeln!(io::stderr(), "{text}");
        }
    };
    say("Attempting lock acquisition");
    let in_time = async {
        match time_out {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    let too_late = || Err(anyhow!("Shutdown triggered or timeout during lock acquisition"));
    let acquired = tokio::select! {
        acquired = lock.acquire() => acquired.map_err(|error| error.context("Lock acquisition failed")),
        reason = session.keep() => Err(anyhow!("Lock acquisition failed: {reason}")),
        () = in_time => too_late(),
        () = ends.next() => too_late(),
    };
    if let Err(error) = acquired {
        // It may have been acquired in the same moment. What is left ends with the session.
        let _ = tokio::time::timeout(GIVE_UP_LIMIT, lock.release()).await;
        return Err(error);
    }
    let held = run_child(flags, lock, session, ends, &say).await;
    let lost = match &held {
        Ok((_, lost)) => lost.is_some(),
        Err(_) => false,
    };
    if !lost {
        say("Releasing lock");
        lock.release().await.map_err(|error| error.context("Lock release failed"))?;
        lock.clean_up().await.map_err(|error| error.context("Lock cleanup failed"))?;
    }
    match held? {
        (_, Some(reason)) => Err(anyhow!("Lock lost: {reason}")),
        (false, None) if flags.child_exit_code => Ok(ExitCode::from(CHILD_FAILED)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Runs the child to its end: whether it was not one of its own failure, and why the lock was lost, if it was.
async fn run_child(
    flags: &LockFlags,
    lock: &Lock,
    session: &Session,
    ends: &mut Ends,
    say: &impl Fn(&str),
) -> anyhow::Result<(bool, Option<String>)> {
    say("Starting handler");
    let mut child = Child::start(&flags.child, flags.shell, flags.pass_stdin)?;
    let lost = tokio::select! {
        ended = child.wait() => {
            let succeeded = ended?.success();
            say("Child terminated, releasing lock");
            return Ok((succeeded, None));
        }
        reason = lock.lost(flags.monitor_retry) => Some(reason),
        reason = session.keep() => Some(reason),
        () = ends.next() => None,
    };
    say(if lost.is_some() { "Lock lost, killing child" } else { "Shutdown triggered, killing child" });
    // As long as the child lives, what it holds is to last.
    tokio::select! {
        ended = child.end() => ended?,
        _ = session.keep(), if lost.is_none() => child.end().await?,
    }
    Ok((true, lost))
}

fn time_out(flags: &LockFlags) -> anyhow::Result<Option<Duration>> {
    let given = [("-timeout", &flags.timeout), ("-try", &flags.try_for)];
    let Some((name, text)) = given.into_iter().find_map(|(name, text)| Some((name, text.as_ref()?))) else {
        return Ok(None);
    };
    let limit = duration::parse(text).map_err(|problem| anyhow!("{name}: {}", problem.explain()))?;
    Ok(Some(limit).filter(|limit| !limit.is_zero()))
}

/// SIGINT and SIGTERM.
struct Ends {
    interrupt: Signal,
    terminate: Signal,
}

impl Ends {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
