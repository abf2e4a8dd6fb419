//! In: a connection of a client. Out: its requests, one after the other, each judged, routed and rewritten for `forward`.

use crate::access::{Asked, Outcome};
use crate::buffer::Buffer;
use crate::clock;
use crate::endpoint::count;
use crate::exchange::{Exchange, Facts, Tally};
use crate::forward::forward;
use crate::peer::{Peer, Stall};
use crate::respond::{self, Manner};
use crate::runtime::Core;
use crate::table::{Listener, Table};
use crate::watch::{Interrupt, Watch};
use pinfold_core::failure::{Cause, Side};
use pinfold_core::framing::{Body, FramingError, Version};
use pinfold_core::headers::{self, client_lines};
use pinfold_core::request::{self, Field, Head, HeadError};
use pinfold_core::retry;
use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// Fields for which there is room at first; more are read in a second try.
const FIELDS_FEW: usize = 48;
/// How long what a client still sends is read and dropped, so that it gets the answer before a reset.
const LINGER_MS: u64 = 1_000;
/// Most bytes of it.
const LINGER_BYTES: usize = 1 << 20;

/// A connection that has been accepted and, if need be, secured.
pub struct Arrival {
    /// Key of the listener.
    pub key: u32,
    /// The connection.
    pub peer: Peer,
    /// Its deadline.
    pub watch: Watch,
    /// Address of the client; None on a unix socket.
    pub client: Option<IpAddr>,
    /// Address it connected to; None on a unix socket.
    pub local: Option<SocketAddr>,
    /// It speaks TLS.
    pub secure: bool,
}

/// A client connection.
pub struct Client {
    /// The core it lives on.
    pub core: Rc<Core>,
    /// The connection.
    pub peer: Peer,
    /// Its deadline.
    pub watch: Watch,
    key: u32,
    /// The lines that tell endpoints of this client.
    own: Vec<u8>,
    /// Its address, for the log.
    address: String,
    /// The address it connected to.
    local: String,
}

/// What follows a request on its connection.
enum Next {
    /// Close.
    Close,
    /// Reset: the answer was cut.
    Cut,
    /// Close once the client has read the answer.
    Linger,
    /// Another request.
    Request,
}

/// Why no head came.
enum NoHead {
    /// The connection has ended, or is to.
    Gone,
    /// What came is none.
    Refused(Cause),
}

/// Serve a connection to its end.
pub async fn serve(core: &Rc<Core>, arrival: Arrival) {
    let told = headers::Client {
        address: arrival.client,
        proto: if arrival.secure { "https" } else { "http" },
        port: arrival.local.map(|local| local.port()),
    };
    let client = Client {
        core: Rc::clone(core),
        peer: arrival.peer,
        watch: arrival.watch,
        key: arrival.key,
        own: client_lines(told),
        address: arrival.client.map_or_else(String::new, |address| address.to_canonical().to_string()),
        local: arrival.local.map_or_else(|| "localhost".to_owned(), |local| local.to_string()),
    };
    let mut buffer = Buffer::new(&core.buffers);
    let last = loop {
        match turn(&client, &mut buffer).await {
            Next::Request => {}
            last => break last,
        }
    };
    client.watch.arm_ms(LINGER_MS);
    match last {
        Next::Cut => client.peer.cut(),
        Next::Linger => linger(&client, &mut buffer).await,
        Next::Close | Next::Request => client.peer.end(&client.watch).await,
    }
}

/// One request, from the wait for it to its end.
async fn turn(client: &Client, buffer: &mut Buffer) -> Next {
    let head = read_head(client, buffer).await;
    let table = client.core.table();
    // A listener that has gone takes no more requests; the client hears of it as of any idle connection that closes.
    let Some(listener) = table.listener(client.key) else { return Next::Close };
    match head {
        Ok(length) => request(client, (&table, listener), buffer, length).await,
        Err(NoHead::Gone) => Next::Close,
        Err(NoHead::Refused(cause)) => refuse_bytes(client, (&table, listener), cause).await,
    }
}

/// Wait for a whole head; a bound of its length, see [`request::head_bound`].
async fn read_head(client: &Client, buffer: &mut Buffer) -> Result<usize, NoHead> {
    let (timeouts, head_bytes) = match client.core.table().listener(client.key) {
        Some(listener) if !client.core.stopping() => (listener.timeouts.clone(), listener.limits.head_bytes),
        _ => return Err(NoHead::Gone),
    };
    if buffer.is_empty() {
        client.watch.arm_ms(timeouts.idle_ms);
        client.watch.set_idle(Some(client.key));
        let read = client.peer.read(buffer, &client.watch).await;
        client.watch.set_idle(None);
        if !matches!(read, Ok(1..)) {
            return Err(NoHead::Gone);
        }
    }
    if buffer.filled().starts_with(b"\r\n") {
        buffer.consume(2); // Some clients send one too many behind a body (RFC 9112 section 2.2).
    }
    let mut known = 0;
    loop {
        let filled = buffer.filled();
        if let Some(bound) = request::head_bound(filled, known) {
            return Ok(bound);
        }
        if filled.len() as u64 > head_bytes || buffer.is_full() {
            return Err(NoHead::Refused(Cause::HeadTooLarge));
        }
        if !request::may_become_head(filled) {
            return Err(NoHead::Refused(Cause::MalformedHead));
        }
        if known == 0 {
            client.watch.arm_ms(timeouts.head_ms);
        }
        known = filled.len();
        match client.peer.read(buffer, &client.watch).await {
            Ok(1..) => {}
            Err(Stall::Interrupted(Interrupt::Deadline)) => return Err(NoHead::Refused(Cause::HeadTimeout)),
            Ok(0) | Err(_) => return Err(NoHead::Gone),
        }
    }
}

