//! Every process that was spawned and not yet forgotten. Holds their pidfds; waits for nothing itself.

use crate::poll::Watch;
use crate::tree::Known;
use pinfold_wire::shim::{Exit, Process, ProcessReport, Role};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Instant;

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The connection.
    pub peer: u64,
    /// The serial of the request.
    pub serial: u64,
}

/// A child that has not become its program yet.
pub struct Birth {
    /// Who asked for it.
    pub asker: Asker,
    /// What it is to become, for telling what failed.
    pub process: Box<Process>,
    /// Where it tells; ends when the program is executed.
    pub report: OwnedFd,
    /// The registration of `report`.
    pub watch: Watch,
    /// Until when it must have told.
    pub deadline: Instant,
}

/// A descriptor that becomes readable when the process ends, with its registration.
pub struct Alive {
    /// From pidfd_open(2).
    pub pidfd: OwnedFd,
    /// The registration.
    pub watch: Watch,
}

/// One process.
pub struct Record {
    /// Text of the daemon.
    pub label: String,
    /// What it is.
    pub role: Role,
    /// Its process id.
    pub pid: i32,
    /// When it began.
    pub start_ticks: u64,
    /// Until its program is executed.
    pub birth: Option<Birth>,
    /// Until it has ended.
    pub alive: Option<Alive>,
    /// Once it has ended.
    pub exit: Option<Exit>,
}

/// By key.
#[derive(Default)]
pub struct Table {
    /// The records.
    pub records: BTreeMap<String, Record>,
}

impl Table {
    /// The key of the living process of that id.
    pub fn key_of(&self, pid: i32) -> Option<String> {
        let mut living = self.records.iter().filter(|(_, record)| record.alive.is_some());
        living.find(|(_, record)| record.pid == pid).map(|(key, _)| key.clone())
    }

    /// All of them, for telling whose a process is.
    pub fn known(&self) -> Vec<Known<'_>> {
        self.records
            .iter()
            .map(|(key, record)| Known { key, pid: record.pid, start_ticks: record.start_ticks })
            .collect()
    }

    /// All of them, for a daemon that comes back.
    pub fn reports(&self) -> Vec<ProcessReport> {
        let report = |(key, record): (&String, &Record)| ProcessReport {
            key: key.clone(),
            label: record.label.clone(),
            role: record.role,
            pid: record.pid,
            start_ticks: record.start_ticks,
            exit: record.exit.clone(),
        };
        self.records.iter().map(report).collect()
    }

    /// Remove the records of processes that have ended; one that has not stays.
    pub fn forget(&mut self, keys: &[String]) {
        self.records.retain(|key, record| record.exit.is_none() || !keys.contains(key));
    }

    /// The earliest deadline of a birth.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.records.values().filter_map(|record| Some(record.birth.as_ref()?.deadline)).min()
    }

    /// Keys of births that are over their deadline.
    pub fn overdue(&self, now: Instant) -> Vec<String> {
        let overdue = |record: &Record| record.birth.as_ref().is_some_and(|birth| birth.deadline <= now);
        self.records.iter().filter(|(_, record)| overdue(record)).map(|(key, _)| key.clone()).collect()
    }
}
