//! Fuzzes whole requests, as an endpoint would read what is sent on; see `pinfold_fuzz::differential`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pinfold_fuzz::differential::check(bytes));
