//! Cuts the output of a program into lines. Pure: bytes come in, whole lines go out, the rest is kept and bounded.

/// Longest line; a longer one is cut here and goes on in the next.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// The part of a line that has not ended yet.
#[derive(Debug, Default)]
pub struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Takes `bytes` and hands each line that is whole now, without its end, to `emit`.
    pub fn push(&mut self, bytes: &[u8], mut emit: impl FnMut(&[u8])) {
        let mut parts = bytes.split(|&byte| byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            self.extend(part, &mut emit);
            if parts.peek().is_some() {
                emit(self.rest.strip_suffix(b"\r").unwrap_or(&self.rest));
                self.rest.clear();
            }
        }
    }

    /// Hands over the last line, which had no end.
    pub fn finish(&mut self, emit: impl FnOnce(&[u8])) {
        if !self.rest.is_empty() {
            emit(&self.rest);
            self.rest.clear();
        }
    }

    fn extend(&mut self, mut part: &[u8], emit: &mut impl FnMut(&[u8])) {
        while self.rest.len() + part.len() > MAX_LINE_BYTES {
            let (head, tail) = part.split_at(MAX_LINE_BYTES - self.rest.len());
            self.rest.extend_from_slice(head);
            emit(&self.rest);
            self.rest.clear();
            part = tail;
        }
        self.rest.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::{Lines, MAX_LINE_BYTES};

    fn cut(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.push(piece, |line| found.push(line.to_vec()));
        }
        lines.finish(|line| found.push(line.to_vec()));
        found
    }

    #[test]
    fn any_split_of_the_bytes_gives_the_same_lines() {
        let text = b"one\ntwo\r\n\nlast";
        let whole = cut(&[text]);
        assert_eq!(whole, [b"one".to_vec(), b"two".to_vec(), b"".to_vec(), b"last".to_vec()]);
        for at in 0..text.len() {
            assert_eq!(cut(&[&text[..at], &text[at..]]), whole);
        }
    }

    #[test]
    fn a_line_past_the_bound_is_cut_and_nothing_of_it_is_lost() {
        let long = vec![b'x'; MAX_LINE_BYTES * 2 + 5];
        let sizes: Vec<usize> = cut(&[&long]).iter().map(Vec::len).collect();
        assert_eq!(sizes, [MAX_LINE_BYTES, MAX_LINE_BYTES, 5]);
    }
}
