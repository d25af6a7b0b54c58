//! `/v1/event/...`: messages to the nodes, carried by gossip.
//!
//! A blocking list holds on the events this node has been told of, in Consul's way: its index is made of the last
//! event's ID, and a caller waits while it is the one that the caller knows.

use std::sync::Arc;

use super::{
    Context, Failure,
    answer::Answer,
    catalog::named,
    json::event::EventRow,
    params::Options,
    read::{INDEX, Rows, with_jitter},
    route::{Request, admit_again},
};
use crate::gossip::UserEvent;

pub(super) async fn fire(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let name = named(&request.parameter, "Missing name")?;
    let filter = |name: &str| request.query.get(name).unwrap_or_default().to_string();
    let event = UserEvent {
        name: name.to_string(),
        payload: request.body.to_vec(),
        node_filter: filter("node"),
        service_filter: filter("service"),
        tag_filter: filter("tag"),
        ..UserEvent::default()
    };
    let fired = context.events.fire(event).map_err(|error| Failure::Rejected(error.to_string()))?;
    Ok(Answer::json(Rows::wanted(request, None)?.value(&EventRow::new(&fired).fired())))
}

pub(super) async fn list(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let (mut rows, options) = (Rows::wanted(request, None)?, Options::parse(&request.query)?);
    let name = request.query.filled("name");
    let mut changes = context.events.changes();
    let time_out = tokio::time::sleep(with_jitter(options.wait));
    tokio::pin!(time_out);
    let mut waits = true;
    loop {
        changes.borrow_and_update();
        let mut events = context.events.recent();
        events.retain(|event| name.is_none_or(|name| event.name == name));
        let index = index_of(&events);
        if !waits || index != options.index.0 {
            rows.caller = admit_again(context, request)?;
            let listed = rows.list(events.iter().map(|event| EventRow::new(event)));
            return Ok(Answer::json(listed).with_header(INDEX, index));
        }
        tokio::select! {
            changed = changes.changed() => waits = changed.is_ok(),
            () = &mut time_out => waits = false,
            () = request.stopping.cancelled() => waits = false,
        }
    }
}

/// Both halves of the last event's ID. Never 0, so that a client can wait for the first.
fn index_of(events: &[Arc<UserEvent>]) -> u64 {
    let of_last = events.last().map(|last| {
        let (upper, lower) = last.id.as_u64_pair();
        upper ^ lower
    });
    of_last.unwrap_or(1).max(1)
}
