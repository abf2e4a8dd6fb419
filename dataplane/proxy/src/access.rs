//! The access log: one JSON line a request, built while the request is served, written in batches to the pipe that the
//! shim reads. A pipe that is full costs lines, which are counted, never a request.

use crate::clock;
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, Notify};

/// Bytes after which a batch is handed over.
const BATCH_BYTES: usize = 16 * 1024;
/// How long a line may wait for others.
const BATCH_PAUSE: Duration = Duration::from_millis(10);
/// Bytes of a target or host that are logged.
const TEXT_MOST: usize = 4096;

/// Whole lines, and how many.
pub struct Batch {
    /// The lines.
    pub bytes: Vec<u8>,
    /// How many.
    pub lines: u64,
}

/// The lines of one core on their way.
pub struct AccessLog {
    pending: RefCell<Vec<u8>>,
    lines: Cell<u64>,
    ready: Notify,
    writer: mpsc::Sender<Batch>,
    dropped: Arc<AtomicU64>,
    day: Cell<(u64, [u8; 10])>,
}

/// What is known of a request when it has ended.
pub struct Outcome<'a> {
    /// Of the answer; 0: none was sent.
    pub status: u16,
    /// Bytes of the body from the client.
    pub received: u64,
    /// Bytes of the body to the client.
    pub sent: u64,
    /// How long it took.
    pub micros: u64,
    /// Name of the pool.
    pub pool: Option<&'a str>,
    /// Name of the endpoint that was tried last.
    pub endpoint: Option<&'a str>,
    /// Endpoints tried.
    pub attempts: u32,
    /// The word for what went wrong.
    pub cause: Option<&'a str>,
    /// Place of the route.
    pub route: Option<usize>,
}

/// The part of a request that is logged as it was received.
pub struct Asked<'a> {
    /// Name of the listener.
    pub listener: &'a str,
    /// Address of the client; empty on a unix socket.
    pub client: &'a str,
    /// Method; empty if there was no head.
    pub method: &'a str,
    /// Target.
    pub target: &'a str,
    /// `Host`.
    pub host: &'a str,
}

impl AccessLog {
    /// One whose batches go to `writer`; lines it does not take are counted in `dropped`.
    pub fn new(writer: mpsc::Sender<Batch>, dropped: Arc<AtomicU64>) -> Rc<Self> {
        Rc::new(Self {
            pending: RefCell::default(),
            lines: Cell::new(0),
            ready: Notify::new(),
            writer,
            dropped,
            day: Cell::new((u64::MAX, [b'0'; 10])),
        })
    }

    /// Hand over what waits, for ever.
    pub async fn flush(&self) {
        loop {
            self.ready.notified().await;
            tokio::time::sleep(BATCH_PAUSE).await;
            self.hand_over();
        }
    }

    /// Hand over all lines now.
    pub fn hand_over(&self) {
        let bytes = std::mem::replace(&mut *self.pending.borrow_mut(), Vec::with_capacity(BATCH_BYTES + TEXT_MOST));
        let lines = self.lines.replace(0);
        if lines > 0 && self.writer.try_send(Batch { bytes, lines }).is_err() {
            self.dropped.fetch_add(lines, Ordering::Relaxed);
        }
    }

    /// Begin a line in `line`, while the head of the request is at hand.
    pub fn begin(&self, line: &mut Vec<u8>, asked: &Asked<'_>) {
        line.extend_from_slice(b"{\"time\":\"");
        self.write_time(line, clock::wall_ms());
        line.push(b'"');
        for (name, text) in [
            ("listener", asked.listener),
            ("client", asked.client),
            ("method", asked.method),
            ("target", asked.target),
            ("host", asked.host),
        ] {
            write_name(line, name);
            write_text(line, text);
        }
    }

    /// End a line that was begun, and queue it.
    pub fn end(&self, line: &mut Vec<u8>, outcome: &Outcome<'_>) {
        for (name, number) in
            [("status", u64::from(outcome.status)), ("received", outcome.received), ("sent", outcome.sent)]
        {
            write_name(line, name);
            write_number(line, number);
        }
        write_name(line, "duration_ms");
        write_number(line, outcome.micros / 1000);
        let thousandths = [100, 10, 1].map(|unit| b'0' + u8::try_from(outcome.micros / unit % 10).unwrap_or(0));
        line.push(b'.');
        line.extend_from_slice(&thousandths);
        for (name, text) in [("pool", outcome.pool), ("endpoint", outcome.endpoint)] {
            write_name(line, name);
            write_optional(line, text);
        }
        write_name(line, "attempts");
        write_number(line, u64::from(outcome.attempts));
        write_name(line, "cause");
        write_optional(line, outcome.cause);
        write_name(line, "route");
        match outcome.route {
            Some(route) => write_number(line, route as u64),
            None => line.extend_from_slice(b"null"),
        }
        line.extend_from_slice(b"}\n");
        self.queue(line);
    }

