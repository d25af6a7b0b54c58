//! The results: a table on the terminal as they come, and a file in Markdown.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a measurement prints its results")]

use std::{fmt::Write, fs, path::Path, process::Command, time::Instant};

use crate::{
    figure::{Budget, Figure},
    sections::{Effort, Section},
};

/// What has been found so far.
#[derive(Debug)]
pub struct Report {
    begun: Instant,
    machine: String,
    sections: Vec<Found>,
}

#[derive(Debug)]
struct Found {
    section: &'static Section,
    figures: Vec<Figure>,
    failure: Option<String>,
}

/// Says why nothing can be measured or written.
pub fn complain(problem: &str) {
    eprintln!("{problem}");
}

impl Report {
    /// Prints what the figures will be of.
    #[must_use]
    pub fn begin(effort: Effort) -> Self {
        let machine = machine(effort);
        println!("{machine}");
        Self { begun: Instant::now(), machine, sections: Vec::new() }
    }

    /// Begins a section.
    pub fn section(&mut self, section: &'static Section) {
        println!("\n{}: {}", section.name, section.about.replace('`', ""));
        println!("  {:34} {:>10} {:12} {:>9} {:6} {:>10}  note", "what", "value", "unit", "budget", "", "yardstick");
        self.sections.push(Found { section, figures: Vec::new(), failure: None });
    }

    /// Adds a figure to the section.
    pub fn figure(&mut self, figure: Figure) {
        let cells = Cells::of(&figure);
        let Cells { value, budget, verdict, yardstick } = &cells;
        let Figure { what, unit, note, .. } = &figure;
        println!("  {what:34} {value:>10} {unit:12} {budget:>9} {verdict:6} {yardstick:>10}  {note}");
        if let Some(found) = self.sections.last_mut() {
            found.figures.push(figure);
        }
    }

    /// The section came to no end.
    pub fn failure(&mut self, problem: String) {
        println!("  FAILED: {problem}");
        if let Some(found) = self.sections.last_mut() {
            found.failure = Some(problem);
        }
    }

    /// Whether every section came to its end.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.sections.iter().all(|found| found.failure.is_none())
    }

    /// Writes everything to a file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_markdown(&self, file: &Path) -> Result<(), String> {
        fs::write(file, self.markdown()).map_err(|error| format!("{}: {error}", file.display()))
    }

    fn markdown(&self) -> String {
        let mut text = format!(
            "# Results\n\nMade by `cargo run --release -p lictor-bench -- --markdown FILE` in {:.0} s.\n",
            self.begun.elapsed().as_secs_f64()
        );
        let _ = writeln!(text, "{}.\n", self.machine);
        text.push_str(
            "An instance has one check. `/CPU-s` is per second of processor time of all Lictor processes together; a percentage beside a \
             process is its part of that. The yardstick of DNS is unbound with the same records, \
             that of health a ready answer of the same length by the same HTTP library.\n",
        );
        for Found { section, figures, failure } in &self.sections {
            let _ = writeln!(text, "\n## {}: {}\n", section.name, section.about);
            text.push_str(
                "| what | value | unit | budget | | yardstick | of it | note |\n|---|--:|---|--:|---|--:|--:|---|\n",
            );
            for figure in figures {
                let Cells { value, budget, verdict, yardstick } = Cells::of(figure);
                let Figure { what, unit, note, .. } = figure;
                let ratio = figure.yardstick.map(|yardstick| format!("{:.2}", figure.value / yardstick));
                let ratio = ratio.unwrap_or_default();
                let _ = writeln!(
                    text,
                    "| {what} | {value} | {unit} | {budget} | {verdict} | {yardstick} | {ratio} | {note} |"
                );
            }
            if let Some(problem) = failure {
                let _ = writeln!(text, "\nFailed: {problem}");
            }
        }
        text
    }
}

struct Cells {
    value: String,
    budget: String,
    verdict: &'static str,
    yardstick: String,
}

impl Cells {
    fn of(figure: &Figure) -> Self {
        let budget = match figure.budget {
            Some(Budget::AtLeast(least)) => format!("≥ {}", number(least)),
            Some(Budget::AtMost(most)) => format!("≤ {}", number(most)),
            None => String::new(),
        };
        let verdict = match figure.budget {
            Some(budget) if budget.holds(figure.value) => "pass",
            Some(_) => "MISS",
            None => "",
        };
        Self {
            value: number(figure.value),
            budget,
            verdict,
            yardstick: figure.yardstick.map(number).unwrap_or_default(),
        }
    }
}

/// As many digits as mean something: thousands apart from 1,000 on, decimals below 100.
fn number(value: f64) -> String {
    if value >= 1000.0 {
        let digits = format!("{value:.0}");
        let apart = digits.as_bytes().rchunks(3).rev().map(|part| String::from_utf8_lossy(part).into_owned());
        return apart.collect::<Vec<_>>().join(",");
    }
    let decimals = if value >= 100.0 || value.fract() == 0.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.decimals$}")
}

/// When, on what, and by what.
fn machine(effort: Effort) -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory =
        memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<f64>().ok());
    format!(
        "{}; {cores} cores of {model}, {:.0} GiB; Linux {}; {}{}",
        said("date", &["-u", "+%F"]),
        memory.unwrap_or_default() / 1024.0 / 1024.0,
        kernel.trim(),
        said("rustc", &["--version"]),
        if effort.is_quick { "; quick" } else { "" }
    )
}

/// The line that a program prints; nothing where it cannot be asked.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_mean_something() {
        for (value, expected) in [
            (0.0, "0"),
            (0.456, "0.46"),
            (12.34, "12.3"),
            (50.0, "50"),
            (123.4, "123"),
            (1000.0, "1,000"),
            (12_345.6, "12,346"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(number(value), expected);
        }
    }
}
