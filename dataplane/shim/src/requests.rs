//! What the daemon asks for, message by message.

use crate::app::{App, Phase};
use crate::clock;
use crate::journal;
use crate::sweeps::Target;
use crate::table::Asker;
use pinfold_wire::shim::{Done, Failed, FromShim, Listen, Scope, ShimHello, Signal, ToShim};
use pinfold_wire::{Hello, Problem, PROTOCOL, VERSION};
use std::os::fd::AsFd;

impl App {
    /// A connection has something to say, or has ended.
    pub(crate) fn requests(&mut self, peer: u64) {
        for message in self.control.receive(peer, &mut self.poll) {
            if self.phase != Phase::Running {
                return; // Everything is being ended; there is nothing left to ask for.
            }
            self.request(peer, message);
        }
    }

    fn request(&mut self, peer: u64, message: ToShim) {
        let greeted = self.control.daemon() == Some(peer);
        match message {
            ToShim::Hello(hello) if !greeted => self.greet(peer, &hello),
            ToShim::Listen(listen) if greeted => self.listen(peer, &listen),
            ToShim::Spawn(spawn) if greeted => self.spawn(Asker { peer, serial: spawn.serial }, spawn.process),
            ToShim::Signal(signal) if greeted => self.signal(peer, &signal),
            ToShim::Forget(forget) if greeted => {
                self.table.forget(&forget.keys);
                self.done(peer, forget.serial);
            }
            ToShim::Stop if greeted => self.stop(),
            _ => {
                journal::note(format_args!("a connection is closed: hello comes first, and once"));
                self.control.close(peer, &mut self.poll);
            }
        }
    }

    /// A daemon of this build is told everything, and takes the place of the one before. Another learns only that it is
    /// another.
    fn greet(&mut self, peer: u64, hello: &Hello) {
        let ours = hello.matches();
        let mut answer = ShimHello {
            protocol: PROTOCOL,
            version: VERSION.to_owned(),
            pid: i32::try_from(std::process::id()).unwrap_or(0),
            addresses: Vec::new(),
            processes: Vec::new(),
        };
        if ours {
            self.reap(); // What has ended by now is told as ended.
            self.control.promote(peer, &mut self.poll);
            answer.addresses = self.listeners.addresses();
            answer.processes = self.table.reports();
        }
        self.control.send(peer, &FromShim::Hello(answer), &mut self.poll);
        if !ours {
            journal::note(format_args!("a daemon of version {:?} is refused", hello.version));
            self.control.close(peer, &mut self.poll);
        }
    }

    fn listen(&mut self, peer: u64, listen: &Listen) {
        match self.listeners.change(&listen.addresses) {
            Ok(changed) => {
                self.links.announce(&changed, &self.listeners, &mut self.poll);
                self.done(peer, listen.serial);
            }
            Err(problems) => self.failed(peer, listen.serial, problems),
        }
    }

    fn signal(&mut self, peer: u64, signal: &Signal) {
        let serial = signal.serial;
        let Some(record) = self.table.records.get(&signal.key) else {
            let what = format!("no process has the key {}", signal.key);
            let problem = Problem { place: signal.key.clone(), what, errno: Some(libc::ESRCH) };
            return self.failed(peer, serial, vec![problem]);
        };
        if signal.scope == Scope::Tree {
            let target = Target::Key(signal.key.clone(), Asker { peer, serial });
            return self.sweeps.add(target, signal.signal, clock::now());
        }
        let sent =
            record.alive.as_ref().map_or(Ok(()), |alive| crate::raw::send_signal(alive.pidfd.as_fd(), signal.signal));
        match sent {
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
                let what = format!("signal {} cannot be sent: {error}", signal.signal);
                let problem = Problem { place: signal.key.clone(), what, errno: error.raw_os_error() };
                self.failed(peer, serial, vec![problem]);
            }
            _ => self.done(peer, serial), // One that has ended already is as good as signalled.
        }
    }

    fn done(&mut self, peer: u64, serial: u64) {
        self.control.send(peer, &FromShim::Done(Done { serial }), &mut self.poll);
    }

    fn failed(&mut self, peer: u64, serial: u64, problems: Vec<Problem>) {
        self.control.send(peer, &FromShim::Failed(Failed { serial, problems }), &mut self.poll);
    }
}
