//! What to do when an agent says 401 or 403: who one was for it, and how to be somebody else.
//!
//! The error itself stays Consul's sentence, which scripts match on; this is a second line below it. A token is called by
//! its accessor and by where it came from, never by its secret. It changes nothing: it asks the agent one more question.

use std::time::Duration;

use hyper::StatusCode;
use lictor_shared::model::ANONYMOUS;
use serde::Deserialize;

use crate::client::{Agent, ClientError};

/// How long the agent is asked who one was. It has just answered.
const LIMIT: Duration = Duration::from_secs(5);
/// How a token is given.
const GIVE: &str = "-token-file=FILE, -token=SECRET, CONSUL_HTTP_TOKEN or CONSUL_HTTP_TOKEN_FILE";

const DISABLED: &str = "Access control is off at this agent: nobody needs a token there, and there are none. To turn it \
on, put acl { enabled = true, default_policy = \"deny\" } into the configuration files of every agent, restart the servers \
first, and make the first token with: lictor acl bootstrap";

const BOOTSTRAPPED: &str = "There was a first token already: ask for one of those who have it. If all are lost, write \
the reset index into the file acl-bootstrap-reset in the data directory of the server that leads, and do this again";

/// Who the agent says that one is.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Caller {
    #[serde(rename = "AccessorID")]
    accessor: String,
}

/// What whoever got this error can do, if it is about rights; no full stop and no line feed at its end.
pub async fn advice(error: &anyhow::Error) -> Option<String> {
    let refusal = error.chain().find_map(|cause| cause.downcast_ref::<ClientError>());
    let Some(ClientError::Status { status, reason, agent }) = refusal else { return None };
    match *status {
        StatusCode::UNAUTHORIZED if reason.contains("ACL support disabled") => Some(DISABLED.into()),
        StatusCode::FORBIDDEN if reason.contains("bootstrap no longer allowed") => Some(BOOTSTRAPPED.into()),
        StatusCode::FORBIDDEN if reason.contains("Permission denied") => Some(missing(agent).await),
        StatusCode::FORBIDDEN if reason.contains("ACL not found") => Some(not_found(agent).await),
        _ => None,
    }
}

/// A right is missing.
async fn missing(agent: &Agent) -> String {
    let caller = caller(agent).await.ok();
    let Some(origin) = agent.token_origin() else {
        return match caller {
            Some(accessor) if accessor != ANONYMOUS.to_string() => format!(
                "No token was shown, and the one that the agent takes then (accessor {accessor}) does not allow it. Give \
                 one by {GIVE}"
            ),
            _ => format!(
                "No token was shown. Give one by {GIVE}; the first one of a cluster is made with: lictor acl bootstrap"
            ),
        };
    };
    match caller {
        Some(accessor) => format!(
            "The token of {origin} (accessor {accessor}) does not allow it. What it allows is told to who may read access \
             control by: lictor acl token read -accessor-id={accessor} -expanded"
        ),
        None => format!("The token of {origin} does not allow it. Another is given by {GIVE}"),
    }
}

/// Either the caller's token or what was asked for does not exist.
async fn not_found(agent: &Agent) -> String {
    let Some(origin) = agent.token_origin() else {
        return "What was asked for does not exist: look at its name or ID again".into();
    };
    match caller(agent).await {
        Ok(accessor) => format!(
            "The token of {origin} (accessor {accessor}) is known, so what was asked for does not exist: look at its name \
             or ID again"
        ),
        Err(ClientError::Status { status: StatusCode::FORBIDDEN, .. }) => format!(
            "The agent knows no token with the secret of {origin}: it is misspelt, has expired or was deleted (an accessor \
             is no secret). Another is given by {GIVE}"
        ),
        Err(_) => format!("The token of {origin} is not known, or what was asked for does not exist"),
    }
}

async fn caller(agent: &Agent) -> Result<String, ClientError> {
    let agent = agent.clone().with_limit(LIMIT);
    Ok(agent.get::<Caller>("/v1/acl/token/self").await?.accessor)
}
