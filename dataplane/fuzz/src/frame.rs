//! Frames of the seam: no bytes bring either side down, and what is a message is the same message when sent again.

use pinfold_wire::proxy::{FromProxy, ToProxy, ToProxyLink};
use pinfold_wire::shim::{FromShim, ToShim};
use pinfold_wire::HEADER_BYTES;

/// The message of this type in some JSON, if it is one; panics when it is not the same after it was sent again.
macro_rules! round {
    ($message:ty, $json:expr) => {
        pinfold_wire::decode::<$message>($json).ok().map(|message| {
            let frame = pinfold_wire::encode(&message).expect("what was decoded is encoded");
            let (again, _) = pinfold_wire::take_frame(&frame).expect("a frame").expect("a whole one");
            assert_eq!(pinfold_wire::decode::<$message>(again).as_ref(), Ok(&message));
            message
        })
    };
}
pub(crate) use round;

/// Panics when a frame is longer than its bytes or a message changes on its way round.
pub fn check(bytes: &[u8]) {
    let Ok(Some((json, used))) = pinfold_wire::take_frame(bytes) else { return };
    assert!(used <= bytes.len() && used == json.len() + HEADER_BYTES);
    round!(ToProxy, json);
    round!(FromProxy, json);
    round!(ToProxyLink, json);
    round!(ToShim, json);
    round!(FromShim, json);
}
