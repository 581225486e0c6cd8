//! A server that is not on this machine, so to speak: what it says takes a while to arrive.
//!
//! librdkafka reports a certificate that it refuses as `_SSL`, but as `_TRANSPORT` when the server's
//! answer is there before its first call of `SSL_connect` has ended. Its test of that accepts `_SSL`
//! only, so a server that answers within microseconds fails it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// How long what the server says is under way.
const DELAY: Duration = Duration::from_millis(3);

/// Takes connections at `listener` and passes them on, until the process ends.
pub(super) fn pass_on(listener: TcpListener, server: SocketAddr) {
    thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(server)) = (client, TcpStream::connect(server)) else {
                continue;
            };
            let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || copy(client, server, Duration::ZERO));
            thread::spawn(move || copy(back.0, back.1, DELAY));
        }
    });
}

/// Passes on what comes from one side, and its end.
fn copy(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        if !delay.is_zero() {
            // Nobody unparks it: this is the way that the bytes have to go.
            thread::park_timeout(delay);
        }
        if to.write_all(&bytes[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
