//! Each message has one golden vector; decoding and encoding it again gives the same bytes (the Python side does the same).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A test may fail where it stands.
use pinfold_wire::proxy::{FromProxy, ToProxy, ToProxyLink};
use pinfold_wire::shim::{FromShim, ToShim};
use pinfold_wire::{decode, encode, Named, HEADER_BYTES};
use serde::{de::DeserializeOwned, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol/vectors/v1").join(name)
}

fn agrees<M: Named + DeserializeOwned + Serialize>(name: &str) {
    let found: BTreeSet<String> = std::fs::read_dir(folder(name))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let wanted: BTreeSet<String> = M::NAMES.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(found, wanted, "one vector for each message of {name}");
    for message in wanted {
        let text = std::fs::read(folder(name).join(format!("{message}.json"))).unwrap();
        let json = text.strip_suffix(b"\n").unwrap();
        let decoded: M = decode(json).unwrap_or_else(|error| panic!("{name}/{message}: {error}"));
        let frame = encode(&decoded).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&frame[HEADER_BYTES..]),
            String::from_utf8_lossy(json),
            "{name}/{message} encodes to the bytes it was decoded from"
        );
    }
}

#[test]
fn every_message_to_the_proxy_agrees_with_its_vector() {
    agrees::<ToProxy>("to_proxy");
}

#[test]
fn every_message_from_the_proxy_agrees_with_its_vector() {
    agrees::<FromProxy>("from_proxy");
}

#[test]
fn every_message_of_the_link_agrees_with_its_vector() {
    agrees::<ToProxyLink>("to_proxy_link");
}

#[test]
fn every_message_to_the_shim_agrees_with_its_vector() {
    agrees::<ToShim>("to_shim");
}

#[test]
fn every_message_from_the_shim_agrees_with_its_vector() {
    agrees::<FromShim>("from_shim");
}