    fn queue(&self, line: &[u8]) {
        let waiting = {
            let mut pending = self.pending.borrow_mut();
            pending.extend_from_slice(line);
            pending.len()
        };
        self.lines.set(self.lines.get() + 1);
        if waiting >= BATCH_BYTES {
            self.hand_over();
        } else if self.lines.get() == 1 {
            self.ready.notify_one();
        }
    }

    /// `2026-01-31T12:00:00.000Z` (RFC 3339).
    fn write_time(&self, line: &mut Vec<u8>, wall_ms: u64) {
        let (days, of_day) = (wall_ms / 86_400_000, wall_ms % 86_400_000);
        if self.day.get().0 != days {
            self.day.set((days, date(days)));
        }
        line.extend_from_slice(&self.day.get().1);
        let (hours, minutes) = (of_day / 3_600_000, of_day / 60_000 % 60);
        let (seconds, ms) = (of_day / 1000 % 60, of_day % 1000);
        for (mark, number, unit) in [(b'T', hours, 10), (b':', minutes, 10), (b':', seconds, 10), (b'.', ms, 100)] {
            line.push(mark);
            let mut unit = unit;
            while unit > 0 {
                line.push(b'0' + u8::try_from(number / unit % 10).unwrap_or(0));
                unit /= 10;
            }
        }
        line.push(b'Z');
    }
}

/// The date of a day after 1970-01-01 in the Gregorian calendar (Hinnant, "chrono-compatible low-level date algorithms").
fn date(days: u64) -> [u8; 10] {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let mut text = [b'-'; 10];
    let digits = [(0, year / 1000), (1, year / 100), (2, year / 10), (3, year)];
    let rest = [(5, month / 10), (6, month), (8, day / 10), (9, day)];
    for (place, number) in digits.into_iter().chain(rest) {
        if let Some(slot) = text.get_mut(place) {
            *slot = b'0' + u8::try_from(number % 10).unwrap_or(0);
        }
    }
    text
}

fn write_name(line: &mut Vec<u8>, name: &str) {
    for part in [b",\"".as_slice(), name.as_bytes(), b"\":"] {
        line.extend_from_slice(part);
    }
}

fn write_number(line: &mut Vec<u8>, number: u64) {
    // Writing to a vector cannot fail.
    let _ = write!(line, "{number}");
}

fn write_optional(line: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => write_text(line, text),
        None => line.extend_from_slice(b"null"),
    }
}

/// A JSON string (RFC 8259 section 7), cut after [`TEXT_MOST`] bytes.
fn write_text(line: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(TEXT_MOST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or_default();
    line.push(b'"');
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        line.extend_from_slice(text.as_bytes());
    } else {
        for byte in text.bytes() {
            match byte {
                b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
                0..=0x1f => drop(write!(line, "\\u{byte:04x}")),
                _ => line.push(byte),
            }
        }
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> (Rc<AccessLog>, mpsc::Receiver<Batch>, Arc<AtomicU64>) {
        let (writer, reader) = mpsc::channel(1);
        let dropped = Arc::new(AtomicU64::new(0));
        (AccessLog::new(writer, Arc::clone(&dropped)), reader, dropped)
    }

    fn line(log: &AccessLog, target: &str) {
        let mut line = Vec::new();
        log.begin(&mut line, &Asked { listener: "web", client: "::1", method: "GET", target, host: "a" });
        let outcome = Outcome {
            status: 200,
            received: 0,
            sent: 7,
            micros: 12_034,
            pool: Some("p"),
            endpoint: None,
            attempts: 1,
            cause: None,
            route: Some(0),
        };
        log.end(&mut line, &outcome);
    }

    #[test]
    fn a_line_is_json_whatever_the_target() {
        let (log, mut reader, _) = log();
        line(&log, "/a\"b\\c\u{1}é");
        log.hand_over();
        let text = String::from_utf8(reader.try_recv().unwrap().bytes).unwrap();
        let (time, rest) = text.split_at(35);
        assert!(time.starts_with("{\"time\":\"20") && time.ends_with("Z\","), "{time}");
        assert_eq!(
            rest,
            "\"listener\":\"web\",\"client\":\"::1\",\"method\":\"GET\",\"target\":\"/a\\\"b\\\\c\\u0001é\",\"host\":\"a\",\"status\":200,\"received\":0,\"sent\":7,\"duration_ms\":12.034,\"pool\":\"p\",\"endpoint\":null,\"attempts\":1,\"cause\":null,\"route\":0}\n"
        );
    }

    #[test]
    fn lines_that_nobody_takes_are_counted() {
        let (log, _reader, dropped) = log();
        for _ in 0..3 {
            line(&log, "/");
            log.hand_over();
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn days_become_dates() {
        for (days, wanted) in
            [(0, "1970-01-01"), (11_016, "2000-02-29"), (20_454, "2026-01-01"), (47_540, "2100-02-28")]
        {
            assert_eq!(date(days), wanted.as_bytes());
        }
    }
}
