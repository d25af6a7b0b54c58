//! What the demo prints: numbered steps, what each waits for, and how long it took. Colours only on a terminal.

use std::{
    fmt,
    io::{self, IsTerminal, Stdout, Write},
    time::{Duration, Instant},
};

use super::{
    failure::Failure,
    plan::{Plan, SERVICE},
    process::Processes,
};

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// Prints as it goes: every line is flushed.
pub struct Report {
    out: Stdout,
    colours: bool,
    begun: Instant,
    step: usize,
    step_begun: Instant,
    summary: Vec<String>,
}

impl Report {
    /// To stdout.
    pub fn new() -> Self {
        let out = io::stdout();
        let colours = out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let now = Instant::now();
        Self { out, colours, begun: now, step: 0, step_begun: now, summary: Vec::new() }
    }

    /// A step begins.
    pub fn step(&mut self, title: &str) -> io::Result<()> {
        self.step += 1;
        self.step_begun = Instant::now();
        let number = self.step;
        self.line(format_args!("\n{number:2}  {}", self.painted(BOLD, title)))
    }

    /// What is waited for.
    pub fn waiting(&mut self, what: &str) -> io::Result<()> {
        self.line(format_args!("      {}", self.painted(DIM, &format!("waiting until {what}"))))
    }

    /// Text of one or several lines that belongs to the step.
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        text.lines().try_for_each(|line| self.line(format_args!("      {line}")))
    }

    /// The step, or a part of it, is done; the time is since the step began.
    pub fn done(&mut self, what: &str) -> io::Result<()> {
        let elapsed = self.step_begun.elapsed();
        self.line(format_args!("    {} {what} ({})", self.painted(GREEN, "✓"), seconds(elapsed)))
    }

    /// A sentence for the end.
    pub fn remember(&mut self, sentence: String) {
        self.summary.push(sentence);
    }

    /// Every step is done.
    pub fn passed(&mut self, keep: bool) -> io::Result<()> {
        let (steps, took) = (self.step, seconds(self.begun.elapsed()));
        self.line(format_args!("\n{} in {took}.", self.painted(GREEN, &format!("All {steps} steps passed"))))?;
        let summary = std::mem::take(&mut self.summary);
        summary.iter().try_for_each(|sentence| self.line(format_args!("{sentence}")))?;
        if keep {
            return Ok(());
        }
        self.line(format_args!("\nTo leave it running and try it yourself: lictor demo --keep"))
    }

    /// A step has failed; `tail` is a process and the end of its log.
    pub fn failed(&mut self, failure: Failure, tail: Option<(String, String)>) -> io::Result<()> {
        let (failure, elapsed) = (anyhow::Error::from(failure), seconds(self.step_begun.elapsed()));
        self.line(format_args!("    {} {failure:#} ({elapsed})", self.painted(RED, "✗")))?;
        let Some((process, log)) = tail else { return Ok(()) };
        if log.is_empty() {
            return self.line(format_args!("\n{process}'s log is empty."));
        }
        self.line(format_args!("\nThe end of {process}'s log:"))?;
        log.lines().try_for_each(|line| self.line(format_args!("  {line}")))
    }

    /// A signal came before the last step was done.
    pub fn interrupted(&mut self) -> io::Result<()> {
        self.line(format_args!("\nInterrupted; ending every process."))
    }

    /// Where everybody listens, which process it is, and what to try.
    pub fn addresses(&mut self, plan: &Plan, processes: &Processes) -> io::Result<()> {
        let id = |name: &str| processes.id(name).unwrap_or_default();
        self.line(format_args!("\nIt runs until Ctrl-C:\n"))?;
        for host in plan.hosts() {
            let (name, http, dns) = (&host.name, host.http_address(), host.dns());
            self.line(format_args!("  {name:10} pid {:<7}  http {http}  dns {dns}", id(name)))?;
        }
        for instance in &plan.instances {
            let (name, address) = (&instance.name, instance.address);
            self.line(format_args!("  {name:10} pid {:<7}  tcp  {address}", id(name)))?;
        }
        let Some(sidecar) = plan.sidecars.first() else { return Ok(()) };
        let (http, dns) = (sidecar.http_address(), sidecar.dns());
        self.line(format_args!("\nTry:\n"))?;
        self.line(format_args!("  lictor members -http-addr={http}"))?;
        self.line(format_args!("  dig @{} -p {} {SERVICE}.service.consul SRV", dns.ip(), dns.port()))?;
        self.line(format_args!("  curl 'http://{http}/v1/health/service/{SERVICE}?passing&pretty'\n"))
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.colours { format!("{colour}{text}{PLAIN}") } else { text.into() }
    }

    fn line(&self, line: fmt::Arguments<'_>) -> io::Result<()> {
        let mut out = self.out.lock();
        writeln!(out, "{line}")?;
        out.flush()
    }
}

/// A time for people: `1.24 s`.
pub fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
