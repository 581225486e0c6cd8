//! Closing a socket so that the peer hears our last words.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// After our last words the peer's are read away for this long at most: closing a socket with
/// unread input resets it, and a reset can overtake the last words.
const LINGER_MAX: Duration = Duration::from_secs(1);
/// What the peer may still send meanwhile.
const LINGER_BYTES_MAX: usize = 4 << 20;

/// Reads away what the peer still sends, until it closes its side too. Our side is closed already.
pub(crate) async fn linger(socket: &mut (impl AsyncRead + Unpin)) {
    let read_away = async {
        let mut scratch = [0; 1024];
        let mut left = LINGER_BYTES_MAX;
        while let Ok(n @ 1..) = socket.read(&mut scratch).await {
            let Some(rest) = left.checked_sub(n) else {
                return;
            };
            left = rest;
        }
    };
    // Not in time: the peer does not care for what we said.
    let _ = timeout(LINGER_MAX, read_away).await;
}
