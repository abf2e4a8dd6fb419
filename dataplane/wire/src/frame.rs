//! Frames: a 4-byte big-endian length, then that many bytes of JSON. Pure; whoever reads the socket owns the buffer.

use serde::{de::DeserializeOwned, Serialize};
use std::fmt;

/// Bytes of the length before each frame.
pub const HEADER_BYTES: usize = 4;
/// Most bytes a frame may have; more is an error of the sender.
pub const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The frame announces more than [`MAX_FRAME_BYTES`].
    TooLarge(usize),
    /// The JSON is malformed, or not a message of this protocol; the text says what.
    Malformed(String),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(bytes) => write!(f, "a frame of {bytes} bytes; the most is {MAX_FRAME_BYTES}"),
            Self::Malformed(why) => write!(f, "not a message of this protocol: {why}"),
        }
    }
}

impl std::error::Error for FrameError {}

/// One message as a whole frame, ready to be written.
///
/// # Errors
/// [`FrameError::TooLarge`] when the message does not fit a frame.
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; HEADER_BYTES];
    serde_json::to_writer(&mut frame, message).map_err(|error| FrameError::Malformed(error.to_string()))?;
    let length = frame.len() - HEADER_BYTES;
    if length > MAX_FRAME_BYTES {
        return Err(FrameError::TooLarge(length));
    }
    let header = u32::try_from(length).map_err(|_| FrameError::TooLarge(length))?.to_be_bytes();
    for (slot, byte) in frame.iter_mut().zip(header) {
        *slot = byte;
    }
    Ok(frame)
}

/// The JSON of the first whole frame in `buffer`, and how many bytes of the buffer it takes; `None` when more bytes are needed.
///
/// # Errors
/// [`FrameError::TooLarge`] as soon as the length is known to be past the bound.
pub fn take_frame(buffer: &[u8]) -> Result<Option<(&[u8], usize)>, FrameError> {
    let Some((header, rest)) = buffer.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(*header)).unwrap_or(usize::MAX);
    if length > MAX_FRAME_BYTES {
        return Err(FrameError::TooLarge(length));
    }
    Ok(rest.get(..length).map(|json| (json, HEADER_BYTES + length)))
}

/// The message in the JSON of a frame.
///
/// # Errors
/// [`FrameError::Malformed`] for anything that is not exactly a message: unknown names included.
pub fn decode<M: DeserializeOwned>(json: &[u8]) -> Result<M, FrameError> {
    serde_json::from_slice(json).map_err(|error| FrameError::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hello;

    #[test]
    fn a_frame_that_is_not_whole_asks_for_more() {
        let frame = encode(&Hello::ours()).unwrap();
        for cut in 0..frame.len() {
            assert_eq!(take_frame(&frame[..cut]), Ok(None));
        }
        let (json, used) = take_frame(&frame).unwrap().unwrap();
        assert_eq!(used, frame.len());
        assert_eq!(decode::<Hello>(json).unwrap(), Hello::ours());
    }

    #[test]
    fn a_frame_past_the_bound_is_refused_before_it_is_read() {
        assert_eq!(take_frame(&[0xff, 0xff, 0xff, 0xff]), Err(FrameError::TooLarge(0xffff_ffff)));
    }

    #[test]
    fn an_unknown_field_is_refused() {
        assert!(decode::<Hello>(br#"{"protocol":1,"version":"x","more":1}"#).is_err());
    }
}
