//! `lictor debug`: what an agent says of itself and of its cluster over some time, in one archive to look at elsewhere.
//!
//! | file | what it is |
//! |---|---|
//! | `index.json` | what was captured, when, and what was refused and why ([`bundle`]) |
//! | `logs.txt` | the agent's log at level debug, all the while |
//! | `metrics.json` | all its metrics, a line for each interval |
//! | `profile.prof` | what its processor time goes into, all the while, in pprof's format |
//! | `agent.json`, `host.json`, `members.json`, ... | answers at the beginning ([`capture`]), without secrets ([`secrets`]) |
//!
//! They are written into a directory as they come, which becomes the archive at the end: Ctrl-C ends the capture early
//! and keeps what there is, but no profile, which comes at the end. What the agent refuses is told and left out.

mod bundle;
mod capture;
mod secrets;

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, anyhow, bail};
use clap::{ArgAction::Set, Args};
use lictor_shared::agent::duration;
use tokio::time::{MissedTickBehavior, interval, timeout};

use self::{
    bundle::{Bundle, Head, Recording},
    capture::{Capture, LOGS, METRICS, PROFILE, Question},
};
use crate::{
    arguments::go_bool,
    client::{Agent, ClientError},
    target::{self, HttpFlags},
};

/// How long one answer is waited for. An agent that is slower says by that what is wrong with it.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The longest profile that an agent takes, in seconds.
const PROFILE_MAX_SECONDS: u64 = 300;
/// How long a profile may take beyond its time: names are found when it is over.
const PROFILE_PATIENCE: Duration = Duration::from_secs(60);

const EXAMPLES: &str = "\
profile.prof is of the whole time, five minutes at most; `go tool pprof`, speedscope and others read it. An agent gives one
with access control to whoever has operator:read, without it where enable_debug = true is configured.

Tokens, keys and passwords are taken out of the answers; the log is as it is, with what the programs of watches printed. Names,
addresses and node metadata stay: look into the archive before you give it away. Most of it needs operator:read, the rest
agent:read; what is refused is left out.

Examples:
  Two minutes of the agent of this host:
    lictor debug
  Ten minutes, of the log and the metrics alone:
    lictor debug -duration=10m -interval=10s -capture=logs,metrics -output=/tmp/slow-writes";

/// Flags of `debug`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub struct DebugFlags {
    /// How long to follow the log and the metrics
    #[arg(long, value_name = "TIME", value_parser = span, default_value = "2m")]
    duration: Duration,
    /// The time from one look at the metrics to the next
    #[arg(long, value_name = "TIME", value_parser = span, default_value = "30s")]
    interval: Duration,
    /// What to capture; may be repeated [default: all]
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',')]
    capture: Vec<Capture>,
    /// Where to, without the .tar.gz [default: lictor-debug-SECONDS]
    #[arg(long, value_name = "PATH")]
    output: Option<String>,
    /// Make one archive of it; else it stays a directory
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "true")]
    archive: bool,
    #[command(flatten)]
    http: HttpFlags,
}

/// A time that is not nothing.
fn span(text: &str) -> Result<Duration, String> {
    match duration::parse(text) {
        Ok(Duration::ZERO) => Err("must be more than 0".into()),
        Ok(span) => Ok(span),
        Err(problem) => Err(problem.explain()),
    }
}

/// Captures it.
///
/// # Errors
/// The agent could not be asked, or refused everything; a file could not be written.
pub async fn run(flags: DebugFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let agent = target::agent(&flags.http)?.with_limit(ANSWER_LIMIT);
    let captures = Capture::chosen(&flags.capture);
    let mut head = Head {
        version: env!("CARGO_PKG_VERSION"),
        interval: duration::show(flags.interval),
        duration: duration::show(flags.duration),
        targets: captures.iter().map(|capture| capture.name()).collect(),
        agent: agent.url(""),
        begun: bundle::now(),
        interrupted: false,
    };
    let mut bundle = Bundle::create(&output(flags.output.as_deref())?)?;
    let targets = head.targets.join(", ");
    writeln!(out, "Capturing from {} for {}, metrics every {}: {targets}", head.agent, head.duration, head.interval)?;
    let begin = |question: Question, ending: &str, capture| -> anyhow::Result<Option<Recording>> {
        let path = question.path(&flags.http) + ending;
        captures.contains(&capture).then(|| bundle.begin(capture, path, question.file)).transpose()
    };
    let (mut logs, mut metrics) = (begin(LOGS, "", Capture::Logs)?, begin(METRICS, "", Capture::Metrics)?);
    // Whole seconds, as many as an agent gives.
    let span = Duration::from_secs(flags.duration.as_secs().clamp(1, PROFILE_MAX_SECONDS));
    let mut profile = begin(PROFILE, &format!("?seconds={}", span.as_secs()), Capture::Pprof)?;
    let capture = async {
        ask(&agent, &flags, &captures, &mut bundle, out).await?;
        let follow = async {
            tokio::try_join!(follow_log(&agent, logs.as_mut()), look(&agent, metrics.as_mut(), flags.interval, out))
        };
        let follow = async { timeout(flags.duration, follow).await.map_or(Ok(()), |ended| ended.map(|_| ())) };
        let ((), line) = tokio::try_join!(follow, take_profile(&agent, profile.as_mut(), span))?;
        line.map_or(Ok(()), |line| Ok(writeln!(out, "  {line}")?))
    };
    let ended = tokio::select! {
        ended = capture => ended.map(|()| false),
        stopped = tokio::signal::ctrl_c() => stopped.map(|()| true).map_err(anyhow::Error::from),
    };
    for recording in [metrics, logs, profile].into_iter().flatten() {
        bundle.add(recording)?;
    }
    match ended {
        Ok(interrupted) => head.interrupted = interrupted,
        Err(error) => return Err(bundle.abandon(Some(error)).context("Error capturing")),
    }
    finish(bundle, &head, flags.archive, out)
}

