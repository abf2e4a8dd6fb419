//! Fuzzes frames of the seam; see `pinfold_fuzz::frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pinfold_fuzz::frame::check(bytes));
