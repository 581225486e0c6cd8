//! `basic.ack`, `basic.nack`, `basic.reject`; and a transaction's end, which does many of them.

use std::sync::Arc;

use super::publish;
use crate::Shared;
use crate::call::{Commit, Hold, Reply, Scope, Settle, Unsettled};
use crate::error;

/// Class and id of `tx.commit`.
const IDS: (u16, u16) = (90, 20);

/// Tells the queues. Nobody waits for the disk: what is lost of it by a crash is delivered again.
pub(super) fn carry_out(settles: &[Settle]) {
    for settle in settles {
        let _ = settle.queue.settle(&settle.receipts, settle.outcome);
    }
}

/// Publishes what a transaction held back, settles what it settled, and waits for the disk.
/// Answers with what came back of it and how it ended.
pub(super) async fn commit(shared: &Arc<Shared>, commit: Commit) -> (Vec<Reply>, Hold) {
    let Commit {
        scope,
        messages,
        charge,
        settles,
        reply_token,
        hold,
    } = commit;
    let replies = match publish::transacted(shared, &scope, messages, reply_token).await {
        Err(failure) => vec![Reply::Failed(failure.of(IDS))],
        Ok(returned) => {
            let ended = settled(settles, &scope).await;
            let returned = (!returned.is_empty()).then_some(Reply::Returned(returned));
            returned.into_iter().chain([ended]).collect()
        }
    };
    drop(charge);
    (replies, hold)
}

async fn settled(mut settles: Unsettled, scope: &Scope) -> Reply {
    let done = settles.0.drain(..);
    let done = done.map(|settle| settle.queue.settle(&settle.receipts, settle.outcome));
    let done: Vec<_> = done.collect();
    for settled in done {
        if let Err(error) = settled.durable().await {
            let failure = error::failure(&error, &scope.namespace);
            return Reply::Failed(failure.of(IDS));
        }
    }
    Reply::Committed
}
