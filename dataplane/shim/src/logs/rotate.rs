//! Rotation of a log by size: which file becomes which. The choice is pure, `rotate` carries it out.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// `path.1`, the file the last rotation made, or an older one.
pub fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

/// The renames of one rotation that keeps `keep` files, in order; the last clears `path` itself. None when nothing is kept.
pub fn renames(path: &Path, keep: u32) -> Vec<(PathBuf, PathBuf)> {
    (1..=keep)
        .rev()
        .map(|number| {
            let from = if number == 1 { path.to_owned() } else { numbered(path, number - 1) };
            (from, numbered(path, number))
        })
        .collect()
}

/// Put `path` out of the way of a new file.
///
/// # Errors
/// The file itself could not be moved. An older one that is missing is no error.
pub fn rotate(path: &Path, keep: u32) -> io::Result<()> {
    if keep == 0 {
        return fs::remove_file(path);
    }
    for (from, to) in renames(path, keep) {
        match fs::rename(&from, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// How many bytes of `text` may be written to a file of `bytes` bytes before it must be rotated: whole lines, all of
/// them if they fit; `None` when the file must be rotated first. A line longer than `max_bytes` goes into an empty file.
pub fn room(text: &[u8], bytes: u64, max_bytes: u64) -> Option<usize> {
    let room = usize::try_from(max_bytes.saturating_sub(bytes)).unwrap_or(usize::MAX);
    if max_bytes == 0 || text.len() <= room {
        return Some(text.len());
    }
    let fitting = text.get(..room).and_then(|head| memchr::memrchr(b'\n', head)).map(|end| end + 1);
    match fitting {
        Some(length) => Some(length),
        None if bytes > 0 => None,
        None => Some(memchr::memchr(b'\n', text).map_or(text.len(), |end| end + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_overwritten_first() {
        let named = |text: &str| PathBuf::from(text);
        assert_eq!(
            renames(Path::new("/a.log"), 3),
            [
                (named("/a.log.2"), named("/a.log.3")),
                (named("/a.log.1"), named("/a.log.2")),
                (named("/a.log"), named("/a.log.1"))
            ]
        );
        assert_eq!(renames(Path::new("/a.log"), 0), []);
    }

    #[test]
    fn only_whole_lines_that_fit_are_written_before_a_rotation() {
        assert_eq!(room(b"aa\nbb\n", 0, 100), Some(6));
        assert_eq!(room(b"aa\nbb\n", 94, 100), Some(6));
        assert_eq!(room(b"aa\nbb\n", 95, 100), Some(3));
        assert_eq!(room(b"aa\nbb\n", 98, 100), None);
        assert_eq!(room(b"aa\nbb\n", 100, 100), None);
        assert_eq!(room(b"aa\nbb\n", 200, 100), None);
    }

    #[test]
    fn a_line_longer_than_the_file_may_be_gets_a_file_of_its_own() {
        assert_eq!(room(b"aaaaaaaa\nbb\n", 3, 5), None);
        assert_eq!(room(b"aaaaaaaa\nbb\n", 0, 5), Some(9));
    }

    #[test]
    fn without_a_bound_everything_fits() {
        assert_eq!(room(b"aa\n", u64::MAX, 0), Some(3));
    }
}
