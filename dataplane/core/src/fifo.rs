//! Who waits first is served first. Those who wait may be choosy, so that what is free may go to a later one; nobody who
//! takes whatever there is is ever overtaken.

use std::collections::VecDeque;

/// Those who wait, in the order in which they came.
#[derive(Debug)]
pub struct Fifo<W> {
    waiting: VecDeque<(u64, W)>,
    tickets: u64,
}

impl<W> Default for Fifo<W> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), tickets: 0 }
    }
}

impl<W> Fifo<W> {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Wait behind all others; the ticket to leave with. None if `most` wait already.
    pub fn join(&mut self, waiter: W, most: usize) -> Option<u64> {
        if self.waiting.len() >= most {
            return None;
        }
        self.tickets += 1;
        self.waiting.push_back((self.tickets, waiter));
        Some(self.tickets)
    }

    /// Wait no longer; the waiter, unless it has been served or has left.
    pub fn leave(&mut self, ticket: u64) -> Option<W> {
        let place = self.waiting.binary_search_by_key(&ticket, |(own, _)| *own).ok()?;
        self.waiting.remove(place).map(|(_, waiter)| waiter)
    }

    /// Serve the first for whom `offer` has something; it waits no longer.
    pub fn serve<G>(&mut self, mut offer: impl FnMut(&W) -> Option<G>) -> Option<(W, G)> {
        let (place, given) =
            self.waiting.iter().enumerate().find_map(|(place, (_, waiter))| Some((place, offer(waiter)?)))?;
        let (_, waiter) = self.waiting.remove(place)?;
        Some((waiter, given))
    }

    /// Nobody waits any longer.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_served_first_and_a_choosy_one_holds_up_nobody() {
        let mut fifo = Fifo::default();
        for wanted in ["a", "any", "b", "any too"] {
            assert!(fifo.join(wanted, 10).is_some());
        }
        let mut serve = |free: &str| fifo.serve(|waiter| (waiter.starts_with("any") || *waiter == free).then_some(()));
        assert_eq!(serve("b").map(|(waiter, ())| waiter), Some("any"));
        assert_eq!(serve("b").map(|(waiter, ())| waiter), Some("b"));
        assert_eq!(serve("a").map(|(waiter, ())| waiter), Some("a"));
        assert_eq!(serve("c").map(|(waiter, ())| waiter), Some("any too"));
        assert_eq!(serve("c"), None);
    }

    #[test]
    fn who_leaves_is_gone_once_and_the_bound_counts_who_is_there() {
        let mut fifo = Fifo::default();
        let tickets: Vec<_> = (0..3).filter_map(|number| fifo.join(number, 3)).collect();
        assert_eq!(fifo.join(3, 3), None);
        assert_eq!(fifo.leave(tickets[1]), Some(1));
        assert_eq!(fifo.leave(tickets[1]), None);
        assert!(fifo.join(4, 3).is_some());
        assert_eq!(fifo.serve(|_| Some(())), Some((0, ())));
        assert_eq!(fifo.leave(tickets[0]), None);
        assert_eq!(fifo.len(), 2);
        fifo.clear();
        assert!(fifo.is_empty());
    }
}
