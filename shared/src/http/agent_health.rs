//! `/v1/agent/health/service/...`: how this agent's own services are, with a status code for load balancers: 200 while
//! passing, 429 while warning, 503 while critical or in maintenance, 404 where there is none.

use std::sync::Arc;

use http::StatusCode;

use super::{
    Context, Failure,
    answer::Answer,
    catalog::named,
    json::agent::{AgentHealth, AgentHealthRow},
    read::Rows,
    route::Request,
};
use crate::acl::{Level, Resource};
use crate::model::{Check, Service, Status};

pub(super) async fn by_name(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let name = named(&request.parameter, "Missing service Name")?;
    let mut services = context.agent.services();
    services.retain(|service| service.name.key().as_str() == name.to_lowercase());
    let local = Local { checks: context.agent.checks(), datacenter: context.datacenter() };
    let worst = services.iter().map(|service| local.health(service)).max();
    answer(request, worst, |rows| rows.value(&services.iter().map(|service| local.row(service)).collect::<Vec<_>>()))
}

pub(super) async fn by_id(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let id = named(&request.parameter, "Missing serviceID")?;
    let service = context.agent.service(id);
    // Whether there is one is not for everybody to know.
    let name = service.as_deref().map_or(id, |service| &service.name);
    request.caller.rights.require(Resource::Service, Level::Read, name)?;
    let local = Local { checks: context.agent.checks(), datacenter: context.datacenter() };
    answer(request, service.as_deref().map(|service| local.health(service)), |rows| {
        rows.value(&service.as_deref().map_or(AgentHealthRow::UNKNOWN, |service| local.row(service)))
    })
}

fn answer(
    request: &Request,
    health: Option<AgentHealth>,
    body: impl FnOnce(&Rows) -> bytes::Bytes,
) -> Result<Answer, Failure> {
    let code = match health {
        Some(AgentHealth::Checked(Status::Passing)) => StatusCode::OK,
        Some(AgentHealth::Checked(Status::Warning)) => StatusCode::TOO_MANY_REQUESTS,
        Some(AgentHealth::Checked(Status::Critical) | AgentHealth::Maintenance) => StatusCode::SERVICE_UNAVAILABLE,
        None => StatusCode::NOT_FOUND,
    };
    let answer = if request.query.get("format") == Some("text") {
        Answer::text(health.map_or(Status::Critical.as_str(), AgentHealth::as_str))
    } else {
        Answer::json(body(&Rows::wanted(request, None)?))
    };
    Ok(answer.with_status(code))
}

/// The checks of this agent.
struct Local<'a> {
    checks: Vec<Arc<Check>>,
    datacenter: &'a str,
}

impl Local<'_> {
    /// A service's own checks and the node's.
    fn about(&self, service: &Service) -> Vec<&Check> {
        let about = |check: &&Check| check.service_id.is_empty() || check.service_id.key() == service.id.key();
        self.checks.iter().map(|check| &**check).filter(about).collect()
    }

    fn health(&self, service: &Service) -> AgentHealth {
        AgentHealth::of(&self.about(service))
    }

    fn row<'s>(&'s self, service: &'s Service) -> AgentHealthRow<'s> {
        AgentHealthRow::new(service, &self.about(service), self.datacenter)
    }
}
