//! The descriptors the shim leaves at agreed numbers (see `pinfold_wire`). The only file of the proxy with unsafe code.
#![allow(unsafe_code)] // A descriptor that comes with the process is a bare number.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Own a descriptor that this process was started with. To be called once for each number, before anything is opened.
///
/// # Errors
/// There is no such descriptor.
pub fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    if !std::path::Path::new(&format!("/proc/self/fd/{number}")).exists() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("descriptor {number} was not handed over")));
    }
    // SAFETY: it is open, and by the agreement with the shim it is meant for us; nothing else in this process owns it,
    // as nothing has been opened yet.
    let owned = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&owned, rustix::io::FdFlags::CLOEXEC)?;
    Ok(owned)
}
