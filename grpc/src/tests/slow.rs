//! A watcher that does not read costs nobody else anything, holds a bounded queue, and is up to date as soon as it
//! reads again; one that does not for too long is cut off.

use futures_util::StreamExt;
use lictor_shared::model::Status;
use tonic::Code;

use super::{
    watcher::Watcher,
    world::{World, register},
};
use crate::{QUEUED_MESSAGES, STALL_LIMIT};

const CHANGES: u16 = 1000;

#[tokio::test(start_paused = true)]
async fn one_that_reads_nothing_beside_one_that_reads_all() {
    let mut world = World::new();
    world.apply(&register("n1", "web", "web", &[], 1, Status::Passing));
    let (mut fast, mut slow) = (Watcher::all_of("web"), Watcher::all_of("web"));
    fast.connect(&world).await;
    slow.connect(&world).await;
    fast.catch_up().await;
    fast.told();
    for port in 2..=CHANGES {
        world.apply(&register("n1", "web", "web", &[], port, Status::Passing));
        // One message for each change, in order: nothing is waited for but the message.
        assert!(fast.read().await, "change {port} is not told");
        assert_eq!(fast.instances.values().next().unwrap().port, u32::from(port));
        assert!(slow.stream.as_ref().unwrap().queued() <= QUEUED_MESSAGES);
    }
    assert_eq!(fast.told(), vec!["delta"; usize::from(CHANGES) - 1]);
    // What the slow one missed is one delta.
    slow.catch_up().await;
    assert_eq!(slow.instances, fast.instances);
    let deltas = slow.told().into_iter().filter(|event| *event == "delta").count();
    assert!(deltas <= QUEUED_MESSAGES + 1, "{deltas} deltas for a watcher that did not read");
}

#[tokio::test(start_paused = true)]
async fn one_that_reads_nothing_for_too_long_is_cut_off() {
    let mut world = World::new();
    let mut watcher = Watcher::all_of("web");
    watcher.connect(&world).await;
    for port in 1..10 {
        world.apply(&register("n1", "web", "web", &[], port, Status::Passing));
        tokio::time::sleep(STALL_LIMIT / 4).await;
    }
    assert_eq!(world.service.streams(), 0, "its place is free");
    let stream = watcher.stream.as_mut().unwrap();
    let messages: Vec<_> = stream.collect().await;
    assert_eq!(messages.len(), QUEUED_MESSAGES + 1);
    assert_eq!(messages.last().unwrap().as_ref().unwrap_err().code(), Code::ResourceExhausted);
}
