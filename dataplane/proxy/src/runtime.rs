//! One core: what its connections share, and the loop that takes commands from the control side.

use crate::acceptors::{Acceptors, Wanted};
use crate::access::AccessLog;
use crate::buffer::Buffers;
use crate::clock;
use crate::connections::Connections;
use crate::table::Table;
use crate::watch::Watches;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use tokio::runtime::LocalOptions;
use tokio::sync::{mpsc, oneshot, Notify};

/// What the control side wants of a core; answered when it is done.
pub enum Command {
    /// Put a table in force and accept on exactly these sockets.
    Install(Arc<Table>, Vec<Wanted>, oneshot::Sender<()>),
    /// Accept no more; idle connections are closed.
    Stop(oneshot::Sender<()>),
}

/// What all cores share.
#[derive(Clone)]
pub struct Shared {
    /// Client connections open on any core.
    pub connections: Arc<AtomicU64>,
    /// Told when a stopping core has lost a connection.
    pub emptied: Arc<Notify>,
    /// Lines of the access log that were dropped.
    pub dropped: Arc<AtomicU64>,
    /// Where batches of the access log go.
    pub log: mpsc::Sender<crate::access::Batch>,
}

/// A table as one core has it: who uses it there is counted there, so that the cores do not share a counter.
pub struct InForce(Arc<Table>);

impl Deref for InForce {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.0
    }
}

/// What the connections of one core share.
pub struct Core {
    /// Deadlines.
    pub watches: Rc<Watches>,
    /// Memory.
    pub buffers: Rc<Buffers>,
    /// Connections to endpoints.
    pub connections: Connections,
    /// The access log.
    pub log: Rc<AccessLog>,
    /// Room to gather candidates in.
    pub candidates: RefCell<Vec<pinfold_core::balance::Candidate>>,
    shared: Shared,
    table: RefCell<Rc<InForce>>,
    stopping: Cell<bool>,
    dice: Cell<u64>,
}

impl Core {
    fn new(shared: Shared, seed: u64) -> Rc<Self> {
        let watches = Watches::new();
        Rc::new(Self {
            buffers: Rc::default(),
            connections: Connections::new(&watches),
            log: AccessLog::new(shared.log.clone(), Arc::clone(&shared.dropped)),
            candidates: RefCell::default(),
            watches,
            shared,
            table: RefCell::new(Rc::new(InForce(Arc::new(Table::empty())))),
            stopping: Cell::new(false),
            dice: Cell::new(seed | 1),
        })
    }

    /// The table in force.
    pub fn table(&self) -> Rc<InForce> {
        Rc::clone(&self.table.borrow())
    }

    /// Whether connections are to be closed behind their next answer.
    pub fn stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Whether requests are logged.
    pub fn logged(&self) -> bool {
        self.table.borrow().access_log == pinfold_wire::AccessLog::Json
    }

    /// A number that no endpoint can foresee to its use; good enough to settle ties (xorshift64, Marsaglia 2003).
    pub fn chance(&self) -> u32 {
        let mut dice = self.dice.get();
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        self.dice.set(dice);
        u32::try_from(dice >> 32).unwrap_or(0)
    }
}

/// A client connection, counted as long as this lives.
pub struct Counted(Rc<Core>);

impl Counted {
    /// It has been accepted.
    pub fn begin(core: &Rc<Core>) -> Self {
        core.shared.connections.fetch_add(1, Ordering::SeqCst);
        Self(Rc::clone(core))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let shared = &self.0.shared;
        if shared.connections.fetch_sub(1, Ordering::SeqCst) == 1 && self.0.stopping() {
            shared.emptied.notify_one();
        }
    }
}

/// Serve on this thread until the control side hangs up.
///
/// # Errors
/// The system refuses what a runtime needs.
pub fn run(commands: mpsc::Receiver<Command>, shared: Shared, seed: u64) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(obey(commands, Core::new(shared, seed)));
    Ok(())
}

async fn obey(mut commands: mpsc::Receiver<Command>, core: Rc<Core>) {
    let mut acceptors = Acceptors::default();
    spawn({
        let core = Rc::clone(&core);
        async move { core.watches.keep(|now| core.connections.expire(now)).await }
    });
    spawn({
        let log = Rc::clone(&core.log);
        async move { log.flush().await }
    });
    while let Some(command) = commands.recv().await {
        match command {
            Command::Install(table, wanted, done) => {
                *core.table.borrow_mut() = Rc::new(InForce(table));
                acceptors.change(&core, wanted).await;
                let table = core.table();
                core.watches.close_idle(|key| table.listener(key).is_none());
                core.connections.close_unwanted();
                let _ = done.send(());
            }
            Command::Stop(done) => {
                core.stopping.set(true);
                acceptors.change(&core, Vec::new()).await;
                core.watches.close_idle(|_| true);
                let _ = done.send(());
            }
        }
    }
    core.log.hand_over();
}

/// Run a task on this core.
pub fn spawn<F: Future<Output = ()> + 'static>(future: F) -> tokio::task::JoinHandle<()> {
    tokio::task::spawn_local(future)
}

/// A seed that differs from core to core and from start to start.
pub fn seed(core: u32) -> u64 {
    (clock::wall_ms() ^ u64::from(std::process::id()) << 32)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(u64::from(core) << 17)
}
