//! Listening sockets: the whole set that is wanted, bound all or none.
use pinfold_wire::shim::ListenAddress;
use pinfold_wire::Problem;
use socket2::{Domain, SockAddr, Socket, Type};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Sockets by address.
pub type Sockets = BTreeMap<String, Vec<Arc<Socket>>>;

/// The set for `wanted`: what `held` has already is kept as it is, the rest is bound now.
///
/// # Errors
/// One problem for each address that cannot be bound; then nothing stays bound that was not before.
pub fn listen(held: &Sockets, wanted: &[ListenAddress]) -> Result<Sockets, Vec<Problem>> {
    let (mut sockets, mut problems) = (Sockets::new(), Vec::new());
    for one in wanted {
        let bound = match held.get(&one.address) {
            Some(kept) => Ok(kept.clone()),
            None => bind(&one.address, one.sockets.clamp(1, 64)),
        };
        match bound {
            Ok(bound) => drop(sockets.insert(one.address.clone(), bound)),
            Err(error) => problems.push(problem(&one.address, &error)),
        }
    }
    if problems.is_empty() {
        remove_files(held, &sockets);
        return Ok(sockets);
    }
    remove_files(&sockets, held);
    Err(problems)
}

/// Removes the files of unix sockets that `before` has and `after` has not.
pub fn remove_files(before: &Sockets, after: &Sockets) {
    for path in before.keys().filter(|address| !after.contains_key(*address)).filter_map(|a| a.strip_prefix("unix:")) {
        drop(std::fs::remove_file(path)); // Gone already is as good.
    }
}

fn problem(address: &str, error: &io::Error) -> Problem {
    let what = format!("cannot listen on {address}: {error}");
    Problem { place: address.to_owned(), what, errno: error.raw_os_error() }
}

fn bind(address: &str, count: u32) -> io::Result<Vec<Arc<Socket>>> {
    if let Some(path) = address.strip_prefix("unix:") {
        let socket = Arc::new(bind_unix(path)?);
        return Ok((0..count).map(|_| Arc::clone(&socket)).collect());
    }
    let parsed: SocketAddr = address.parse().map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    // Without SO_REUSEPORT first: with it, another program of the same user would silently share the port.
    drop(bind_tcp(parsed, Sharing::Alone)?);
    (0..count)
        .map(|_| {
            let socket = bind_tcp(parsed, Sharing::Cores)?;
            socket.listen(BACKLOG)?;
            Ok(Arc::new(socket))
        })
        .collect()
}

#[derive(PartialEq, Eq)]
enum Sharing {
    Alone,
    Cores,
}

fn bind_tcp(address: SocketAddr, sharing: Sharing) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(sharing == Sharing::Cores)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// A listening unix socket at `path`; a file left by one that is gone is replaced.
///
/// # Errors
/// Somebody listens there, or the directory does not allow it.
pub fn bind_unix(path: &str) -> io::Result<Socket> {
    if UnixStream::connect(path).is_ok() {
        return Err(io::Error::from_raw_os_error(libc::EADDRINUSE));
    }
    if std::fs::symlink_metadata(path).is_ok_and(|found| std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()))
    {
        std::fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o660))?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(address: &str) -> ListenAddress {
        ListenAddress { address: address.to_owned(), sockets: 2 }
    }

    #[test]
    fn a_taken_port_is_a_problem_and_nothing_stays_bound() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let path = std::env::temp_dir().join(format!("pinfold-listen-{}", std::process::id()));
        let unix = format!("unix:{}", path.display());
        let problems = listen(&Sockets::new(), &[wanted(&unix), wanted(&address)]).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert_eq!((problems[0].place.as_str(), problems[0].errno), (address.as_str(), Some(libc::EADDRINUSE)));
        assert!(!path.exists());
    }

    #[test]
    fn what_is_held_is_kept_as_it_is() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let first = listen(&Sockets::new(), &[wanted(&free)]).unwrap();
        let second = listen(&first, &[wanted(&free)]).unwrap();
        assert!(Arc::ptr_eq(&first[&free][0], &second[&free][0]));
        assert_eq!(second[&free].len(), 2);
    }
}
