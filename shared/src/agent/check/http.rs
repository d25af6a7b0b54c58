//! One run of an HTTP check: a request, whose status code decides. 2xx passes, 429 warns, the rest is critical.

use std::str::FromStr;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri,
    header::{ACCEPT, LOCATION, USER_AGENT},
};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::{output, trust};
use crate::{
    model::{CheckDefinition, Status},
    outbound::Outbound,
};

/// Redirects followed in one run.
const REDIRECTS_MAX: usize = 10;

/// Sends the request of `definition`, follows redirects unless it says not to, and judges the answer.
pub(super) async fn probe(definition: &CheckDefinition, outbound: &Outbound) -> (Status, String) {
    match request(definition, outbound).await {
        Ok((status, output)) => (status, output),
        Err(failure) => (Status::Critical, failure),
    }
}

async fn request(definition: &CheckDefinition, outbound: &Outbound) -> Result<(Status, String), String> {
    let mut method = method(definition)?;
    let headers = headers(definition)?;
    let mut body = Bytes::copy_from_slice(definition.body.as_bytes());
    let mut url = Uri::from_str(&definition.http).map_err(|error| format!("{:?}: {error}", definition.http))?;
    for _ in 0..=REDIRECTS_MAX {
        let response = outbound.request(&method, &url, &headers, body.clone(), trust(definition)).await?;
        let Some(next) = redirection(&url, &response).filter(|_| !definition.disable_redirects) else {
            return Ok(judge(definition, &method, response).await);
        };
        let keeps_method = matches!(response.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
        if !keeps_method && method != Method::HEAD {
            method = Method::GET;
            body = Bytes::new();
        }
        url = next?;
    }
    Err(format!("{}: more than {REDIRECTS_MAX} redirects", definition.http))
}

fn method(definition: &CheckDefinition) -> Result<Method, String> {
    match definition.method.as_str() {
        "" => Ok(Method::GET),
        method => Method::from_str(method).map_err(|_| format!("{method:?} is no HTTP method")),
    }
}

fn headers(definition: &CheckDefinition) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, values) in &definition.header {
        let header = HeaderName::from_str(name).map_err(|_| format!("{name:?} is no header name"))?;
        for value in values {
            let value = HeaderValue::from_str(value).map_err(|_| format!("header {name}: {value:?} is no value"))?;
            headers.append(header.clone(), value);
        }
    }
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static("Lictor Health Check"));
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("text/plain, text/*, */*"));
    Ok(headers)
}

/// Where a redirect leads; none where the answer is final.
fn redirection(from: &Uri, response: &Response<Incoming>) -> Option<Result<Uri, String>> {
    let redirects = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION).filter(|_| redirects)?;
    let next = || {
        let (location, scheme) = (location.to_str().ok()?, from.scheme_str()?);
        let absolute = if location.contains("://") {
            location.to_string()
        } else if let Some(rest) = location.strip_prefix("//") {
            format!("{scheme}://{rest}")
        } else if location.starts_with('/') {
            format!("{scheme}://{}{location}", from.authority()?)
        } else {
            let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{scheme}://{}{folder}/{location}", from.authority()?)
        };
        Uri::from_str(&absolute).ok()
    };
    Some(next().ok_or_else(|| format!("{from}: redirects to {location:?}, which is no URL")))
}

async fn judge(definition: &CheckDefinition, method: &Method, response: Response<Incoming>) -> (Status, String) {
    let code = response.status();
    let status = match code {
        code if code.is_success() => Status::Passing,
        StatusCode::TOO_MANY_REQUESTS => Status::Warning,
        _ => Status::Critical,
    };
    let body = beginning(response.into_body(), output::limit(Some(definition))).await;
    (status, format!("HTTP {method} {}: {code} Output: {}", definition.http, String::from_utf8_lossy(&body)))
}

/// Reads a body as far as it is kept. One that breaks off is still an answer.
async fn beginning(mut body: Incoming, limit: usize) -> Vec<u8> {
    let mut kept = Vec::new();
    while kept.len() < limit {
        let Some(Ok(frame)) = body.frame().await else { break };
        if let Some(data) = frame.data_ref() {
            kept.extend_from_slice(&data[..data.len().min(limit - kept.len())]);
        }
    }
    kept
}
