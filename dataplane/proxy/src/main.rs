//! pinfold-proxy.
fn main() {}
