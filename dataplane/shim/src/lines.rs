//! From the bytes of a pipe to lines of bounded length. Pure. Bytes are kept as they are, whether UTF-8 or not: the
//! reader of a log decides how to show them, and nothing is lost on the way.

/// Most bytes of a line; a longer one is split.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The line goes on in the next piece.
    Continued,
    /// A line, or the last piece of one.
    Last,
}

/// Splits one stream of bytes; holds the line that has not ended yet.
#[derive(Default)]
pub struct Splitter {
    partial: Vec<u8>,
}

impl Splitter {
    /// Take the next bytes of the stream; `emit` is called for each piece, without its line end.
    pub fn push(&mut self, bytes: &[u8], emit: &mut impl FnMut(&[u8], Piece)) {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            self.add(line, emit);
            emit(&self.partial, Piece::Last);
            self.partial.clear();
            rest = after.get(1..).unwrap_or_default();
        }
        self.add(rest, emit);
        if self.partial.is_empty() {
            self.partial = Vec::new(); // An idle stream holds no memory.
        }
    }

    /// The stream has ended: what is left is a line too.
    pub fn finish(&mut self, emit: &mut impl FnMut(&[u8], Piece)) {
        if !self.partial.is_empty() {
            emit(&self.partial, Piece::Last);
            self.partial = Vec::new();
        }
    }

    fn add(&mut self, text: &[u8], emit: &mut impl FnMut(&[u8], Piece)) {
        let mut rest = text;
        while self.partial.len() + rest.len() > MAX_LINE_BYTES {
            let (head, tail) = rest.split_at((MAX_LINE_BYTES - self.partial.len()).min(rest.len()));
            self.partial.extend_from_slice(head);
            emit(&self.partial, Piece::Continued);
            self.partial.clear();
            rest = tail;
        }
        self.partial.extend_from_slice(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(chunks: &[&[u8]]) -> Vec<(Vec<u8>, Piece)> {
        let (mut splitter, mut found) = (Splitter::default(), Vec::new());
        let mut emit = |text: &[u8], piece| found.push((text.to_vec(), piece));
        for chunk in chunks {
            splitter.push(chunk, &mut emit);
        }
        splitter.finish(&mut emit);
        found
    }

    #[test]
    fn any_cut_of_the_bytes_gives_the_same_lines() {
        let text = b"one\n\ntwo \xff\r\nlast";
        let wanted: Vec<_> = [b"one".to_vec(), vec![], b"two \xff\r".to_vec(), b"last".to_vec()]
            .into_iter()
            .map(|line| (line, Piece::Last))
            .collect();
        for cut in 0..=text.len() {
            assert_eq!(pieces(&[&text[..cut], &text[cut..]]), wanted);
        }
    }

    #[test]
    fn a_line_past_the_bound_is_split_and_nothing_is_lost() {
        let mut text = vec![b'x'; 2 * MAX_LINE_BYTES + 5];
        text.push(b'\n');
        let found = pieces(&[&text[..70_000], &text[70_000..]]);
        let sizes: Vec<_> = found.iter().map(|(text, piece)| (text.len(), *piece)).collect();
        assert_eq!(sizes, [(MAX_LINE_BYTES, Piece::Continued), (MAX_LINE_BYTES, Piece::Continued), (5, Piece::Last)]);
    }

    #[test]
    fn a_line_of_exactly_the_bound_is_whole() {
        let mut text = vec![b'x'; MAX_LINE_BYTES];
        text.push(b'\n');
        assert_eq!(pieces(&[&text]), [(vec![b'x'; MAX_LINE_BYTES], Piece::Last)]);
    }

    #[test]
    fn an_empty_stream_has_no_line() {
        assert_eq!(pieces(&[b"", b""]), []);
    }
}
