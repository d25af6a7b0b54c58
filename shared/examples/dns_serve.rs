//! A DNS interface alone, over a fixed catalog, to be measured from outside (`dnsperf`, `/proc/PID/stat`):
//! `cargo run --release -p lictor-shared --example dns_serve -- 127.0.0.1:8600 1 10 100` answers for the services `web1`,
//! `web10` and `web100`, which have so many instances, until its standard input ends.

use std::{env, error::Error, net::Ipv4Addr, time::Duration};

use lictor_shared::{
    catalog::State,
    command::{Command, Registration},
    dns::{Settings, bind, serve},
    model::{Index, Node, Service, Time},
    tasks::Tasks,
    view,
};
use tokio::io::AsyncReadExt;

/// How long the loops may take to end.
const DRAIN: Duration = Duration::from_secs(5);

fn put(state: &mut State, service: &str, instances: u32) {
    for number in 1..=instances {
        let name = format!("{service}-host-{number}");
        let address = Ipv4Addr::from(0x0a00_0000 + number).to_string();
        let service = Service { id: service.into(), name: service.into(), port: 80, ..Service::default() };
        let node = Node { name: name.as_str().into(), address: address.into(), ..Node::default() };
        let registration = Registration { node, service: Some(service), ..Registration::default() };
        let index = Index(state.index().0 + 1);
        state.apply(index, Time(0), &Command::Register(Box::new(registration)));
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().ok_or("the address to listen on, then numbers of instances")?;
    let mut state = State::default();
    for argument in arguments {
        put(&mut state, &format!("web{argument}"), argument.parse()?);
    }
    let (mut writer, reader) = view::new();
    writer.replace(state);
    let tasks = Tasks::new();
    serve(vec![bind(address.parse()?).await?], Settings::default(), reader, &tasks);
    let (mut input, mut rest) = (tokio::io::stdin(), Vec::new());
    tokio::select! {
        _ = input.read_to_end(&mut rest) => {}
        reason = tasks.failed() => return Err(reason.into()),
    }
    tasks.shutdown(DRAIN).await;
    Ok(())
}
