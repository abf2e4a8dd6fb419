//! In: a request with its pool. Out: attempts at endpoints, until one answers or none may be tried any more.

use crate::attempt::attempt;
use crate::buffer::Buffer;
use crate::connections::{connect, Choice, Connection};
use crate::endpoint::{count, Endpoint, InFlight};
use crate::exchange::{Exchange, Failed};
use crate::introduction;
use crate::table::Table;
use pinfold_core::failure::{Cause, Side};
use pinfold_core::retry::{decide, Attempted, Decision, Progress};
use pinfold_wire::SendProxy;
use std::sync::Arc;

/// Have the request answered. True: the connection of the client stays open.
///
/// # Errors
/// What the client, the log and the counters are to be told; see [`Exchange::answered`].
pub async fn forward(exchange: &Exchange<'_>, head: &mut Vec<u8>, buffer: &mut Buffer) -> Result<bool, Cause> {
    let core = &exchange.client.core;
    let (mut tried, mut resent, mut last) = (Vec::new(), 0, Cause::NoEndpoint);
    let mut choice = if exchange.facts.idempotent { Choice::Any } else { Choice::Fresh };
    loop {
        // The table of now: one that was in force when the request came may name endpoints that are drained by now.
        let table = core.table();
        let Some(endpoint) = pick(exchange, &table, &tried) else {
            exchange.pool.count_unavailable();
            return Err(last);
        };
        let in_flight = InFlight::begin(&endpoint);
        exchange.tally.attempts.set(exchange.tally.attempts.get() + 1);
        let attempted = match connection(exchange, &endpoint, choice).await {
            Ok(connection) => {
                count(&endpoint.counters.requests);
                let reused = connection.reused;
                (attempt(exchange, head, buffer, connection).await, reused)
            }
            Err(cause) => (Err(Failed { cause, progress: Progress::Unsent }), false),
        };
        let (failed, reused) = match attempted {
            (Ok(stays), _) => {
                buffer.consume(exchange.tally.kept.get());
                count_status(exchange, &endpoint);
                return Ok(stays);
            }
            (Err(failed), reused) => (failed, reused),
        };
        drop(in_flight);
        if failed.cause.side() == Side::Endpoint {
            count(&endpoint.counters.errors);
        }
        let idempotent = exchange.facts.idempotent;
        match decide(Attempted { progress: failed.progress, idempotent, reused, resent }) {
            Decision::Fail => {
                buffer.consume(exchange.tally.kept.get());
                return Err(failed.cause);
            }
            Decision::Elsewhere => tried.push(endpoint.id),
            Decision::Anew => choice = Choice::New,
        }
        resent += u32::from(failed.progress == Progress::Sent);
        last = failed.cause;
        exchange.tally.kept.set(0);
        exchange.tally.uploaded.set(false);
        exchange.tally.received.set(0);
    }
}

fn pick(exchange: &Exchange<'_>, table: &Table, tried: &[u64]) -> Option<Arc<Endpoint>> {
    let core = &exchange.client.core;
    let pool = table.pool(&exchange.pool.name)?;
    let member = pool.pick(tried, core.chance(), &mut core.candidates.borrow_mut())?;
    *exchange.tally.endpoint.borrow_mut() = Some(Arc::clone(&member.name));
    Some(Arc::clone(&member.endpoint))
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

fn count_status(exchange: &Exchange<'_>, endpoint: &Endpoint) {
    if exchange.tally.status.get() >= 500 {
        count(&endpoint.counters.server_errors);
    }
}
