//! Fuzzes heads of requests; see `pinfold_fuzz::request_head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pinfold_fuzz::request_head::check(bytes));
