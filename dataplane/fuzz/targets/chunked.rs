//! Fuzzes chunked bodies; see `pinfold_fuzz::chunked`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pinfold_fuzz::chunked::check(bytes));
