//! The proxy's own log: lines on standard error, which the shim stamps and writes to `proxy.log`.

use std::fmt;
use std::io::Write;

/// Say something an operator should know. A log that cannot be written is no reason to stop.
pub fn note(text: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "pinfold-proxy: {text}");
}
