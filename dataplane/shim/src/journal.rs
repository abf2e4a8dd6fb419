//! What the shim has to say for itself, on standard error (the daemon points it at `shim.log`). Never secrets: no
//! arguments and no environment of a program.

use crate::{clock, stamp};
use std::fmt;
use std::io::{self, Write};

/// Write one stamped line. A failure is ignored: there is nowhere else to say it.
pub fn note(text: fmt::Arguments<'_>) {
    let mut line = Vec::with_capacity(128);
    stamp::append(clock::wall_ms(), &mut line);
    let _ = writeln!(line, " pinfold-shim {text}");
    let _ = io::stderr().write_all(&line);
}
