//! `/v1/status/...`: who leads, and who may.

use super::{Context, Failure, answer::Answer, context::datacenter_asked, read::Rows, route::Request};

pub(super) async fn leader(context: &Context, request: &Request) -> Result<Answer, Failure> {
    context.refuse_other_datacenter(datacenter_asked(&request.query))?;
    let leader = context.backend.leader().unwrap_or_default();
    Ok(Answer::json(Rows::wanted(request, None)?.value(&leader)))
}

pub(super) async fn peers(context: &Context, request: &Request) -> Result<Answer, Failure> {
    Ok(Answer::json(Rows::wanted(request, None)?.value(&context.backend.peers())))
}
