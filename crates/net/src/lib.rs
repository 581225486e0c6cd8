//! Every socket of Stentor: listeners, TLS, HTTP, and the one loop that moves bytes between a
//! socket and a protocol's session.
//!
//! Start with [`head`]: what a protocol must provide. Then [`drive`]: the loop.
//!
//! | module | what it holds |
//! |---|---|
//! | [`head`] | the contract: `Head`, `Session`, `Next`, `Lane`, `Close` |
//! | [`holders`] | who gives way when memory is short |
//! | [`output`] | what waits to be written: copied, shared, file ranges |
//! | [`peer`] | who is at the other end |
//! | [`testing`] | scripts of bytes against a session, without a socket |

pub mod config;
pub mod drive;
pub mod error;
pub mod head;
pub mod holders;
pub mod http;
mod linger;
pub mod listen;
mod metrics;
pub mod output;
pub mod peer;
pub mod socket;
pub mod testing;
pub mod tls;

pub use config::{Config, Limits, Listen, TlsConfig};
pub use drive::{Drain, DrainSwitch, Shared, drive};
pub use error::Error;
pub use head::{Close, Head, Lane, Next, Session};
pub use holders::Holders;
pub use listen::{Listener, Net, Parts};
pub use metrics::Metrics;
pub use output::{Hole, Output};
pub use peer::{Peer, TlsInfo};
