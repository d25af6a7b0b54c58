//! What hosts see of each other while networks fail: `cargo run --release -p lictor-tests --bin partitions`.
//!
//! Each host is a network namespace, so it needs root, or a kernel that lets users make them. Prints how long each step
//! took; a promise that does not hold ends it with a panic.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")]

use std::{env, process::ExitCode, time::Duration};

use clap::Parser;
use lictor_tests::{
    membership,
    namespaces::{Entered, Line, Network, enter},
};

/// Lets hosts vanish, lose packets and come back
#[derive(Parser)]
struct Arguments {
    /// How often everything is done
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// For how long half of what a host sends is lost, in seconds
    #[arg(long, default_value_t = 60)]
    loss_seconds: u64,
    /// Instead: lines with so many milliseconds from host to host ...
    #[arg(long, requires = "loss_percent")]
    delay_ms: Option<u64>,
    /// ... that lose such a share of all packets
    #[arg(long, requires = "delay_ms")]
    loss_percent: Option<f64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let network = match enter(env::args_os().skip(1)) {
        Entered::Inside => Network::of(5),
        Entered::Ran(status) => return ExitCode::from(u8::from(!status.success())),
        Entered::Impossible(reason) => {
            eprintln!("{reason}");
            return ExitCode::FAILURE;
        }
    };
    if let Some((delay_ms, loss_percent)) = arguments.delay_ms.zip(arguments.loss_percent) {
        slow_lines(network, Duration::from_millis(delay_ms), loss_percent / 100.0, arguments.loss_seconds);
        return ExitCode::SUCCESS;
    }
    let mut cluster = membership::start(&network);
    for round in 1..=arguments.rounds {
        let away = membership::restart(&mut cluster);
        println!("round {round}: a sidecar was away for {away:.1?}, and nobody noticed");
        let (gone, back) = membership::vanish(&cluster, &network);
        println!(
            "round {round}: a host that vanished was critical after {gone:.1?}; healed, it was back after {back:.1?}"
        );
        let (stalled, agreed) = membership::leader_cut_off(&cluster, &network);
        println!("round {round}: leader cut off: writes after {stalled:.1?}; healed, all agreed after {agreed:.1?}");
        cluster.wait_until_complete();
        membership::one_way_loss(&cluster, &network, Duration::from_secs(arguments.loss_seconds));
        println!(
            "round {round}: half of what a host sent was lost for {} s, and nobody noticed",
            arguments.loss_seconds
        );
    }
    ExitCode::SUCCESS
}

/// A packet goes over two lines from host to host.
fn slow_lines(mut network: Network, delay: Duration, loss: f64, seconds: u64) {
    network.slow_down(Line { delay: delay / 2, loss: 1.0 - (1.0 - loss).sqrt() });
    let cluster = membership::start(&network);
    let seen = membership::slow_lines(&cluster, Duration::from_secs(seconds));
    println!("{delay:?} from host to host, {:.0} % of all packets lost, for {seconds} s: {seen:.1?}", loss * 100.0);
}
