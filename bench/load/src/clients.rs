//! The clients: connections that send requests, each as soon as it can or when one is due, and take the time.

use crate::clock;
use crate::http;
use crate::net::{Poll, Token};
use crate::order::Order;
use crate::outcome::Outcome;
use crate::rng::Rng;
use rustix::fd::OwnedFd;
use rustix::io::{read, write, Errno};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const SCRATCH_BYTES: usize = 256 << 10;
/// What is under way at the end may take so long.
const GRACE: Duration = Duration::from_secs(10);
/// Connections that are opened at a time when each is to send one request: listeners' queues are short.
const FLYING_MOST: usize = 64;

/// A request on its way.
struct Request {
    bytes: Vec<u8>,
    /// When it was due.
    due: Instant,
}

/// What a connection is at.
enum Stage {
    /// Nothing.
    Idle,
    /// It writes its request.
    Sending(usize),
    /// It has so much of the head of the answer.
    Head(Vec<u8>),
    /// So many bytes of the body are to come.
    Body(usize),
}

/// A connection.
struct Client {
    socket: OwnedFd,
    request: Request,
    stage: Stage,

    status: u16,
}

/// What a turn of a connection ended with.
enum Turn {
    Waits,
    Answered,
    Broken,
}

/// An order that is carried out.
struct Run {
    order: Order,
    rng: Rng,
    began: Instant,
    until: Instant,
    next_due: Instant,
    due: VecDeque<Request>,
    idle: Vec<u32>,
    flying: usize,
    opened: usize,
    outcome: Outcome,
}

/// All connections, and the order they follow.
#[derive(Default)]
pub struct Clients {
    clients: Vec<Option<Client>>,
    run: Option<Run>,
    scratch: Vec<u8>,
    /// Of connections that are no more, by place: their late events are nobody's.
    free: Vec<u32>,
}

impl Clients {
    /// Follow an order; what the last left open is closed.
    pub fn begin(&mut self, poll: &Poll, order: Order) {
        self.scratch.resize(SCRATCH_BYTES, 0);
        self.clients.clear();
        self.free.clear();
        let now = clock::now();
        let seconds = if order.address.is_some() { order.seconds } else { 0.0 };
        self.run = Some(Run {
            rng: Rng::new(order.seed),
            began: now,
            until: now + Duration::from_secs_f64(seconds),
            next_due: now,
            due: VecDeque::new(),
            idle: Vec::new(),
            flying: 0,
            opened: 0,
            outcome: Outcome::default(),
            order,
        });
        self.fill(poll, now);
    }

    /// How long to wait for events; None: until one comes.
    pub fn patience(&self, now: Instant) -> Option<Duration> {
        let run = self.run.as_ref()?;
        if run.order.spin && now < run.until {
            return Some(Duration::ZERO);
        }
        let next = if run.order.rate > 0.0 && run.next_due < run.until { run.next_due } else { run.until };
        Some(if now < next { next - now } else { Duration::from_millis(5) })
    }

    /// What the time brings; the outcome once the order is carried out.
    pub fn tick(&mut self, poll: &Poll, now: Instant) -> Option<Outcome> {
        self.fill(poll, now);
        let run = self.run.as_mut()?;
        let all_asked = run.order.once && run.flying == 0 && run.due.is_empty() && run.opened == run.order.connections;
        let over = all_asked || (now >= run.until && run.flying == 0 && run.due.is_empty());
        let lost = now >= run.until + GRACE;
        if !over && !lost {
            return None;
        }
        let mut run = self.run.take()?;
        run.outcome.failed += (run.flying + run.due.len()) as u64;
        run.outcome.elapsed = now - run.began;
        if !run.order.once {
            self.clients.clear();
            self.free.clear();
        }
        Some(run.outcome.sorted())
    }

    /// Make requests that are due, and give them to connections.
    fn fill(&mut self, poll: &Poll, now: Instant) {
        let Some(run) = &mut self.run else { return };
        if run.order.address.is_none() {
            return;
        }
        run.make_due(now);
        while let Some(run) = &mut self.run {
            let room = run.opened < run.order.connections;
            let crowded = run.order.once && run.flying >= FLYING_MOST;
            if run.due.is_empty() || crowded || (run.idle.is_empty() && !room) {
                return;
            }
            let Some(request) = run.due.pop_front() else { return };
            match run.idle.pop() {
                Some(place) => self.send(place, request),
                None => self.open(poll, request),
            }
        }
    }

    fn open(&mut self, poll: &Poll, request: Request) {
        let Some(run) = &mut self.run else { return };
        let Some(Ok(socket)) = run.order.address.as_ref().map(crate::net::Address::dial) else {
            run.outcome.failed += 1;
            return;
        };
        let place = self.free.pop().unwrap_or(self.clients.len() as u32);
        if poll.add_connection(&socket, Token::Client(place)).is_err() {
            run.outcome.failed += 1;
            return;
        }
        run.opened += 1;
        run.flying += 1;
        let client = Client { socket, request, stage: Stage::Sending(0), status: 0 };
        match self.clients.get_mut(place as usize) {
            Some(slot) => *slot = Some(client),
            None => self.clients.push(Some(client)),
        }
        self.turn(place);
    }

