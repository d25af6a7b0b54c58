//! `cargo run --release -p lictor-bench` measures Lictor against its budgets and prints a table.
//!
//! Real processes on loopback: three servers, one sidecar by the `lictor` binary and one by the slim one, from the
//! harness of the whole-system tests, and the load of dnsperf, wrk and clients of its own. Throughput is counted per
//! second of processor time of all Lictor processes together, so that a figure means something on a shared machine;
//! a load generator is another process and is not counted. A figure is the median of several short runs.
//!
//! - [`sections`] is what is measured, a file each; [`load`] what asks; [`registry`] what is registered to be asked;
//! - [`processor`] and [`footprint`] read what processes cost, [`figure`] is one result with its budget;
//! - [`floor`] is what this machine can do at most, measured beside;
//! - [`supervise`] runs each section in a process of its own that leaves nothing behind; [`report`] writes the tables.
//!
//! It is no test: nothing here fails because a machine is slow. `cargo test --workspace` never runs it.

mod figure;
mod floor;
mod footprint;
mod load;
mod processor;
mod registry;
mod report;
mod sections;
mod supervise;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;

use crate::{
    report::Report,
    sections::{Effort, SECTIONS, Section},
};

/// Measures Lictor against its budgets
#[derive(Parser)]
struct Arguments {
    /// Only these sections, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "SECTION", value_parser = sections::named)]
    only: Vec<&'static Section>,
    /// Fewer and shorter runs: what has changed much is seen, what has changed little is not
    #[arg(long)]
    quick: bool,
    /// Writes the results to this file too, as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Runs one section in this process and writes its figures as JSON, a line each
    #[arg(long, hide = true, value_name = "SECTION", value_parser = sections::named)]
    section: Option<&'static Section>,
    /// Is one of the floors that the results are compared with, until it is killed
    #[arg(long, hide = true, value_name = "PLACE")]
    floor: Option<floor::Place>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let effort = Effort { is_quick: arguments.quick };
    if let Some(place) = arguments.floor {
        return match floor::run(place) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                report::complain(&format!("floor: {error}"));
                ExitCode::FAILURE
            }
        };
    }
    if let Some(section) = arguments.section {
        supervise::run_supervised(section, effort);
        return ExitCode::SUCCESS;
    }
    let usual = SECTIONS.iter().filter(|section| !(effort.is_quick && section.is_slow));
    let chosen = if arguments.only.is_empty() { usual.collect() } else { arguments.only };
    if let Err(problem) = supervise::can_run(&chosen) {
        report::complain(&problem);
        return ExitCode::FAILURE;
    }
    let mut report = Report::begin(effort);
    for section in chosen {
        report.section(section);
        let ended = supervise::run(section, effort, |figure| report.figure(figure));
        if let Err(problem) = ended {
            report.failure(problem);
        }
    }
    match arguments.markdown.map_or(Ok(()), |file| report.write_markdown(&file)) {
        Ok(()) if report.is_whole() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(problem) => {
            report::complain(&problem);
            ExitCode::FAILURE
        }
    }
}
