//! `pinfold-proxy --describe`: what this build speaks and knows, as JSON, for tests and generated documentation.

use crate::respond;
use pinfold_core::failure::{Cause, Side};
use pinfold_wire::proxy::{FromProxy, ToProxy, ToProxyLink};
use pinfold_wire::{Named, PROTOCOL, VERSION};

/// The description.
pub fn json() -> String {
    let causes: Vec<String> = Cause::ALL.iter().map(|&cause| describe_cause(cause)).collect();
    format!(
        r#"{{"protocol":{PROTOCOL},"version":{VERSION:?},"messages":{{"to_proxy":{:?},"from_proxy":{:?},"to_proxy_link":{:?}}},"causes":[{}]}}"#,
        ToProxy::NAMES,
        FromProxy::NAMES,
        ToProxyLink::NAMES,
        causes.join(",")
    )
}

fn describe_cause(cause: Cause) -> String {
    let side = match cause.side() {
        Side::Client => "client",
        Side::Endpoint => "endpoint",
        Side::Proxy => "proxy",
    };
    format!(r#"{{"word":"{}","side":"{side}","status":{}}}"#, cause.word(), respond::status(cause))
}
