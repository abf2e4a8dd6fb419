//! Buffers belong to the core, not to the connection: one that has nothing to hold goes back, so that an idle connection
//! costs none.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Bytes of a buffer: a request head of the largest size that can be configured fits twice, and bodies move in large
/// pieces. Half of this makes 1 MiB answers a seventh dearer, and slow where the peer delays its acknowledgements.
pub const BUFFER_BYTES: usize = 131_072;
/// Buffers kept for later on one core: as many as requests are likely to have at hand at one moment.
const SPARE_MOST: usize = 16;
/// Bytes of scratches kept for later on one core: a request in flight has one, of a kilobyte as a rule.
const SCRATCHES_BYTES: usize = 2 << 20;
/// Capacity above which a scratch is not kept.
const SCRATCH_BYTES: usize = BUFFER_BYTES + 65536;

/// The spare buffers of a core.
#[derive(Default)]
pub struct Buffers {
    spare: RefCell<Vec<Box<[u8]>>>,
    scratches: RefCell<Vec<Vec<u8>>>,
    /// Their capacity together.
    scratched: Cell<usize>,
}

impl Buffers {
    /// An empty vector to build bytes in; give it back with [`Buffers::give_scratch`].
    pub fn scratch(&self) -> Vec<u8> {
        let kept = self.scratches.borrow_mut().pop();
        kept.inspect(|scratch| self.scratched.set(self.scratched.get() - scratch.capacity()))
            .unwrap_or_else(|| Vec::with_capacity(1024))
    }

    /// Give back a vector, whatever is in it.
    pub fn give_scratch(&self, mut scratch: Vec<u8>) {
        let bytes = self.scratched.get() + scratch.capacity();
        if (1..=SCRATCH_BYTES).contains(&scratch.capacity()) && bytes <= SCRATCHES_BYTES {
            scratch.clear();
            self.scratched.set(bytes);
            self.scratches.borrow_mut().push(scratch);
        }
    }
}

/// Bytes that were read and not yet used.
pub struct Buffer {
    bytes: Option<Box<[u8]>>,
    start: usize,
    end: usize,
    home: Rc<Buffers>,
}

impl Buffer {
    /// One that holds nothing.
    pub fn new(home: &Rc<Buffers>) -> Self {
        Self { bytes: None, start: 0, end: 0, home: Rc::clone(home) }
    }

    /// What is held.
    pub fn filled(&self) -> &[u8] {
        self.bytes.as_ref().and_then(|bytes| bytes.get(self.start..self.end)).unwrap_or_default()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether nothing more can be read before something is used.
    pub fn is_full(&self) -> bool {
        self.start == 0 && self.end == BUFFER_BYTES
    }

    /// Room to read into, behind what is held.
    pub fn room(&mut self) -> &mut [u8] {
        let home = &self.home;
        let bytes = self.bytes.get_or_insert_with(|| {
            home.spare.borrow_mut().pop().unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice())
        });
        if self.start > 0 && self.end == BUFFER_BYTES {
            bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// So many bytes have been read into the room.
    pub fn extend(&mut self, count: usize) {
        self.end = (self.end + count).min(BUFFER_BYTES);
    }

    /// So many of the bytes held are used.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.is_empty() {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Give the memory back if nothing is held.
    pub fn release(&mut self) {
        if self.is_empty() {
            let mut spare = self.home.spare.borrow_mut();
            if let Some(bytes) = self.bytes.take().filter(|_| spare.len() < SPARE_MOST) {
                spare.push(bytes);
            }
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.start = self.end;
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_buffer_holds_no_memory_and_the_next_one_takes_it_over() {
        let home = Rc::new(Buffers::default());
        let mut one = Buffer::new(&home);
        one.room()[..3].copy_from_slice(b"abc");
        one.extend(3);
        one.consume(1);
        one.release();
        assert_eq!(one.filled(), b"bc");
        one.consume(2);
        one.release();
        assert_eq!(home.spare.borrow().len(), 1);
        let mut other = Buffer::new(&home);
        assert_eq!(other.room().len(), BUFFER_BYTES);
        assert_eq!(home.spare.borrow().len(), 0);
    }

    #[test]
    fn what_is_held_moves_to_the_front_when_there_is_no_room_behind_it() {
        let mut buffer = Buffer::new(&Rc::new(Buffers::default()));
        let room = buffer.room().len();
        buffer.extend(room);
        assert!(buffer.is_full());
        buffer.consume(room - 2);
        assert!(!buffer.is_full());
        assert_eq!(buffer.room().len(), BUFFER_BYTES - 2);
        assert_eq!(buffer.filled().len(), 2);
    }
}
