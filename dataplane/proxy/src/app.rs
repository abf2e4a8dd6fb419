//! Builds every part and passes them to each other; nobody else does.

use crate::access::Batch;
use crate::control::Control;
use crate::cores::Cores;
use crate::inherit::adopt;
use crate::journal;
use crate::runtime::{self, Shared};
use crate::sockets::Sockets;
use crate::table::Resolver;
use pinfold_wire::{PROXY_ACCESS_LOG_FD, PROXY_CONTROL_FD, PROXY_LINK_FD};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as BlockingUnixListener;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::net::UnixListener;
use tokio::runtime::LocalOptions;
use tokio::sync::{mpsc, Mutex, Notify};

/// Batches of the access log that may wait for the pipe.
const BATCHES: usize = 64;
/// How long the last lines of the access log may take to be written.
const LOG_DEADLINE: Duration = Duration::from_secs(1);

/// The descriptors the shim has left us.
pub struct Inherited {
    control: OwnedFd,
    link: OwnedFd,
    access_log: Option<OwnedFd>,
}

impl Inherited {
    /// Take them.
    ///
    /// # Errors
    /// One that must be there is not.
    pub fn take() -> io::Result<Self> {
        let access_log = adopt(PROXY_ACCESS_LOG_FD).ok();
        Ok(Self { control: adopt(PROXY_CONTROL_FD)?, link: adopt(PROXY_LINK_FD)?, access_log })
    }
}

/// Serve on so many cores until told to stop.
///
/// # Errors
/// The system refuses something without which there is no proxy.
pub fn run(inherited: Inherited, threads: u32) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(serve(inherited, threads))
}

async fn serve(inherited: Inherited, threads: u32) -> io::Result<()> {
    let (log, batches) = mpsc::channel(BATCHES);
    let emptied = Arc::new(Notify::new());
    let relieved = Arc::new(Notify::new());
    let shared = Shared { connections: Arc::default(), emptied: Arc::clone(&emptied), dropped: Arc::default(), log };
    let mut cores = Vec::new();
    for core in 0..threads {
        cores.push(start_core(core, shared.clone())?);
    }
    let writer = write_log(batches, inherited.access_log, Arc::clone(&shared.dropped));
    let writer = tokio::task::spawn_local(writer);
    let sockets = Sockets::new(inherited.link)?;
    tokio::task::spawn_local(Rc::clone(&sockets).keep());
    let connections = Arc::clone(&shared.connections);
    let cores = Cores::new(cores, sockets, Resolver::new(Arc::clone(&relieved)), Arc::clone(&shared.dropped));
    drop(shared); // What is left of it is with the cores; when they end, so does the log.
    let (stop, mut stopped) = mpsc::channel(1);
    let control = Rc::new(Control { cores: Mutex::new(cores), stop, peers: Vec::new().into() });
    let listener = BlockingUnixListener::from(inherited.control);
    listener.set_nonblocking(true)?;
    tokio::task::spawn_local(Rc::clone(&control).serve(UnixListener::from_std(listener)?));
    tokio::task::spawn_local({
        let control = Rc::clone(&control);
        async move {
            loop {
                relieved.notified().await;
                control.tell_drained().await;
            }
        }
    });
    let Some(stop) = stopped.recv().await else { return Ok(()) };
    control.cores.lock().await.stop().await;
    let empty = async {
        while connections.load(Ordering::SeqCst) > 0 {
            emptied.notified().await;
        }
    };
    if tokio::time::timeout(Duration::from_millis(stop.timeout_ms), empty).await.is_err() {
        let left = connections.load(Ordering::SeqCst);
        journal::note(format_args!("{left} connections were still open at the end of the drain time; they are cut"));
    }
    control.cores.lock().await.end();
    let _ = tokio::time::timeout(LOG_DEADLINE, writer).await;
    Ok(())
}

fn start_core(core: u32, shared: Shared) -> io::Result<mpsc::Sender<runtime::Command>> {
    let (commands, inbox) = mpsc::channel(16);
    std::thread::Builder::new().name(format!("core-{core}")).spawn(move || {
        if let Err(error) = runtime::run(inbox, shared, runtime::seed(core)) {
            journal::note(format_args!("core {core} cannot run: {error}"));
        }
    })?;
    Ok(commands)
}

/// Write batches as the pipe takes them. Without a pipe, or once nobody reads it any more, lines are dropped.
async fn write_log(mut batches: mpsc::Receiver<Batch>, descriptor: Option<OwnedFd>, dropped: Arc<AtomicU64>) {
    let mut sender = descriptor.and_then(|descriptor| pipe::Sender::from_owned_fd(descriptor).ok());
    while let Some(batch) = batches.recv().await {
        let written = match &mut sender {
            Some(pipe) => pipe.write_all(&batch.bytes).await,
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        if written.is_err() {
            sender = None;
            dropped.fetch_add(batch.lines, Ordering::Relaxed);
        }
    }
}
