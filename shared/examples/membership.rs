//! A pool of 1,000 members for an hour, in simulated time: a table of figures. Exits with 1 when one does not hold.
//!
//! ```text
//! cargo run --profile simulation -p lictor-shared --features simulation --example membership -- --seed 1
//! ```

#![allow(clippy::print_stdout, reason = "it is a command")]

use std::{process::ExitCode, time::Instant};

use clap::Parser;
use lictor_shared::gossip::scale::{Extent, MEASURES};

/// Measures a simulated pool of members
#[derive(Parser)]
struct Arguments {
    /// What all randomness comes from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The nodes of the large pool
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(20..=20_000))]
    nodes: u16,
    /// Simulated minutes in which nobody may be failed
    #[arg(long, default_value_t = 60)]
    minutes: u32,
    /// Only these figures: join, traffic, crash, starved, loss
    #[arg(long)]
    only: Vec<String>,
}

fn main() -> ExitCode {
    let Arguments { seed, nodes, minutes, only } = Arguments::parse();
    let extent = Extent { seed, nodes, minutes };
    println!("| seed {seed} | wanted | measured | | took |\n|---|---|---|---|---|");
    let mut all_hold = true;
    for (name, measure) in MEASURES {
        if only.is_empty() || only.iter().any(|wanted| wanted == name) {
            let started = Instant::now();
            let figure = measure(&extent);
            all_hold &= figure.holds;
            println!("{figure} {:.0?} |", started.elapsed());
        }
    }
    ExitCode::from(u8::from(!all_hold))
}