/// Serve the request whose head is within the first `bound` bytes of the buffer.
async fn request(client: &Client, at: (&Table, &Listener), buffer: &mut Buffer, bound: usize) -> Next {
    let (table, listener) = at;
    let began = clock::now();
    count(&listener.counters.requests);
    let buffers = &client.core.buffers;
    let (mut line, mut head) = (line_of(client), buffers.scratch());
    let bytes = buffer.filled().get(..bound).unwrap_or_default();
    let prepared = prepare(client, listener, bytes, (&mut line, &mut head));
    // Where a head ends that could not be read does not matter: nothing more is read on its connection.
    let facts = prepared.as_ref().map_or_else(|(_, facts)| *facts, |(facts, ..)| Some(*facts));
    buffer.consume(facts.map_or(bound, |facts| facts.head_bytes));
    let tally = Tally::default();
    let (next, cause, route) = match prepared {
        Ok((facts, route, place)) => match table.pools.get(place) {
            Some(pool) => {
                let exchange = Exchange {
                    client,
                    listener,
                    pool,
                    facts,
                    tally,
                    heard: Cell::new(false),
                    continued: Cell::new(false),
                };
                let outcome = forward(&exchange, &mut head, buffer).await;
                let next = finish(&exchange, outcome).await;
                let pool = Some(&*pool.name);
                log(client, &mut line, &exchange.tally, (pool, outcome.err(), Some(route), began));
                buffers.give_scratch(line);
                buffers.give_scratch(head);
                return next;
            }
            None => (refuse(client, listener, None, (Cause::NoRoute, &tally)).await, Cause::NoRoute, Some(route)),
        },
        Err((cause, facts)) => (refuse(client, listener, facts, (cause, &tally)).await, cause, None),
    };
    log(client, &mut line, &tally, (None, Some(cause), route, began));
    buffers.give_scratch(line);
    buffers.give_scratch(head);
    next
}

