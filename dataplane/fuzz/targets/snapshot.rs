//! Fuzzes snapshots; see `pinfold_fuzz::snapshot`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pinfold_fuzz::snapshot::check(bytes));
