//! A unary answer: complete and parsed before a byte of it leaves, so that a broken one can still be replaced.

use super::{
    Exchange,
    attempt::{Answer, Failed},
    decode::Call,
    request::{Reading, asked},
};
use crate::{
    snapshot::TargetHandle,
    source::{Source, Unreadable},
};
use bytes::{Bytes, BytesMut};
use outrigger_core::Class;
use outrigger_dialect::{
    classify, translate,
    unary::{self, BadBody},
};
use std::{collections::VecDeque, time::Duration};

/// Reads an answer to its end and checks that it is one.
pub(super) async fn collect(
    exchange: &Exchange,
    call: &Call,
    target: &TargetHandle,
    between: Duration,
    reading: Reading,
    mut source: Source,
) -> Result<Answer, Failed> {
    let mut held = VecDeque::new();
    let mut size = 0;
    loop {
        let Some(chunk) = next(exchange, between, &mut source).await else {
            break;
        };
        let chunk = chunk.map_err(|_| Failed::of(Class::Reset))?;
        size += chunk.len();
        held.push_back(chunk);
        if size > exchange.app.settings.max_unary {
            // What has to be translated has to be whole.
            return if reading.translated {
                Err(Failed::of(Class::BadResponse))
            } else {
                Ok(Answer::Oversized { held, source })
            };
        }
    }
    let body = join(held, size);
    let provider = &target.provider;
    let bad = |bad: BadBody| not_an_answer(exchange, target, bad, &body);
    if reading.translated {
        let asked = asked(exchange, call);
        let (translated, report) = translate::unary(provider.dialect, call.api.dialect(), &body, &asked).map_err(bad)?;
        return Ok(Answer::Unary {
            body: translated.into(),
            report,
        });
    }
    let report = unary::inspect(provider.dialect, call.api.endpoint(), &body).map_err(bad)?;
    Ok(Answer::Unary { body, report })
}

/// The next chunk. The clock starts only where it has to be waited for.
async fn next(exchange: &Exchange, between: Duration, source: &mut Source) -> Option<Result<Bytes, Unreadable>> {
    let mut waits = false;
    std::future::poll_fn(|cx| {
        let next = source.poll_next(cx);
        if next.is_pending() && !std::mem::replace(&mut waits, true) {
            exchange.arm(exchange.app.now().after(between));
        }
        next
    })
    .await
}

/// A 200 that is none: an error object has a class of its own.
pub(super) fn not_an_answer(exchange: &Exchange, target: &TargetHandle, bad: BadBody, body: &[u8]) -> Failed {
    match bad {
        BadBody::Error => {
            let said = classify::classify_stream_error(&target.provider.name, target.provider.dialect, body);
            Failed::classified(200, said, exchange.app.now())
        }
        BadBody::Empty | BadBody::NotJson | BadBody::NoAnswer => Failed::of(Class::BadResponse),
    }
}

fn join(mut chunks: VecDeque<Bytes>, size: usize) -> Bytes {
    if chunks.len() == 1 {
        return chunks.pop_front().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(size);
    for chunk in chunks {
        whole.extend_from_slice(&chunk);
    }
    whole.freeze()
}
