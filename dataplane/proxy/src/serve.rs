//! In: a connection of a client. Out: its requests, one after the other, each judged, routed and rewritten for `forward`.

use crate::access::{Asked, Outcome};
use crate::buffer::Buffer;
use crate::clock;
use crate::endpoint::count;
use crate::exchange::{Exchange, Facts, Tally};
use crate::forward::forward;
use crate::peer::{Peer, Stall};
use crate::pool::Wish;
use crate::respond::{self, Manner};
use crate::runtime::Core;
use crate::table::{Listener, Table};
use crate::watch::{Interrupt, Watch};
use pinfold_core::failure::{Cause, Side};
use pinfold_core::forwarding::{self, Told};
use pinfold_core::framing::{Body, FramingError, Version};
use pinfold_core::headers;
use pinfold_core::request::{self, Field, Head, HeadError};
use pinfold_core::retry;
use std::cell::Cell;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

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
    pub client: Option<SocketAddr>,
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
    /// Its address; None on a unix socket.
    pub from: Option<SocketAddr>,
    /// The address it connected to; None on a unix socket.
    pub local: Option<SocketAddr>,
    key: u32,
    /// What endpoints are told of it.
    told: Told,
    /// Its address, for the log.
    address: String,
    /// The address it connected to, for requests without a host.
    host: String,
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
    let Some(client) = client(core, arrival) else { return };
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
        Next::Close | Next::Request => client.peer.part(&client.watch).await,
    }
}

/// The client that has arrived, unless its listener has gone.
fn client(core: &Rc<Core>, arrival: Arrival) -> Option<Client> {
    let address = arrival.client.map(|client| client.ip().to_canonical());
    let connected = forwarding::Client {
        address,
        proto: if arrival.secure { "https" } else { "http" },
        port: arrival.local.map(|local| local.port()),
    };
    let table = core.table();
    let listener = table.listener(arrival.key)?;
    let trusted = address.is_some_and(|address| listener.trusted.contains(address));
    let told = Told::new(connected, listener.forwarded, trusted.then(|| Arc::clone(&listener.trusted)));
    Some(Client {
        core: Rc::clone(core),
        peer: arrival.peer,
        watch: arrival.watch,
        from: arrival.client,
        local: arrival.local,
        key: arrival.key,
        told,
        address: address.map_or_else(String::new, |address| address.to_string()),
        host: arrival.local.map_or_else(|| "localhost".to_owned(), |local| local.to_string()),
    })
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
    let prepared = prepare(client, at, bytes, (&mut line, &mut head));
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
                    began,
                    facts,
                    tally,
                    heard: Cell::new(false),
                    continued: Cell::new(false),
                    total: total(client, listener),
                };
                let outcome = forward_in_time(&exchange, &mut head, buffer).await;
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

/// The deadline of a request and its answer together, if there is one.
fn total(client: &Client, listener: &Listener) -> Option<Watch> {
    (listener.timeouts.total_ms > 0).then(|| {
        let watch = Watch::new(&client.core.watches);
        watch.arm_ms(listener.timeouts.total_ms);
        watch
    })
}

/// As [`forward`], within the deadline of the whole.
async fn forward_in_time(exchange: &Exchange<'_>, head: &mut Vec<u8>, buffer: &mut Buffer) -> Result<bool, Cause> {
    let forwarded = pin!(forward(exchange, head, buffer));
    match &exchange.total {
        None => forwarded.await,
        Some(total) => total.limit(forwarded).await.unwrap_or(Err(Cause::TotalTimeout)),
    }
}

/// Judge, route and rewrite a head: its facts, the place of its route and that of its pool; on refusal why, and the facts
/// if they could be read.
fn prepare(
    client: &Client,
    (table, listener): (&Table, &Listener),
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
            begin_line(client, listener, line, None);
            return Err((cause_of(error), None));
        }
    };
    let mut facts = facts_of(client, &head);
    begin_line(client, listener, line, Some((&head, facts.sender)));
    judge(listener, &head).map_err(|cause| (cause, Some(facts)))?;
    let chosen = listener.route(head.host, head.path()).ok_or((Cause::NoRoute, Some(facts)))?;
    facts.trailers = chosen.trailers;
    if let Some(pool) = table.pools.get(chosen.pool) {
        facts.wish = pool.wish(&head, sender_text(client, facts.sender, &mut Text([0; 48])));
    }
    headers::write_request(rewritten, &head, &client.told, &client.host, chosen.trailers);
    Ok((facts, chosen.route, chosen.pool))
}

fn facts_of(client: &Client, head: &Head<'_, '_>) -> Facts {
    Facts {
        head_bytes: head.bytes.len(),
        version: head.version,
        body: head.body,
        to_head: head.method == "HEAD",
        idempotent: retry::idempotent(head.method),
        stays: headers::client_stays(head),
        expects: head.body != Body::Length(0) && request::values(head.fields, "expect").next().is_some(),
        upgrade: headers::upgrade(head).is_some(),
        trailers: false,
        sender: client.told.sender(head.fields),
        wish: Wish::default(),
    }
}

/// What the listener has to say to a head.
fn judge(listener: &Listener, head: &Head<'_, '_>) -> Result<(), Cause> {
    let limits = &listener.limits;
    if head.bytes.len() as u64 > limits.head_bytes {
        return Err(Cause::HeadTooLarge);
    }
    if head.target.len() as u64 > limits.target_bytes {
        return Err(Cause::TargetTooLong);
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
    // Nor is one whose request was given up at a moment that nobody chose.
    let sound = cause.side() != Side::Client || cause == Cause::MethodNotAllowed;
    let sound = sound && cause != Cause::TotalTimeout;
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
    begin_line(client, listener, &mut line, None);
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

/// Begin the line of a request: its head, and who sent it, if that could be told.
fn begin_line(
    client: &Client,
    listener: &Listener,
    line: &mut Vec<u8>,
    known: Option<(&Head<'_, '_>, Option<IpAddr>)>,
) {
    if !client.core.logged() {
        return;
    }
    let (method, target, host) = known.map_or(("", "", ""), |(head, _)| (head.method, head.target, head.host));
    let mut text = Text([0; 48]);
    let sender = sender_text(client, known.and_then(|(_, sender)| sender), &mut text);
    let asked = Asked { listener: &listener.name, client: sender, method, target, host };
    client.core.log.begin(line, &asked);
}

/// The address of who sent a request, as text; that of the client's connection, if nothing else is known.
fn sender_text<'t>(client: &'t Client, sender: Option<IpAddr>, text: &'t mut Text) -> &'t str {
    match sender {
        Some(sender) if !client.told.plain() => text.of(sender),
        _ => &client.address,
    }
}

/// Room for an address as text.
struct Text([u8; 48]);

impl Text {
    fn of(&mut self, address: IpAddr) -> &str {
        let mut rest = self.0.as_mut_slice();
        let _ = write!(rest, "{address}"); // No address is longer than the room.
        let left = rest.len();
        let written = self.0.get(..self.0.len() - left).unwrap_or_default();
        std::str::from_utf8(written).unwrap_or_default()
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
