//! The interface asked from inside this process: the same endpoints and answers, without a connection.
//!
//! By what the operator wrote into this agent's files, which only reads, and by other nodes (`remote`): what a
//! configuration says about callers' addresses and connections is not about them.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use tokio_util::sync::CancellationToken;

use super::{
    Context,
    answer::{Answer, WHOLE_BYTES},
    query::Query,
    read::INDEX,
    route::{self, Origin, Request, Router},
};
use crate::{
    acl::Credential,
    model::Index,
    watch::{Seen, Source},
};

/// The interface of one node.
pub struct Inside {
    context: Arc<Context>,
    router: Router,
    stopping: CancellationToken,
}

impl Inside {
    /// Waiting reads return when `stopping` is cancelled.
    #[must_use]
    pub fn new(context: Arc<Context>, stopping: CancellationToken) -> Self {
        Self { context, router: Router::new(), stopping }
    }

    /// What its handlers have at hand.
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// Answers a request of one who showed that, or else names a token in the query.
    pub(super) async fn answer(
        &self,
        origin: Origin,
        method: Method,
        target: &str,
        body: Bytes,
        token: Credential,
    ) -> Answer {
        let answer = async {
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let found = self.router.find(&method, path)?;
            let query = Query::parse(query);
            let token = token.or(&query.filled("token").map(Credential::new).unwrap_or_default());
            let request = Request {
                origin,
                method,
                target: target.into(),
                query,
                endpoint: found.place,
                parameter: found.parameter,
                body,
                client: None,
                token,
                caller: self.context.authority.nobody(),
                pieces: Mutex::default(),
                stopping: self.stopping.clone(),
                answers: self.context.answers.clone(),
            };
            route::handle(&self.context, request).await
        };
        answer.await.unwrap_or_else(Answer::from)
    }

    /// The answer to a question of one who shows that, as a whole; `None` where it is longer than 16 MiB or breaks off.
    pub async fn look(&self, target: &str, token: Credential) -> Option<(StatusCode, Bytes)> {
        let answer = self.answer(Origin::Here, Method::GET, target, Bytes::new(), token).await;
        let (head, body) = answer.into_response(false).into_parts();
        let body = Limited::new(body, WHOLE_BYTES).collect().await.ok()?.to_bytes();
        Some((head.status, body))
    }
}

impl Source for Inside {
    async fn get(&self, path: &str) -> Result<Seen, String> {
        // A node that has just started knows nothing yet, which is no failure.
        self.context.reader.reach(Index(1)).await;
        let token = match path.contains("token=") {
            true => Credential::none(),
            false => self.context.authority.own().default.clone(),
        };
        let answer = self.answer(Origin::Here, Method::GET, path, Bytes::new(), token).await;
        let (head, body) = answer.into_response(false).into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        let found = head.status != StatusCode::NOT_FOUND;
        if found && !head.status.is_success() {
            let reason = String::from_utf8_lossy(&body);
            return Err(format!("Unexpected response code: {} ({})", head.status.as_u16(), reason.trim()));
        }
        let index = head.headers.get(INDEX).and_then(|index| index.to_str().ok()?.parse().ok());
        Ok(Seen { found, index, body })
    }
}
