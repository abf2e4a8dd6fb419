//! The listening sockets.

use crate::rig::Rig;
use rustix::net::{bind, listen, socket, sockopt, AddressFamily, SocketType};
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};

/// An address that was free a moment ago.
fn free() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn connects(address: &str) -> bool {
    TcpStream::connect(address).is_ok()
}

fn shared_listener(address: &str) -> OwnedFd {
    let stranger = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_reuseport(&stranger, true).unwrap();
    bind(&stranger, &address.parse::<SocketAddr>().unwrap()).unwrap();
    listen(&stranger, 16).unwrap();
    stranger
}

#[test]
fn addresses_are_opened_and_closed_as_wanted() {
    let rig = Rig::start();
    let mut link = rig.link();
    let (one, two) = (free(), free());
    link.listen(&[(&one, 2), (&two, 2)]).unwrap();
    assert!(connects(&one) && connects(&two));
    link.listen(&[(&two, 2)]).unwrap();
    assert!(!connects(&one) && connects(&two));
    assert_eq!(rig.greet().1.addresses.len(), 1);
}

#[test]
fn one_address_that_is_taken_leaves_everything_as_it_was() {
    let rig = Rig::start();
    let mut link = rig.link();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = taken.local_addr().unwrap().to_string();
    let (held, fresh) = (free(), free());
    link.listen(&[(&held, 2)]).unwrap();
    let problems = link.listen(&[(&fresh, 2), (&busy, 2), ("nonsense", 2)]).unwrap_err();
    let told: Vec<_> = problems.iter().map(|problem| (problem.place.as_str(), problem.errno)).collect();
    assert_eq!(told, [(busy.as_str(), Some(libc::EADDRINUSE)), ("nonsense", None)]);
    assert!(connects(&held) && !connects(&fresh));
}

#[test]
fn a_port_is_not_shared_with_a_stranger_who_would_share_it() {
    let rig = Rig::start();
    let mut link = rig.link();
    let address = free();
    let stranger = shared_listener(&address);
    assert_eq!(link.listen(&[(&address, 2)]).unwrap_err()[0].errno, Some(libc::EADDRINUSE));
    drop(stranger);
    link.listen(&[(&address, 2)]).unwrap();
}

#[test]
fn an_address_can_be_narrowed_to_one_host_and_widened_again() {
    let rig = Rig::start();
    let mut link = rig.link();
    let port = free().rsplit_once(':').unwrap().1.to_owned();
    let (every, one) = (format!("0.0.0.0:{port}"), format!("127.0.0.1:{port}"));
    link.listen(&[(&every, 2)]).unwrap();
    link.listen(&[(&one, 2)]).unwrap();
    link.listen(&[(&every, 2), (&one, 2)]).unwrap();
    link.listen(&[(&every, 2)]).unwrap();
    assert!(connects(&one));
}

#[test]
fn both_families_can_have_the_same_port() {
    let rig = Rig::start();
    if TcpListener::bind("[::1]:0").is_err() {
        return; // Without IPv6 there is nothing to see.
    }
    let port = free().rsplit_once(':').unwrap().1.to_owned();
    rig.link().listen(&[(&format!("0.0.0.0:{port}"), 2), (&format!("[::]:{port}"), 2)]).unwrap();
    assert!(connects(&format!("[::1]:{port}")));
}

#[test]
fn an_address_that_makes_no_sense_is_refused_with_a_reason() {
    let rig = Rig::start();
    let mut link = rig.link();
    let address = free();
    for (wanted, what) in [
        (vec![("127.0.0.1:0", 1)], "port 0"),
        (vec![(address.as_str(), 0)], "sockets must be"),
        (vec![(address.as_str(), 254)], "sockets must be"),
        (vec![(address.as_str(), 1), (address.as_str(), 1)], "twice"),
        (vec![("192.0.2.1:8080", 1)], "no address of this machine"),
        (vec![("unix:relative", 1)], "must begin with /"),
    ] {
        let problems = link.listen(&wanted).unwrap_err();
        assert!(problems[0].what.contains(what), "{problems:?}");
    }
}

#[test]
fn a_unix_socket_replaces_a_stale_one_and_goes_when_it_is_not_wanted() {
    let rig = Rig::start();
    let mut link = rig.link();
    let path = rig.path("web.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "stale");
    link.listen(&[(&format!("unix:{}", path.display()), 2)]).unwrap();
    assert!(UnixStream::connect(&path).is_ok());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    link.listen(&[]).unwrap();
    assert!(!path.exists());
}

#[test]
fn a_unix_socket_somebody_listens_on_and_a_file_are_left_alone() {
    let rig = Rig::start();
    let mut link = rig.link();
    let (path, file) = (rig.path("web.sock"), rig.path("file"));
    let stranger = UnixListener::bind(&path).unwrap();
    fs::write(&file, "kept").unwrap();
    for taken in [&path, &file] {
        let problems = link.listen(&[(&format!("unix:{}", taken.display()), 2)]).unwrap_err();
        assert_eq!(problems[0].errno, Some(libc::EADDRINUSE));
    }
    assert!(UnixStream::connect(&path).is_ok());
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    drop(stranger);
}

#[test]
fn connections_wait_while_nobody_accepts() {
    let rig = Rig::start();
    let mut link = rig.link();
    let address = free();
    link.listen(&[(&address, 1)]).unwrap();
    let waiting: Vec<_> = (0..200).map(|_| TcpStream::connect(&address).unwrap()).collect();
    assert_eq!(waiting.len(), 200);
}
