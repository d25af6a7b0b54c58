//! `PUT /v1/agent/maintenance` and `/v1/agent/service/maintenance/:id`, with `?enable=` and `?reason=`.

use super::{
    Context, Failure, agent::writes_service_of, answer::Answer, catalog::named, params::boolean, route::Request,
};
use crate::model::ServiceId;

pub(super) async fn node(context: &Context, request: &Request) -> Result<Answer, Failure> {
    context.agent.set_node_maintenance(wanted(request)?).await?;
    Ok(Answer::empty())
}

pub(super) async fn service(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let id = named(&request.parameter, "Missing service ID")?;
    writes_service_of(context, request, id)?;
    context.agent.set_service_maintenance(&ServiceId::from(id), wanted(request)?).await?;
    Ok(Answer::empty())
}

/// The reason, which may be empty, where maintenance is to begin; nothing where it is to end.
fn wanted(request: &Request) -> Result<Option<&str>, Failure> {
    let Some(enable) = request.query.filled("enable") else {
        return Err(Failure::BadRequest("Missing value for enable".into()));
    };
    match boolean(enable) {
        Some(true) => Ok(Some(request.query.get("reason").unwrap_or_default())),
        Some(false) => Ok(None),
        None => Err(Failure::BadRequest(format!("Invalid value for enable: {enable:?}"))),
    }
}