fn finish(bundle: Bundle, head: &Head, archived: bool, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    if bundle.is_empty() {
        return Err(bundle.abandon(None).context("Error capturing"));
    }
    if head.interrupted {
        writeln!(out, "Interrupted: what was captured so far is kept.")?;
    }
    let lacking = bundle.lacking();
    let saved = bundle.finish(head, archived)?;
    if lacking > 0 {
        writeln!(out, "{lacking} of it refused or cut short: index.json says why.")?;
    }
    writeln!(out, "Saved {}", saved.display())?;
    Ok(ExitCode::SUCCESS)
}

/// The directory: as it was named, without what an archive's name has.
fn output(named: Option<&str>) -> anyhow::Result<PathBuf> {
    let Some(named) = named else {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
        return Ok(format!("lictor-debug-{}", now.as_secs()).into());
    };
    let path = Path::new(named.strip_suffix(".tar.gz").unwrap_or(named));
    match path.file_name() {
        Some(name) if name.len() <= bundle::NAME_MAX_BYTES => Ok(path.into()),
        Some(_) => bail!("-output: its last part has more than {} bytes", bundle::NAME_MAX_BYTES),
        None => bail!("-output: {named:?} does not name a file"),
    }
}

/// Asks everything that is asked once. An agent that does not answer at all is asked no further.
async fn ask(
    agent: &Agent,
    flags: &DebugFlags,
    captures: &[Capture],
    bundle: &mut Bundle,
    out: &mut impl io::Write,
) -> anyhow::Result<()> {
    for capture in captures {
        for question in capture.questions() {
            let path = question.path(&flags.http);
            let error = match agent.ask(&path).await {
                Ok(answer) => {
                    let mut recording = bundle.begin(*capture, path, question.file)?;
                    recording.write(&secrets::taken_out(&answer.body))?;
                    bundle.add(recording)?;
                    writeln!(out, "  {}", question.file)?;
                    continue;
                }
                Err(error) => error,
            };
            if matches!(error, ClientError::NoAnswer { .. }) && bundle.is_empty() {
                return Err(error.into());
            }
            writeln!(out, "  {}: {error}", question.file)?;
            bundle.refuse(*capture, path, error);
        }
    }
    Ok(())
}

/// Writes the log down as it comes, to its end.
async fn follow_log(agent: &Agent, into: Option<&mut Recording>) -> anyhow::Result<()> {
    let Some(into) = into else { return Ok(()) };
    let mut log = match agent.stream(into.path()).await {
        Ok(log) => log,
        Err(error) => {
            into.lacks(error);
            return Ok(());
        }
    };
    into.begun();
    loop {
        match log.next().await {
            Ok(Some(lines)) => into.write(&lines)?,
            Ok(None) => {
                into.lacks(anyhow!("the agent ended it"));
                return Ok(());
            }
            Err(reason) => {
                into.lacks(anyhow!("it broke off: {reason}"));
                return Ok(());
            }
        }
    }
}

/// Has a profile taken, which takes `span`; gives what is to be said of it.
async fn take_profile(agent: &Agent, into: Option<&mut Recording>, span: Duration) -> anyhow::Result<Option<String>> {
    let Some(into) = into else { return Ok(None) };
    Ok(Some(match agent.clone().with_limit(span + PROFILE_PATIENCE).ask(into.path()).await {
        Ok(answer) => {
            into.write(&answer.body)?;
            PROFILE.file.into()
        }
        Err(error) => {
            let line = format!("{}: {error}", PROFILE.file);
            into.lacks(error);
            line
        }
    }))
}

/// Looks at the metrics again and again, a line for each time, until they are refused.
async fn look(
    agent: &Agent,
    into: Option<&mut Recording>,
    every: Duration,
    out: &mut impl io::Write,
) -> anyhow::Result<()> {
    let Some(into) = into else { return Ok(()) };
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for time in 1.. {
        ticks.tick().await;
        match agent.ask(into.path()).await {
            Ok(answer) => {
                into.write(&[answer.body.trim_ascii(), b"\n"].concat())?;
                writeln!(out, "  {}: {time}", METRICS.file)?;
            }
            Err(error) => {
                let is_refused = matches!(error, ClientError::Status { .. });
                writeln!(out, "  {}: {error}", METRICS.file)?;
                into.lacks(error);
                if is_refused {
                    break;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_is_a_name_that_an_archive_can_have() {
        for (named, expected) in
            [("a", Some("a")), ("/tmp/a.tar.gz", Some("/tmp/a")), ("..", None), ("/", None), (&"a".repeat(73), None)]
        {
            assert_eq!(output(Some(named)).ok(), expected.map(PathBuf::from), "{named}");
        }
        assert!(output(None).unwrap().display().to_string().starts_with("lictor-debug-1"));
    }

    #[test]
    fn times_are_more_than_nothing() {
        assert_eq!(span("1m"), Ok(Duration::from_secs(60)));
        for (text, part) in [("0s", "more than 0"), ("10", "try \"10s\"")] {
            assert!(span(text).unwrap_err().contains(part), "{text}");
        }
    }
}
