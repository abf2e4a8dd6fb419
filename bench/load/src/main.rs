//! Clients and endpoints of the bench, in one loop on one thread: what they cost is the least that a socket costs, so that
//! the proxy between them runs out of CPU first. `pinfold-load ADDRESS...` answers at these addresses and takes commands, a
//! line each, from its standard input; the end of that ends it.

mod clients;
mod clock;
mod endpoint;
mod http;
mod net;
mod order;
mod outcome;
mod rng;

use clients::Clients;
use endpoint::Endpoint;
use net::{Address, Poll, Token};
use order::Order;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match serve(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pinfold-load: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Answer at the addresses, and follow orders until there are no more.
fn serve(words: impl Iterator<Item = String>) -> io::Result<()> {
    let addresses = words.map(|word| word.parse()).collect::<io::Result<Vec<Address>>>()?;
    let poll = Poll::new()?;
    let mut endpoint = Endpoint::listen(&poll, &addresses)?;
    let mut clients = Clients::default();
    let orders = io::stdin();
    poll.add(&orders, Token::Orders)?;
    say("ready")?;
    let mut events = Vec::with_capacity(256);
    loop {
        poll.wait(&mut events, clients.patience(clock::now()))?;
        for token in events.drain(..) {
            match token {
                Token::Orders => {
                    let Some(order) = next_order(&mut orders.lock())? else { return Ok(()) };
                    clients.begin(&poll, order);
                }
                Token::Listener(place) => endpoint.accept(&poll, place),
                Token::Guest(place) => endpoint.turn(place),
                Token::Client(place) => clients.turn(place),
            }
        }
        if let Some(result) = clients.tick(&poll, clock::now()) {
            say(&result.to_string())?;
        }
    }
}

/// One order a line; it is answered before the next is given, so that no second line waits unread.
fn next_order(orders: &mut impl BufRead) -> io::Result<Option<Order>> {
    let mut line = String::new();
    if orders.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    line.parse().map(Some)
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
