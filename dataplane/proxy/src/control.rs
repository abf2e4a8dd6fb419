//! The control socket: daemons greet, apply snapshots, ask for counters and have the proxy stop. It decides nothing about
//! traffic; `cores` carries out what is asked.

use crate::cores::Cores;
use crate::journal;
use pinfold_wire::proxy::{Applied, Drained, FromProxy, ProxyHello, Rejected, Stop, ToProxy};
use pinfold_wire::{decode, encode, take_frame, Hello, PROTOCOL, VERSION};
use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, Mutex};

/// A peer that does not take its messages in this time is let go.
const WRITE_DEADLINE: Duration = Duration::from_secs(5);
/// A peer that does not greet in this time is let go.
const GREET_DEADLINE: Duration = Duration::from_secs(5);
/// Connections at a time.
const PEERS_MOST: usize = 16;
/// Pause when the system is out of descriptors.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(100);

/// What all connections of the control socket share.
pub struct Control {
    /// What carries out what is asked.
    pub cores: Mutex<Cores>,
    /// Told when the proxy is to stop.
    pub stop: mpsc::Sender<Stop>,
    /// Endpoints that have to be told of as drained, to each peer.
    pub peers: RefCell<Vec<mpsc::Sender<Drained>>>,
}

impl Control {
    /// Serve peers, for ever.
    pub async fn serve(self: Rc<Self>, listener: UnixListener) {
        let open = Rc::new(());
        loop {
            match listener.accept().await {
                Ok((stream, _)) if Rc::strong_count(&open) <= PEERS_MOST && trusted(&stream) => {
                    tokio::task::spawn_local(Rc::clone(&self).converse(stream, Rc::clone(&open)));
                }
                Ok(_) => journal::note(format_args!("a control connection is refused")),
                Err(error) => {
                    journal::note(format_args!("cannot take a control connection: {error}"));
                    tokio::time::sleep(SHORTAGE_PAUSE).await;
                }
            }
        }
    }

    /// Serve one peer; `open` is held meanwhile, to be counted.
    async fn converse(self: Rc<Self>, stream: UnixStream, open: Rc<()>) {
        if let Err(why) = Peer::new(stream).run(&self).await {
            journal::note(format_args!("a control connection ends: {why}"));
        }
        drop(open);
    }

    /// Tell every peer of the endpoints that are drained by now.
    pub async fn tell_drained(&self) {
        let drained = self.cores.lock().await.drained();
        self.peers.borrow_mut().retain(|peer| !peer.is_closed());
        for peer in self.peers.borrow().iter() {
            for one in &drained {
                // A peer that has not read so many is let go when it does not take the next answer.
                let _ = peer.try_send(one.clone());
            }
        }
    }
}

/// Whether the peer is of our own user, or root.
fn trusted(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own)
}

/// One connection.
struct Peer {
    stream: UnixStream,
    inbox: Vec<u8>,
    /// Drained endpoints it was told of in the drain that lasts.
    told: HashSet<(String, String)>,
}

impl Peer {
    fn new(stream: UnixStream) -> Self {
        Self { stream, inbox: Vec::new(), told: HashSet::new() }
    }

    async fn run(mut self, control: &Rc<Control>) -> Result<(), String> {
        match tokio::time::timeout(GREET_DEADLINE, self.receive()).await {
            Ok(Ok(Some(ToProxy::Hello(hello)))) => {
                let cores = control.cores.lock().await;
                let hello_back = ProxyHello {
                    protocol: PROTOCOL,
                    version: VERSION.to_owned(),
                    pid: i32::try_from(std::process::id()).unwrap_or(0),
                    threads: cores.threads(),
                    generation: cores.generation(),
                };
                drop(cores);
                self.send(&FromProxy::Hello(hello_back)).await?;
                if !hello.matches() {
                    return Err(format!("it is version {} (protocol {})", hello.version, hello.protocol));
                }
            }
            Ok(Ok(None)) => return Ok(()),
            Ok(Ok(Some(_))) => return Err("it did not begin with hello".to_owned()),
            Ok(Err(why)) => return Err(why),
            Err(_) => return Err("it did not greet in time".to_owned()),
        }
        let (teller, mut drained) = mpsc::channel(1024);
        control.peers.borrow_mut().push(teller);
        loop {
            let message = tokio::select! {
                message = self.receive() => message?,
                Some(one) = drained.recv() => {
                    self.tell(one).await?;
                    continue;
                }
            };
            match message {
                Some(message) => self.obey(control, message).await?,
                None => return Ok(()),
            }
        }
    }

    async fn obey(&mut self, control: &Rc<Control>, message: ToProxy) -> Result<(), String> {
        match message {
            ToProxy::Hello(Hello { .. }) => Err("it greeted twice".to_owned()),
            ToProxy::Apply(apply) => {
                let generation = apply.generation;
                let mut cores = control.cores.lock().await;
                let answer = match cores.apply(generation, apply.snapshot).await {
                    Ok(()) => FromProxy::Applied(Applied { generation }),
                    Err(problems) => FromProxy::Rejected(Rejected { generation, problems }),
                };
                let (draining, drained) = (cores.draining(), cores.drained());
                drop(cores);
                self.told.retain(|(pool, address)| {
                    draining.iter().any(|(one, endpoint)| **one == **pool && endpoint.address_text == *address)
                });
                self.send(&answer).await?;
                for one in drained {
                    self.tell(one).await?;
                }
                Ok(())
            }
            ToProxy::Stats(query) => {
                let stats = control.cores.lock().await.stats(query.serial);
                self.send(&FromProxy::Stats(stats)).await
            }
            ToProxy::Stop(stop) => {
                let _ = control.stop.try_send(stop); // It is stopping already.
                Ok(())
            }
        }
    }

    /// Tell of a drained endpoint, once a drain.
    async fn tell(&mut self, drained: Drained) -> Result<(), String> {
        if self.told.insert((drained.pool.clone(), drained.address.clone())) {
            self.send(&FromProxy::Drained(drained)).await?;
        }
        Ok(())
    }

    async fn send(&mut self, message: &FromProxy) -> Result<(), String> {
        let frame = encode(message).map_err(|error| error.to_string())?;
        match tokio::time::timeout(WRITE_DEADLINE, self.stream.write_all(&frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it does not read".to_owned()),
        }
    }

    /// The next message; None at the end. To be cancelled at will.
    async fn receive(&mut self) -> Result<Option<ToProxy>, String> {
        loop {
            if let Some((json, used)) = take_frame(&self.inbox).map_err(|error| error.to_string())? {
                let message = decode(json).map_err(|error| error.to_string())?;
                self.inbox.drain(..used);
                if self.inbox.is_empty() {
                    self.inbox = Vec::new(); // A snapshot may be large, and none may come for days.
                }
                return Ok(Some(message));
            }
            match self.stream.read_buf(&mut self.inbox).await {
                Ok(1..) => {}
                Ok(0) if self.inbox.is_empty() => return Ok(None),
                Ok(0) => return Err("it closed in the middle of a message".to_owned()),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}
