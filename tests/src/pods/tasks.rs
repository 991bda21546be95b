//! Tasks that pods run for tests on this machine.

use podpool::TaskContext;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::desk::CANCELLED;

/// Sends its name and its attempt to a desk, and waits there until the task is released or cancelled. Where the desk is
/// closed the task ends at once.
#[podpool::task]
pub async fn call_at(ctx: &TaskContext, desk: String, name: u32) -> u32 {
    let Ok(mut stream) = TcpStream::connect(&desk).await else {
        return name;
    };
    let words = u64::from(name) << 32 | u64::from(ctx.attempt().0);
    if stream.write_u64(words).await.is_ok() {
        tokio::select! {
            () = ctx.cancelled() => {
                stream.write_u8(CANCELLED).await.ok();
            }
            _ = stream.read_u8() => {}
        }
    }
    name
}

/// Returns a text in capitals.
#[podpool::task]
pub fn shout(text: String) -> String {
    text.to_ascii_uppercase()
}

/// Returns a text of so many bytes.
#[podpool::task]
pub fn lengthy(bytes: usize) -> String {
    "x".repeat(bytes)
}
