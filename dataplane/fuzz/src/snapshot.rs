//! Snapshots: no JSON brings the proxy down, and the routes of what is one can be asked for any request.

use crate::frame::round;
use pinfold_core::routes;
use pinfold_wire::Snapshot;

/// Panics when a snapshot changes on its way round, or a route cannot bear a request.
pub fn check(bytes: &[u8]) {
    let Some(snapshot) = round!(Snapshot, bytes) else { return };
    for route in &snapshot.routes {
        let matches = &route.matches;
        let hosts = matches.hosts.iter().map(String::as_str).chain(["a", "*", "", ":", "[::1]:80", "\u{e4}.b"]);
        for host in hosts {
            for path in matches.paths.iter().map(String::as_str).chain(["/", "", "*", "/\u{e4}"]) {
                routes::holds(matches, host, path);
            }
        }
    }
}
