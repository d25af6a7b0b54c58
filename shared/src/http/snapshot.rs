//! `/v1/snapshot`: the whole registry as a file, and back.
//!
//! Neither way is it ever held as a whole here: pieces go through as they come, from and to a server, who alone knows
//! what is in them. A file that ends early is a broken connection, so that no caller takes it for whole.

use std::{io, sync::PoisonError};

use futures_util::StreamExt;
use http::HeaderValue;

use super::{
    Context, Failure,
    answer::Answer,
    context::datacenter_asked,
    params::{Mode, Options},
    read::{INDEX, with_contact},
    route::Request,
};

const GZIP: HeaderValue = HeaderValue::from_static("application/x-gzip");

/// From the leader; with `?stale` from any server, led or not.
pub(super) async fn save(context: &Context, request: &Request) -> Result<Answer, Failure> {
    context.refuse_other_datacenter(datacenter_asked(&request.query))?;
    let any_server = matches!(Options::parse(&request.query)?.mode, Mode::Stale(_) | Mode::Cached);
    let archive = context.backend.save_archive(any_server, &request.token).await?;
    let pieces = archive.pieces.map(|piece| piece.map_err(io::Error::other));
    let answer = Answer::file(pieces, GZIP).with_header(INDEX, archive.index.0.max(1));
    Ok(with_contact(answer, archive.contact))
}

pub(super) async fn restore(context: &Context, request: &Request) -> Result<Answer, Failure> {
    context.refuse_other_datacenter(datacenter_asked(&request.query))?;
    let pieces = request.pieces.lock().unwrap_or_else(PoisonError::into_inner).take();
    let pieces = pieces.ok_or_else(|| Failure::BadRequest("there is no body".into()))?;
    let index = context.backend.restore_archive(pieces, &request.token).await?;
    Ok(Answer::empty().with_header(INDEX, index.0))
}