/// Judge, route and rewrite a head: its facts, the place of its route and that of its pool; on refusal why, and the facts
/// if they could be read.
fn prepare(
    client: &Client,
    listener: &Listener,
    bytes: &[u8],
    (line, rewritten): (&mut Vec<u8>, &mut Vec<u8>),
) -> Result<(Facts, usize, usize), (Cause, Option<Facts>)> {
    let mut few = [httparse::EMPTY_HEADER; FIELDS_FEW];
    let mut many: [Field<'_>; request::FIELDS_MOST];
    let parsed = match request::parse(bytes, &mut few) {
        Err(HeadError::TooManyFields) => {
            many = [httparse::EMPTY_HEADER; request::FIELDS_MOST];
            request::parse(bytes, &mut many)
        }
        parsed => parsed,
    };
    let head = match parsed {
        Ok(head) => head,
        Err(error) => {
            begin_line(client, listener, line, ("", "", ""));
            return Err((cause_of(error), None));
        }
    };
    begin_line(client, listener, line, (head.method, head.target, head.host));
    let facts = facts_of(&head);
    judge(listener, &head).map_err(|cause| (cause, Some(facts)))?;
    let (route, place) = listener.route(head.host, head.path()).ok_or((Cause::NoRoute, Some(facts)))?;
    headers::write_request(rewritten, &head, &client.own, &client.local);
    Ok((facts, route, place))
}

fn facts_of(head: &Head<'_, '_>) -> Facts {
    Facts {
        head_bytes: head.bytes.len(),
        version: head.version,
        body: head.body,
        to_head: head.method == "HEAD",
        idempotent: retry::idempotent(head.method),
        stays: headers::client_stays(head),
        expects: head.body != Body::Length(0) && request::values(head.fields, "expect").next().is_some(),
        upgrade: headers::upgrade(head).is_some(),
    }
}

/// What the listener has to say to a head.
fn judge(listener: &Listener, head: &Head<'_, '_>) -> Result<(), Cause> {
    let limits = &listener.limits;
    if head.bytes.len() as u64 > limits.head_bytes {
        return Err(Cause::HeadTooLarge);
    }
    if head.fields.len() as u64 > limits.headers {
        return Err(Cause::TooManyFields);
    }
    if !listener.methods.is_empty() && !listener.methods.iter().any(|method| method == head.method) {
        return Err(Cause::MethodNotAllowed);
    }
    match head.body {
        Body::Length(length) if limits.body_bytes > 0 && length > limits.body_bytes => Err(Cause::BodyTooLarge),
        Body::Length(_) | Body::Chunked => Ok(()),
    }
}

fn cause_of(error: HeadError) -> Cause {
    match error {
        HeadError::Connect => Cause::ConnectMethod,
        HeadError::Framing(FramingError::UnknownCoding) => Cause::UnknownCoding,
        HeadError::Framing(
            FramingError::BothLengths
            | FramingError::ContentLength
            | FramingError::EncodingOnHttp10
            | FramingError::TransferEncoding,
        )
        | HeadError::Malformed => Cause::MalformedHead,
        HeadError::Host => Cause::InvalidHost,
        HeadError::Target => Cause::InvalidTarget,
        HeadError::TooManyFields => Cause::TooManyFields,
        HeadError::Version => Cause::VersionNotSupported,
    }
}

/// What follows the outcome of a request that was forwarded; gives the client an answer if it has none.
async fn finish(exchange: &Exchange<'_>, outcome: Result<bool, Cause>) -> Next {
    match outcome {
        Ok(true) => Next::Request,
        Ok(false) if exchange.tally.uploaded.get() => Next::Close,
        Ok(false) => Next::Linger,
        Err(_) if exchange.answered() => Next::Cut,
        Err(cause) => {
            let facts = exchange.facts;
            // What the client still sends of its body would be taken for its next request.
            let stays = facts.stays && (exchange.tally.uploaded.get() || facts.body == Body::Length(0));
            let facts = Facts { stays, body: Body::Length(0), ..facts };
            refuse(exchange.client, exchange.listener, Some(facts), (cause, &exchange.tally)).await
        }
    }
}

/// Answer a request with a failure.
async fn refuse(client: &Client, listener: &Listener, facts: Option<Facts>, why: (Cause, &Tally)) -> Next {
    let (cause, tally) = why;
    let status = respond::status(cause);
    if status == 0 {
        return Next::Close;
    }
    // A client whose request cannot be trusted is not listened to any longer.
    let sound = cause.side() != Side::Client || cause == Cause::MethodNotAllowed;
    let whole = |facts: Facts| facts.stays && facts.body == Body::Length(0) && facts.version == Version::Http11;
    let stays = sound && facts.is_some_and(whole) && !client.core.stopping();
    let to_head = facts.is_some_and(|facts| facts.to_head);
    let mut out = client.core.buffers.scratch();
    let sent = respond::write(&mut out, cause, &Manner { allow: &listener.methods, close: !stays, to_head });
    tally.status.set(status);
    tally.sent.set(sent);
    client.watch.arm_ms(listener.timeouts.body_ms);
    let written = client.peer.write(&out, &client.watch, &mut 0).await;
    client.core.buffers.give_scratch(out);
    match written {
        Err(_) => Next::Close,
        Ok(()) if stays => Next::Request,
        Ok(()) => Next::Linger,
    }
}

/// Answer bytes that are no request.
async fn refuse_bytes(client: &Client, at: (&Table, &Listener), cause: Cause) -> Next {
    let (_, listener) = at;
    let began = clock::now();
    count(&listener.counters.requests);
    let mut line = line_of(client);
    begin_line(client, listener, &mut line, ("", "", ""));
    let tally = Tally::default();
    let next = refuse(client, listener, None, (cause, &tally)).await;
    log(client, &mut line, &tally, (None, Some(cause), None, began));
    client.core.buffers.give_scratch(line);
    next
}

/// Room for the line of the access log, if there is to be one.
fn line_of(client: &Client) -> Vec<u8> {
    if client.core.logged() {
        client.core.buffers.scratch()
    } else {
        Vec::new()
    }
}

fn begin_line(client: &Client, listener: &Listener, line: &mut Vec<u8>, (method, target, host): (&str, &str, &str)) {
    if client.core.logged() {
        let asked = Asked { listener: &listener.name, client: &client.address, method, target, host };
        client.core.log.begin(line, &asked);
    }
}

/// Pool, cause, route, and when it began.
type Ending<'a> = (Option<&'a str>, Option<Cause>, Option<usize>, clock::Moment);

fn log(client: &Client, line: &mut Vec<u8>, tally: &Tally, (pool, cause, route, began): Ending<'_>) {
    if line.is_empty() {
        return;
    }
    let endpoint = tally.endpoint.borrow();
    let outcome = Outcome {
        status: tally.status.get(),
        received: tally.received.get(),
        sent: tally.sent.get(),
        micros: clock::now().micros_since(began),
        pool,
        endpoint: endpoint.as_deref(),
        attempts: tally.attempts.get(),
        cause: cause.map(Cause::word),
        route,
    };
    client.core.log.end(line, &outcome);
}

/// Read and drop what the client still sends, for a while: closing at once could reset the connection before the client
/// has read the answer (RFC 9112 section 9.6).
async fn linger(client: &Client, buffer: &mut Buffer) {
    client.peer.end(&client.watch).await;
    let mut dropped = 0;
    loop {
        buffer.consume(buffer.filled().len());
        match client.peer.read(buffer, &client.watch).await {
            Ok(count @ 1..) if dropped < LINGER_BYTES => dropped += count,
            _ => return,
        }
    }
}
