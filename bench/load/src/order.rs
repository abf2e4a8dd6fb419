//! What the clients are told to do: a line of `key=value`, each with its default.

use crate::net::Address;
use std::io;
use std::str::FromStr;

/// One order.
#[derive(Clone)]
pub struct Order {
    /// Where to connect; None: only drop what is open.
    pub address: Option<Address>,
    /// Connections, at most.
    pub connections: usize,
    /// Requests are sent for so long.
    pub seconds: f64,
    /// Of the requests.
    pub target: String,
    /// Bytes of a body; with any the method is POST.
    pub body: usize,
    /// Requests a second; 0: each connection sends the next as soon as it can.
    pub rate: f64,
    /// Never sleep while there is something to send: then nobody pays for waking us.
    pub spin: bool,
    /// They arrive by chance, not evenly.
    pub poisson: bool,
    /// Ask for each connection to be closed behind one request.
    pub close: bool,
    /// One request on each connection, which then stays open.
    pub once: bool,
    /// Mean of the work that requests ask for, in milliseconds; 0: what the target says.
    pub work_ms: f64,
    /// Spread of the logarithm of the work.
    pub sigma: f64,
    /// Of arrivals and work.
    pub seed: u64,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            address: None,
            connections: 32,
            seconds: 1.0,
            target: "/small".to_owned(),
            body: 0,
            rate: 0.0,
            spin: false,
            poisson: false,
            close: false,
            once: false,
            work_ms: 0.0,
            sigma: 1.0,
            seed: 1,
        }
    }
}

impl FromStr for Order {
    type Err = io::Error;

    fn from_str(line: &str) -> io::Result<Self> {
        let mut order = Self::default();
        for (key, value) in line.split_whitespace().filter_map(|word| word.split_once('=')) {
            match key {
                "address" => order.address = Some(value.parse()?),
                "connections" => order.connections = number(value)?,
                "seconds" => order.seconds = number(value)?,
                "target" => order.target = value.to_owned(),
                "body" => order.body = number(value)?,
                "rate" => order.rate = number(value)?,
                "spin" => order.spin = value == "1",
                "poisson" => order.poisson = value == "1",
                "close" => order.close = value == "1",
                "once" => order.once = value == "1",
                "work_ms" => order.work_ms = number(value)?,
                "sigma" => order.sigma = number(value)?,
                "seed" => order.seed = number(value)?,
                _ => return Err(io::Error::other(format!("no such key: {key}"))),
            }
        }
        Ok(order)
    }
}

fn number<T: FromStr>(value: &str) -> io::Result<T> {
    value.parse().map_err(|_| io::Error::other(format!("no number: {value}")))
}

impl Order {
    /// A request; its target may be another than the order's.
    pub fn request(&self, target: &str) -> Vec<u8> {
        let method = if self.body > 0 { "POST" } else { "GET" };
        let close = if self.close { "Connection: close\r\n" } else { "" };
        let length = if self.body > 0 { format!("Content-Length: {}\r\n", self.body) } else { String::new() };
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: pinfold-load\r\nAccept: */*\r\n{close}{length}\r\n"
        );
        let mut bytes = head.into_bytes();
        bytes.resize(bytes.len() + self.body, b'x');
        bytes
    }
}
