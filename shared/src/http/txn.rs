//! `/v1/txn`: several operations, all of them or none.
//!
//! With a write among them they are one command. Otherwise they are a read, and answered like one, at the freshness
//! that the caller wants; a sidecar has a server do that. An operation that makes no sense fails the transaction before
//! anything else is looked at.

use bytes::Bytes;
use http::StatusCode;

use super::{
    Context, Failure,
    answer::{Answer, encode},
    context::datacenter_asked,
    json::txn::{LookRow, TransactionRow, operations},
    params::Options,
    read::{freshen, with_contact},
    remote,
    route::Request,
};
use crate::{
    acl::authorize_operation,
    backend::BackendError,
    command::{Command, Operation, OperationError, Outcome},
};

pub(super) async fn transact(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let limits = context.settings.limits;
    if request.body.len() > limits.transaction_bytes {
        return Err(Failure::TooLarge(limits.transaction_bytes));
    }
    let read = operations(&request.body)?;
    if read.len() > limits.transaction_operations {
        return Err(Failure::TooMany { found: read.len(), limit: limits.transaction_operations });
    }
    context.refuse_other_datacenter(datacenter_asked(&request.query))?;
    let writes = read.iter().flatten().any(Operation::is_write);
    let (mut places, mut operations, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for (place, operation) in (0..).zip(read) {
        match operation {
            Ok(operation) => {
                // What is written is decided by the server that takes it, all of it together.
                if !writes {
                    authorize_operation(&request.caller.rights, &context.reader.load(), &operation)?;
                }
                places.push(place);
                operations.push(operation);
            }
            Err(reason) => errors.push(OperationError { place, reason }),
        }
    }
    if writes {
        return write(context, request, operations, errors).await;
    }
    if !context.holds_keys() {
        return remote::fetch(context, request).await;
    }
    let mode = Options::parse(&request.query)?.mode;
    let freshness = freshen(context, mode).await?;
    if !freshness.is_as_wanted(mode) {
        return Err(BackendError::NoLeader.into());
    }
    let contact = freshness.contact;
    let state = context.reader.load_full();
    let found = state.look(&operations).unwrap_or_else(|failed| {
        let placed = |error: OperationError| OperationError { place: places[error.place as usize], ..error };
        errors.extend(failed.into_iter().map(placed));
        Vec::new()
    });
    errors.sort_by_key(|error| error.place);
    let row = TransactionRow::new(&found, &errors, &state, context.datacenter());
    let body = encode(&LookRow::new(row, state.index(), contact), request.query.has("pretty"));
    Ok(with_contact(answer(body, &errors), contact))
}

async fn write(
    context: &Context,
    request: &Request,
    operations: Vec<Operation>,
    errors: Vec<OperationError>,
) -> Result<Answer, Failure> {
    let (results, errors) = if errors.is_empty() {
        match context.propose(request, Command::Transaction(operations)).await?.outcome {
            Outcome::Refused(refusal) => return Err(refusal.into()),
            Outcome::Aborted(errors) => (Vec::new(), errors),
            Outcome::Committed(results) => (results, Vec::new()),
            Outcome::Done | Outcome::Mismatch => (Vec::new(), Vec::new()),
        }
    } else {
        (Vec::new(), errors)
    };
    let state = context.reader.load_full();
    let row = TransactionRow::new(&results, &errors, &state, context.datacenter());
    Ok(answer(encode(&row, request.query.has("pretty")), &errors))
}

fn answer(body: Bytes, errors: &[OperationError]) -> Answer {
    let answer = Answer::json(body);
    if errors.is_empty() { answer } else { answer.with_status(StatusCode::CONFLICT) }
}
