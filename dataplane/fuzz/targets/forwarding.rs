//! Fuzzes what endpoints are told of clients; see `pinfold_fuzz::forwarding`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pinfold_fuzz::forwarding::check(bytes));
