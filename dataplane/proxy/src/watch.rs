//! Deadlines and interruptions of everything that waits on one core, without a timer for each.
//!
//! Who waits has a [`Watch`]: arming it writes a number. One task a core, [`Watches::keep`], sleeps until the earliest
//! of all deadlines and wakes those that are due, so a request costs no timer and an idle core does not wake.

use crate::clock::{self, Moment};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;

/// Least milliseconds between two rounds; deadlines are met that much late at the most.
const ROUND_MS: u64 = 50;

/// Why a wait ended without what it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// The connection is idle and its listener is going away.
    Closing,
    /// Its deadline has passed.
    Deadline,
}

struct State {
    deadline: Cell<Moment>,
    /// Milliseconds that it was last armed for.
    span_ms: Cell<u64>,
    /// Whether the deadline is still to be reckoned, from the moment on that somebody has to wait.
    reckoned: Cell<bool>,
    tripped: Cell<Option<Interrupt>>,
    waker: RefCell<Option<Waker>>,
    /// Its place in the list.
    index: Cell<usize>,
    /// Key of the listener while an idle client connection waits for its next request.
    idle: Cell<Option<u32>>,
}

/// All watches of one core.
pub struct Watches {
    list: RefCell<Vec<Rc<State>>>,
    next: Cell<Moment>,
    sooner: Notify,
}

impl Watches {
    /// None yet.
    pub fn new() -> Rc<Self> {
        Rc::new(Self { list: RefCell::default(), next: Cell::new(Moment::NEVER), sooner: Notify::new() })
    }

    /// Interrupt the idle client connections of the listeners whose key `goes`.
    pub fn close_idle(&self, goes: impl Fn(u32) -> bool) {
        for state in self.list.borrow().iter().filter(|state| state.idle.get().is_some_and(&goes)) {
            state.trip(Interrupt::Closing);
        }
    }

    /// Meet the deadlines, for ever. `round` is called each time and tells a deadline of its own.
    pub async fn keep(&self, round: impl Fn(Moment) -> Moment) {
        // One timer, set anew each time: a new one would have to be allocated.
        let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
        loop {
            let sooner = self.sooner.notified();
            match self.next.get().instant() {
                None => sooner.await,
                Some(instant) => {
                    timer.as_mut().reset(instant);
                    tokio::select! {
                        () = timer.as_mut() => {}
                        () = sooner => {}
                    }
                }
            }
            let now = clock::now();
            if now >= self.next.get() {
                self.next.set(self.wake_due(now).min(round(now)).max(now.after_ms(ROUND_MS)));
            }
        }
    }

    /// Have [`Watches::keep`] look no later than at `deadline`.
    pub fn look_at(&self, deadline: Moment) {
        if deadline < self.next.get() {
            self.next.set(deadline);
            self.sooner.notify_one();
        }
    }

    fn wake_due(&self, now: Moment) -> Moment {
        let mut next = Moment::NEVER;
        for state in self.list.borrow().iter() {
            let deadline = state.deadline.get();
            if deadline <= now {
                state.deadline.set(Moment::NEVER);
                state.trip(Interrupt::Deadline);
            } else {
                next = next.min(deadline);
            }
        }
        next
    }
}

impl State {
    fn trip(&self, interrupt: Interrupt) {
        self.tripped.set(Some(interrupt));
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// The deadline of one who waits.
pub struct Watch {
    state: Rc<State>,
    watches: Rc<Watches>,
}

impl Watch {
    /// One that is not armed.
    pub fn new(watches: &Rc<Watches>) -> Self {
        let mut list = watches.list.borrow_mut();
        let state = Rc::new(State {
            deadline: Cell::new(Moment::NEVER),
            span_ms: Cell::new(u64::MAX),
            reckoned: Cell::new(true),
            tripped: Cell::new(None),
            waker: RefCell::new(None),
            index: Cell::new(list.len()),
            idle: Cell::new(None),
        });
        list.push(Rc::clone(&state));
        Self { state, watches: Rc::clone(watches) }
    }

    /// Interrupt waits that last for so many milliseconds from now on, and not before. What does not wait costs no look
    /// at the clock.
    pub fn arm_ms(&self, span_ms: u64) {
        self.state.span_ms.set(span_ms);
        self.rearm();
    }

    /// The time begins anew, because something has moved.
    pub fn rearm(&self) {
        self.state.deadline.set(Moment::NEVER);
        self.state.reckoned.set(false);
        self.state.tripped.set(None);
    }

    fn reckon(&self) {
        self.state.reckoned.set(true);
        let deadline = clock::now().after_ms(self.state.span_ms.get());
        self.state.deadline.set(deadline);
        self.watches.look_at(deadline);
    }

    /// No deadline.
    pub fn disarm(&self) {
        self.arm_ms(u64::MAX);
    }

    /// Whether the wait is one for a next request on a connection of this listener, which may be interrupted.
    pub fn set_idle(&self, listener: Option<u32>) {
        self.state.idle.set(listener);
    }

    /// What a wait that is pending ends with, if it is to end.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<Interrupt> {
        if let Some(interrupt) = self.state.tripped.get() {
            return Poll::Ready(interrupt);
        }
        if !self.state.reckoned.get() {
            self.reckon();
        }
        let mut waker = self.state.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The output of `future`, unless the wait is interrupted.
    ///
    /// # Errors
    /// The interrupt.
    pub async fn limit<F: Future>(&self, future: F) -> Result<F::Output, Interrupt> {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => self.poll(cx).map(Err),
        })
        .await
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut list = self.watches.list.borrow_mut();
        let index = self.state.index.get();
        if index < list.len() {
            list.swap_remove(index);
        }
        if let Some(moved) = list.get(index) {
            moved.index.set(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn interrupted(watch: &Watch) -> Interrupt {
        watch.limit(std::future::pending::<()>()).await.unwrap_err()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_deadline_interrupts_and_a_later_one_takes_its_place() {
        let watches = Watches::new();
        let (early, late) = (Watch::new(&watches), Watch::new(&watches));
        late.arm_ms(600_000);
        early.arm_ms(10);
        tokio::select! {
            () = watches.keep(|_| Moment::NEVER) => unreachable!(),
            interrupt = interrupted(&early) => assert_eq!(interrupt, Interrupt::Deadline),
        }
        early.disarm();
        assert!(matches!(early.limit(std::future::ready(7)).await, Ok(7)));
        drop(early);
        assert_eq!(watches.list.borrow().len(), 1);
        assert_eq!(late.state.index.get(), 0);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn only_idle_connections_of_the_listener_are_closed() {
        let watches = Watches::new();
        let (busy, idle) = (Watch::new(&watches), Watch::new(&watches));
        idle.set_idle(Some(3));
        watches.close_idle(|key| key == 4);
        assert_eq!(idle.state.tripped.get(), None);
        watches.close_idle(|key| key == 3);
        assert_eq!(interrupted(&idle).await, Interrupt::Closing);
        assert_eq!(busy.state.tripped.get(), None);
    }
}
