//! Listening sockets: how they are bound, and unix sockets' paths, which are removed only as long as they are ours.

use rustix::net::{
    bind, connect, listen, socket_with, sockopt, AddressFamily, SocketAddrUnix, SocketFlags, SocketType,
};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
pub const BACKLOG: i32 = 4096;

/// Whether a TCP socket may share its address with others of this user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// `SO_REUSEPORT`: one socket for each core.
    Allowed,
    /// Fails if anybody listens there, even one that would share.
    Refused,
}

/// A TCP socket at `address`, bound, not listening.
///
/// # Errors
/// As socket(2) and bind(2).
pub fn bind_tcp(address: &SocketAddr, sharing: Sharing) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if sharing == Sharing::Allowed {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, address)?;
    Ok(socket)
}

/// Listen on a socket that is bound.
///
/// # Errors
/// As listen(2).
pub fn start_listening(socket: &OwnedFd) -> io::Result<()> {
    Ok(listen(socket, BACKLOG)?)
}

/// The path of a unix socket, by the file that was there when it was bound.
pub struct BoundPath {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl BoundPath {
    /// Remember the socket now at `path`.
    ///
    /// # Errors
    /// There is none.
    pub fn of(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: found.dev(), inode: found.ino() })
    }

    /// Remove it, unless somebody else has put another file in its place.
    pub fn remove(&self) {
        let ours = |found: &fs::Metadata| (found.dev(), found.ino()) == (self.device, self.inode);
        if fs::symlink_metadata(&self.path).is_ok_and(|found| ours(&found)) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listen on a unix socket with rights `mode`. A socket file that nobody listens on any more is replaced.
///
/// # Errors
/// As bind(2): `EADDRINUSE` if somebody listens there, or the file is no socket.
pub fn listen_unix(path: &Path, mode: u32) -> io::Result<(OwnedFd, BoundPath)> {
    let address = SocketAddrUnix::new(path)?;
    remove_stale(path, &address)?;
    let socket = unix_socket()?;
    bind(&socket, &address)?; // With the umask of main, so that nobody gets in before the next line.
    let bound = BoundPath::of(path)?;
    let rest = fs::set_permissions(path, fs::Permissions::from_mode(mode)).and_then(|()| start_listening(&socket));
    match rest {
        Ok(()) => Ok((socket, bound)),
        Err(error) => {
            bound.remove();
            Err(error)
        }
    }
}

fn remove_stale(path: &Path, address: &SocketAddrUnix) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if found.file_type().is_socket() && connect(unix_socket()?, address) == Err(rustix::io::Errno::CONNREFUSED) {
        return fs::remove_file(path);
    }
    Err(rustix::io::Errno::ADDRINUSE.into())
}

fn unix_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}
