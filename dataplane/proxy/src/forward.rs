//! In: a request with its pool. Out: attempts at endpoints, until one answers or none may be tried any more.

use crate::attempt::attempt;
use crate::buffer::Buffer;
use crate::clock;
use crate::connections::{connect, Choice, Connection};
use crate::endpoint::{count, Endpoint};
use crate::exchange::{Exchange, Facts, Failed};
use crate::introduction;
use crate::pool::{Ask, Pick};
use crate::queue::{self, Entry, Hold, Place};
use pinfold_core::failure::{Cause, Side};
use pinfold_core::retry::{decide, Attempted, Decision, Progress};
use pinfold_wire::SendProxy;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

/// Have the request answered. True: the connection of the client stays open.
///
/// # Errors
/// What the client, the log and the counters are to be told; see [`Exchange::answered`].
pub async fn forward(exchange: &Exchange<'_>, head: &mut Vec<u8>, buffer: &mut Buffer) -> Result<bool, Cause> {
    let tally = &exchange.tally;
    let (mut tried, mut resent, mut last) = (Vec::new(), 0, Cause::NoEndpoint);
    let mut choice = if exchange.facts.idempotent { Choice::Any } else { Choice::Fresh };
    loop {
        let hold = match hold(exchange, &tried).await {
            Ok(hold) => hold,
            Err(cause) => return Err(if cause == Cause::NoEndpoint { last } else { cause }),
        };
        let (outcome, reused) = match connection(exchange, hold.endpoint(), choice).await {
            Ok(connection) => {
                count(&hold.endpoint().counters.requests);
                let reused = connection.reused;
                (attempt(exchange, head, buffer, connection).await, reused)
            }
            Err(cause) => (Err(Failed { cause, progress: Progress::Unsent }), false),
        };
        // It was our wish to try this endpoint: the client is not to pay for it.
        let on_trial = tally.trial.borrow().is_some();
        judge(exchange, hold.endpoint(), &outcome, reused);
        let failed = match outcome {
            Ok(stays) => {
                buffer.consume(tally.kept.get());
                return Ok(stays);
            }
            Err(failed) => failed,
        };
        let idempotent = exchange.facts.idempotent;
        let decision = decide(Attempted { progress: failed.progress, idempotent, reused, resent });
        if decision == Decision::Fail || !(on_trial || affordable(exchange, failed.progress)) {
            buffer.consume(tally.kept.get());
            return Err(failed.cause);
        }
        match decision {
            Decision::Anew => choice = Choice::New,
            Decision::Elsewhere | Decision::Fail => tried.push(hold.endpoint().id),
        }
        resent += u32::from(failed.progress == Progress::Sent);
        last = failed.cause;
        tally.kept.set(0);
        tally.uploaded.set(false);
        tally.received.set(0);
    }
}

/// An endpoint for the next attempt, for which the request may have to wait.
async fn hold(exchange: &Exchange<'_>, tried: &[u64]) -> Result<Hold, Cause> {
    let lasting = &exchange.pool.lasting;
    let held = match enter(exchange, tried) {
        Entry::Now(hold) => Ok(hold),
        Entry::Later(place) => wait(exchange, place).await,
        Entry::Never(cause) => Err(cause),
    };
    match &held {
        Ok(_) => {
            let before = exchange.tally.attempts.replace(exchange.tally.attempts.get() + 1);
            if before > 0 {
                count(&lasting.retries);
            }
        }
        Err(Cause::QueueFull | Cause::QueueTimeout) => count(&lasting.overflowed),
        Err(Cause::NoEndpoint) => count(&lasting.unavailable),
        Err(_) => {}
    }
    let mut hold = held?;
    *exchange.tally.endpoint.borrow_mut() = Some(Arc::clone(&hold.name));
    exchange.tally.mark.set(hold.mark);
    *exchange.tally.trial.borrow_mut() = hold.trial.take();
    Ok(hold)
}

fn enter(exchange: &Exchange<'_>, tried: &[u64]) -> Entry {
    let core = &exchange.client.core;
    // The table of now: one that was in force when the request came may name endpoints that are drained by now.
    let table = core.table();
    let Some(pool) = table.pool(&exchange.pool.name) else { return Entry::Never(Cause::NoEndpoint) };
    let first = tried.is_empty();
    let now = if first { exchange.began } else { clock::now() };
    if first {
        pool.lasting.note(now.second(), pool);
    }
    let Facts { wish, idempotent, .. } = exchange.facts;
    let ask = Ask { tried, wish, idempotent, now, chance: core.chance() };
    if pool.settings.concurrency > 0 {
        return queue::enter(pool, &ask);
    }
    match pool.pick(&ask, &mut core.candidates.borrow_mut()) {
        Pick::Taken(picked) => Entry::Now(Hold::new(&picked)),
        Pick::Busy | Pick::Nobody => Entry::Never(Cause::NoEndpoint),
    }
}

/// Wait in the queue, as long as the client does and the pool allows.
async fn wait(exchange: &Exchange<'_>, mut place: Place) -> Result<Hold, Cause> {
    exchange.watch().arm_ms(exchange.pool.settings.queue.timeout_ms);
    let mut watching = true;
    poll_fn(|cx| {
        if let Poll::Ready(hold) = place.poll(cx) {
            return Poll::Ready(hold.ok_or(Cause::NoEndpoint));
        }
        if watching {
            match exchange.client.peer.poll_reset(cx) {
                Poll::Ready(true) => return Poll::Ready(Err(Cause::ClientClosed)),
                Poll::Ready(false) => watching = false,
                Poll::Pending => {}
            }
        }
        exchange.watch().poll(cx).map(|_| Err(Cause::QueueTimeout))
    })
    .await
}

/// What an attempt shows of its endpoint.
fn judge(exchange: &Exchange<'_>, endpoint: &Endpoint, outcome: &Result<bool, Failed>, reused: bool) {
    // A trial that was answered has told already; else, without a word, it has told nothing.
    let trial = exchange.tally.trial.take();
    match outcome {
        Ok(_) => {
            exchange.pool.answered(endpoint, exchange.tally.status.get());
        }
        Err(failed) if failed.cause.side() == Side::Endpoint => {
            count(&endpoint.counters.errors);
            // Endpoints may close a connection that is idle, and cannot know that a request is on its way.
            let idle = reused && failed.cause == Cause::EndpointClosed && failed.progress != Progress::Begun;
            if idle {
                return;
            }
            exchange.pool.failed(endpoint);
            if let Some(trial) = trial {
                trial.conclude(0, 0);
            }
        }
        Err(_) => {}
    }
}

/// Whether the budget allows another attempt. What cannot have arrived costs endpoints nothing, so it is not counted.
fn affordable(exchange: &Exchange<'_>, progress: Progress) -> bool {
    let pool = exchange.pool;
    progress == Progress::Unsent || pool.lasting.allow_retry(clock::now().second(), pool)
}

/// A connection to the endpoint: one that is kept, or a new one.
async fn connection(exchange: &Exchange<'_>, endpoint: &Arc<Endpoint>, choice: Choice) -> Result<Connection, Cause> {
    let told = exchange.pool.settings.send_proxy != SendProxy::Off;
    let choice = if told { Choice::New } else { choice };
    if let Some(kept) = exchange.client.core.connections.take(endpoint, choice) {
        return Ok(kept);
    }
    exchange.watch().arm_ms(exchange.pool.settings.timeouts.connect_ms);
    let connection = connect(endpoint, exchange.watch()).await?;
    if told {
        introduction::write(exchange, &connection).await?;
    }
    Ok(connection)
}
