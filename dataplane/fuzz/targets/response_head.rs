//! Fuzzes heads of answers; see `pinfold_fuzz::response_head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pinfold_fuzz::response_head::check(bytes));
