//! A connection of the daemon: frames in, frames out, both bounded. The newest connection is the one that counts.
use crate::say;
use pinfold_wire::shim::{FromShim, ToShim};
use pinfold_wire::{decode, encode, take_frame};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// Messages that may wait for a daemon that does not read; then it is let go.
const WAITING_MOST: usize = 4096;

/// Where messages to the daemon of one connection go.
pub type Outbox = mpsc::Sender<FromShim>;

/// Takes a connection of the own user (or root); its messages go to `inbox` under `number`.
///
/// # Errors
/// The peer is somebody else.
pub fn accept(stream: UnixStream, number: u64, inbox: mpsc::Sender<(u64, ToShim)>) -> io::Result<Outbox> {
    let peer = stream.peer_cred()?.uid();
    // SAFETY: a system call without arguments.
    let own = unsafe { libc::geteuid() };
    if peer != own && peer != 0 {
        return Err(io::Error::other(format!("refused a connection of user {peer}")));
    }
    let (reader, writer) = stream.into_split();
    let (outbox, messages) = mpsc::channel(WAITING_MOST);
    tokio::spawn(async move {
        if let Err(error) = read(reader, number, inbox).await {
            say(&format!("connection {number} closed: {error}"));
        }
    });
    tokio::spawn(write(writer, messages));
    Ok(outbox)
}

async fn read(mut reader: OwnedReadHalf, number: u64, inbox: mpsc::Sender<(u64, ToShim)>) -> io::Result<()> {
    let mut buffer = Vec::new();
    while reader.read_buf(&mut buffer).await? > 0 {
        let mut used = 0;
        while let Some((json, length)) = take_frame(buffer.get(used..).unwrap_or_default()).map_err(io::Error::other)? {
            let message = decode(json).map_err(io::Error::other)?;
            used += length;
            if inbox.send((number, message)).await.is_err() {
                return Ok(());
            }
        }
        buffer.drain(..used);
    }
    Ok(())
}

async fn write(mut writer: OwnedWriteHalf, mut messages: mpsc::Receiver<FromShim>) {
    while let Some(message) = messages.recv().await {
        let Ok(frame) = encode(&message) else { continue };
        if writer.write_all(&frame).await.is_err() {
            return;
        }
    }
}
