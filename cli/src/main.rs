//! The `lictor` command: an agent in either role, and every command that asks one.
//!
//! It reads the command line ([`arguments`]), runs the one command that was named, writes an error as one line on
//! stderr (two where a right is missing: [`denied`]) and ends with the command's exit code. What an agent is lives in the crates below; a command here is a
//! thin caller of an agent's HTTP interface ([`client`]). Invoked under another name (`consul`) it does the same.

mod acl;
mod agent;
mod arguments;
mod catalog;
mod client;
mod completion;
mod data;
mod debug;
mod demo;
mod denied;
mod endpoint;
mod event;
mod format;
mod help;
mod info;
mod keyring;
mod kv;
mod lock;
mod maint;
mod man;
mod members;
mod membership;
mod monitor;
mod operator;
mod query;
mod rtt;
mod services;
mod snapshot;
mod table;
mod target;
mod tls;
mod validate;
mod version;
mod watch;
mod words;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use arguments::Command;

#[tokio::main]
async fn main() -> ExitCode {
    let command = match arguments::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(refusal) => return refusal.print(),
    };
    match run(command).await {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do if stderr is gone too.
            let _ = writeln!(io::stderr(), "{error:#}");
            if let Some(advice) = denied::advice(&error).await {
                let _ = writeln!(io::stderr(), "{advice}.");
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let out = &mut io::stdout();
    match command {
        Command::Acl(command) => acl::run(*command, out).await,
        Command::Agent(flags) => agent::run(*flags).await,
        Command::Catalog(command) => catalog::run(command, out).await,
        Command::Completion(flags) => completion::run(&flags, out),
        Command::Debug(flags) => debug::run(*flags, out).await,
        Command::Event(flags) => event::run(flags, out).await,
        Command::ForceLeave(flags) => membership::force_leave(flags).await,
        Command::Info(flags) => info::run(flags, out).await,
        Command::Join(flags) => membership::join(flags, out).await,
        Command::Keygen => keyring::generate(out),
        Command::Keyring(flags) => keyring::run(flags, out).await,
        Command::Kv(command) => kv::run(command, out).await,
        Command::Leave(flags) => membership::leave(flags, out).await,
        Command::Lock(flags) => lock::run(*flags).await,
        Command::Login(flags) => acl::login(*flags).await,
        Command::Logout(flags) => acl::logout(&flags).await,
        Command::Maint(flags) => maint::run(flags, out).await,
        Command::Man(flags) => man::run(&flags, out),
        Command::Members(flags) => members::run(flags, out).await,
        Command::Monitor(flags) => monitor::run(flags, out).await,
        Command::Operator(command) => operator::run(command, out).await,
        Command::Reload(flags) => membership::reload(flags, out).await,
        Command::Rtt(flags) => rtt::run(flags, out).await,
        Command::Services(command) => services::run(command, out).await,
        Command::Snapshot(command) => snapshot::run(command, out).await,
        Command::Tls(command) => tls::run(command, out),
        Command::Validate(flags) => validate::run(flags, out),
        Command::Version(flags) => version::run(&flags, out),
        Command::Watch(flags) => watch::run(*flags, out).await,
        Command::Demo(options) => demo::run(options).await,
        Command::Hello(options) => hello::run(options).await.map(|()| ExitCode::SUCCESS),
    }
}

/// `lictor members | head -1` is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
