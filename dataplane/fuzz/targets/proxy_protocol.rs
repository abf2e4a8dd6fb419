//! Fuzzes headers of the PROXY protocol; see `pinfold_fuzz::proxy_protocol`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pinfold_fuzz::proxy_protocol::check(bytes));
