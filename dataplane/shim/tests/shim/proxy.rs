//! What a proxy is given. A few lines of Python stand in for it.

use crate::rig::{lines, text, until, Link, Rig};
use pinfold_wire::shim::{LogFile, Process, Role};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Tells what its descriptors are, then of each message on the link, and answers on its control socket.
const PROXY: &str = r#"
import array, os, selectors, socket, sys
print(sorted(int(fd) for fd in os.listdir('/proc/self/fd'))[:-1], flush=True)
control, link = socket.socket(fileno=3), socket.socket(fileno=4)
if os.path.exists('/proc/self/fd/5'): os.write(5, b'{"status":200}\n')
def told():
    text, rights, _, _ = link.recvmsg(65536, 4096)
    if not text: sys.exit(0)
    fds = array.array('i'); [fds.frombytes(part) for _, _, part in rights]
    names = [socket.socket(fileno=fd).getsockname() for fd in fds]
    print(text.decode(), len(fds), sorted(set(map(str, names))), flush=True)
def asked():
    peer, _ = control.accept(); peer.sendall(b'%d' % os.getpid()); peer.close()
ready = selectors.DefaultSelector()
ready.register(control, selectors.EVENT_READ, asked); ready.register(link, selectors.EVENT_READ, told)
while True:
    for key, _ in ready.select(): key.data()
"#;

fn proxy(rig: &Rig, key: &str) -> Process {
    let mut process = rig.process(key, &["python3", "-c", PROXY]);
    process.role = Role::Proxy;
    process.access_log =
        Some(LogFile { path: rig.path("access.log").to_str().unwrap().to_owned(), max_bytes: 0, keep: 0 });
    process
}

/// Lines of the proxy's own log, without stamps.
fn said(rig: &Rig, key: &str, count: usize) -> Vec<String> {
    lines(&rig.log(key), count).iter().map(|line| text(line).to_owned()).collect()
}

fn answer(path: &Path) -> i32 {
    let mut answer = String::new();
    let mut stream = UnixStream::connect(path).unwrap();
    stream.flush().unwrap();
    stream.read_to_string(&mut answer).unwrap();
    answer.parse().unwrap()
}

fn listen_on_two(rig: &Rig, link: &mut Link) -> (String, String) {
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let unix = format!("unix:{}", rig.path("web.sock").display());
    link.listen(&[(&tcp, 2), (&unix, 3)]).unwrap();
    (tcp, unix)
}

#[test]
fn a_proxy_has_its_control_socket_its_link_and_its_pipe() {
    let rig = Rig::start();
    let mut link = rig.link();
    let pid = link.spawn(proxy(&rig, "proxy-1"));
    assert_eq!(said(&rig, "proxy-1", 1), ["[0, 1, 2, 3, 4, 5]"]);
    assert_eq!(fs::read_to_string(rig.path("access.log")).unwrap_or_default().len() % 15, 0);
    assert_eq!(lines(&rig.path("access.log"), 1), ["{\"status\":200}"], "as it was written");
    assert_eq!(answer(&rig.path("proxy.sock")), pid);
    assert_eq!(fs::metadata(rig.path("proxy.sock")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_proxy_without_access_log_has_no_pipe() {
    let rig = Rig::start();
    let mut process = proxy(&rig, "proxy-1");
    process.access_log = None;
    rig.link().spawn(process);
    assert_eq!(said(&rig, "proxy-1", 1), ["[0, 1, 2, 3, 4]"]);
}

#[test]
fn sockets_come_over_the_link_those_there_are_and_those_to_come() {
    let rig = Rig::start();
    let mut link = rig.link();
    let (tcp, unix) = listen_on_two(&rig, &mut link);
    link.spawn(proxy(&rig, "proxy-1"));
    let (host, port) = tcp.split_once(':').unwrap();
    let both = |host: &str, port: &str| format!("[\"('{host}', {port})\"]");
    let mut found = said(&rig, "proxy-1", 3);
    assert_eq!(
        found.split_off(1),
        [
            format!("{{\"type\":\"sockets\",\"address\":\"{tcp}\",\"count\":2}} 2 {}", both(host, port)),
            format!("{{\"type\":\"sockets\",\"address\":\"{unix}\",\"count\":3}} 3 ['{}']", &unix[5..]),
        ]
    );
    let more = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    link.listen(&[(&tcp, 2), (&unix, 3), (&more, 1)]).unwrap();
    let found = said(&rig, "proxy-1", 4);
    assert!(found[3].contains(&more), "only the new one: {found:?}");
    link.listen(&[(&tcp, 2), (&unix, 3)]).unwrap();
    let found = said(&rig, "proxy-1", 5);
    assert_eq!(found[4], format!("{{\"type\":\"sockets\",\"address\":\"{more}\",\"count\":0}} 0 []"));
}

#[test]
fn the_next_proxy_gets_the_same_sockets() {
    let rig = Rig::start();
    let mut link = rig.link();
    let (tcp, _) = listen_on_two(&rig, &mut link);
    link.spawn(proxy(&rig, "proxy-1"));
    said(&rig, "proxy-1", 3);
    link.signal("proxy-1", libc::SIGKILL, pinfold_wire::shim::Scope::Process).unwrap();
    link.exit_of("proxy-1");
    let waiting = UnixStream::connect(rig.path("proxy.sock")).unwrap();
    std::net::TcpStream::connect(&tcp).unwrap();
    let pid = link.spawn(proxy(&rig, "proxy-2"));
    assert_eq!(said(&rig, "proxy-2", 3).len(), 3);
    assert_eq!(answer(&rig.path("proxy.sock")), pid);
    drop(waiting);
}

#[test]
fn a_proxy_that_hangs_up_its_link_is_not_written_to() {
    let rig = Rig::start();
    let mut link = rig.link();
    let mut process = rig.process("proxy-1", &["/bin/sh", "-c", "exec 4<&-; echo closed; exec sleep 600"]);
    process.role = Role::Proxy;
    link.spawn(process);
    assert_eq!(said(&rig, "proxy-1", 1), ["closed"]);
    listen_on_two(&rig, &mut link);
    link.kill_tree("proxy-1");
}

#[test]
fn a_proxy_that_reads_nothing_holds_nobody_up() {
    let rig = Rig::start();
    let mut link = rig.link();
    let mut process = rig.process("proxy-1", &["sleep", "600"]);
    process.role = Role::Proxy;
    link.spawn(process);
    for number in 0..300 {
        let path = format!("unix:{}", rig.path(&format!("{number}.sock")).display());
        link.listen(&[(&path, 100)]).unwrap();
    }
    link.listen(&[]).unwrap();
    until("nothing is left", || {
        let left = fs::read_dir(&rig.directory)
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().ends_with("9.sock"));
        (left.count() == 0).then_some(())
    });
}