    fn send(&mut self, place: u32, request: Request) {
        let (Some(run), Some(Some(client))) = (&mut self.run, self.clients.get_mut(place as usize)) else { return };
        run.flying += 1;
        client.request = request;
        client.stage = Stage::Sending(0);
        self.turn(place);
    }

    /// Do what can be done on a connection.
    pub fn turn(&mut self, place: u32) {
        loop {
            let (Some(run), Some(Some(client))) = (&mut self.run, self.clients.get_mut(place as usize)) else { return };
            let busy = !matches!(client.stage, Stage::Idle);
            match client.turn(&mut self.scratch) {
                Turn::Waits => return,
                Turn::Broken => {
                    run.flying -= usize::from(busy);
                    run.outcome.failed += u64::from(busy);
                    run.idle.retain(|&idle| idle != place);
                    self.drop_client(place);
                    return;
                }
                Turn::Answered => {}
            }
            let now = clock::now();
            run.flying -= 1;
            match client.status {
                200 => run.outcome.add(now.saturating_duration_since(client.request.due)),
                _ => run.outcome.failed += 1,
            }
            if run.order.close {
                self.drop_client(place);
                return;
            }
            if run.order.once {
                return;
            }
            if run.order.rate > 0.0 || now >= run.until {
                run.idle.push(place);
                return;
            }
            // The same bytes once more, without a detour over the queue.
            run.flying += 1;
            client.request.due = now;
            client.stage = Stage::Sending(0);
        }
    }

    fn drop_client(&mut self, place: u32) {
        if let Some(slot) = self.clients.get_mut(place as usize) {
            *slot = None;
            self.free.push(place);
        }
        if let Some(run) = &mut self.run {
            run.opened -= 1;
        }
    }
}

impl Run {
    fn make_due(&mut self, now: Instant) {
        if self.order.rate == 0.0 {
            // As many as there are connections that have nothing to do: those that are not open yet.
            let missing = self.order.connections.saturating_sub(self.opened + self.due.len());
            let asks = if now < self.until { missing } else { 0 };
            for _ in 0..asks {
                let bytes = self.order.request(&self.order.target);
                self.due.push_back(Request { bytes, due: now });
            }
            return;
        }
        while self.next_due <= now && self.next_due < self.until {
            let target = self.target();
            self.due.push_back(Request { bytes: self.order.request(&target), due: self.next_due });
            let gap = 1.0 / self.order.rate;
            let gap = if self.order.poisson { self.rng.exponential(gap) } else { gap };
            self.next_due += Duration::from_secs_f64(gap);
        }
    }

    fn target(&mut self) -> String {
        if self.order.work_ms == 0.0 {
            return self.order.target.clone();
        }
        format!("/work?ms={:.3}", self.rng.log_normal(self.order.work_ms, self.order.sigma).min(30_000.0))
    }
}

impl Client {
    fn turn(&mut self, scratch: &mut [u8]) -> Turn {
        if let Stage::Sending(mut sent) = self.stage {
            while let Some(rest) = self.request.bytes.get(sent..).filter(|rest| !rest.is_empty()) {
                match write(&self.socket, rest) {
                    Ok(count) => sent += count,
                    Err(Errno::AGAIN | Errno::NOTCONN) => {
                        self.stage = Stage::Sending(sent);
                        return Turn::Waits;
                    }
                    Err(_) => return Turn::Broken,
                }
            }
            self.stage = Stage::Head(Vec::new());
            return Turn::Waits; // The answer is a new event.
        }
        loop {
            let count = match read(&self.socket, &mut *scratch) {
                Ok(0) => return Turn::Broken,
                Ok(count) => count,
                Err(Errno::AGAIN) => return Turn::Waits,
                Err(_) => return Turn::Broken,
            };
            if self.take(scratch.get(..count).unwrap_or_default()) {
                self.stage = Stage::Idle;
                return Turn::Answered;
            }
            if count < scratch.len() {
                return Turn::Waits; // What comes from now on is a new event.
            }
        }
    }

    /// Bytes that came. True: the answer is whole.
    fn take(&mut self, bytes: &[u8]) -> bool {
        match &mut self.stage {
            Stage::Body(left) => {
                *left = left.saturating_sub(bytes.len());
                *left == 0
            }
            Stage::Head(head) if head.is_empty() && http::head_length(bytes).is_some() => self.take_head(bytes),
            Stage::Head(head) => {
                head.extend_from_slice(bytes);
                let head = std::mem::take(head);
                if http::head_length(&head).is_some() {
                    return self.take_head(&head);
                }
                self.stage = Stage::Head(head);
                false
            }
            Stage::Idle | Stage::Sending(_) => false,
        }
    }

    fn take_head(&mut self, bytes: &[u8]) -> bool {
        let length = http::head_length(bytes).unwrap_or(bytes.len());
        let head = bytes.get(..length).unwrap_or_default();
        self.status = http::status(head);
        let left = http::content_length(head).saturating_sub(bytes.len() - length);
        self.stage = Stage::Body(left);
        left == 0
    }
}
