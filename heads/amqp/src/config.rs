//! Section `[amqp]`, but for what every listener has (`net::Config`).

use base::{ByteSize, Millis};
use serde::{Deserialize, Serialize};

/// What the AMQP head does beyond listening.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A user who may come in without having been made, with all rights. Empty: none. Once a user
    /// of this name is made, only that one counts; when it is deleted, this one is back.
    pub default_user: String,
    /// That user's password.
    pub default_password: String,
    /// Whether that user may come in from this machine only.
    pub default_user_loopback_only: bool,
    /// What clients are told this product is. Some behave otherwise for `RabbitMQ`.
    pub product: String,
    /// The largest frame that is offered to clients, at least 4096 bytes.
    pub frame_bytes_max: ByteSize,
    /// The largest frame before the client has named one.
    pub opening_frame_bytes_max: ByteSize,
    /// How many channels a connection may have.
    pub channels_max: u16,
    /// The heartbeat that is offered to clients, in whole seconds; `0` for none.
    pub heartbeat: Millis,
    /// The largest message.
    pub message_bytes_max: ByteSize,
    /// What the contents that a connection has begun to send, and what its transactions hold
    /// back, may have in bytes.
    pub unfinished_bytes_max: ByteSize,
    /// How many deliveries a consumer without a prefetch may have unacknowledged.
    pub unacknowledged_max: u32,
    /// How many consumers a channel may have.
    pub consumers_per_channel_max: usize,
    /// How many answers may wait for the consumer of a direct reply that does not read; more are
    /// dropped.
    pub direct_replies_max: usize,
    /// How many bytes they may have; one that is larger waits alone.
    pub direct_replies_bytes_max: ByteSize,
    /// How long publishing is held back before a client that asked for it is told.
    pub blocked_after: Millis,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            default_user: "guest".to_owned(),
            default_password: "guest".to_owned(),
            default_user_loopback_only: true,
            product: "Stentor".to_owned(),
            frame_bytes_max: ByteSize(128 << 10),
            opening_frame_bytes_max: ByteSize(8 << 10),
            channels_max: 2047,
            heartbeat: Millis(60_000),
            message_bytes_max: ByteSize(16 << 20),
            unfinished_bytes_max: ByteSize(64 << 20),
            unacknowledged_max: 250_000,
            consumers_per_channel_max: 4096,
            direct_replies_max: 1000,
            direct_replies_bytes_max: ByteSize(16 << 20),
            blocked_after: Millis(1000),
        }
    }
}

/// The smallest frame that a client may ask for; the specification's.
pub(crate) const FRAME_MIN: u32 = 4096;
/// The largest `message_bytes_max`.
const MESSAGE_MAX: ByteSize = ByteSize(512 << 20);

impl Config {
    /// Checks what a single value's type cannot say.
    ///
    /// # Errors
    /// What is wrong, for the operator.
    pub fn validate(&self) -> Result<(), String> {
        let frames = [
            ("amqp.frame_bytes_max", self.frame_bytes_max),
            ("amqp.opening_frame_bytes_max", self.opening_frame_bytes_max),
        ];
        for (key, size) in frames {
            if size.0 < u64::from(FRAME_MIN) || size.0 > u64::from(u32::MAX) {
                return Err(format!(
                    "{key} = {size} is not between {FRAME_MIN}B and 4GiB"
                ));
            }
        }
        if self.message_bytes_max > MESSAGE_MAX {
            return Err(format!(
                "amqp.message_bytes_max = {} is over {MESSAGE_MAX}",
                self.message_bytes_max
            ));
        }
        if self.channels_max == 0 {
            return Err("amqp.channels_max = 0: at least one".to_owned());
        }
        if self.unacknowledged_max == 0 {
            return Err("amqp.unacknowledged_max = 0: at least one".to_owned());
        }
        if self.heartbeat.0 > 65_535_000 {
            return Err(format!(
                "amqp.heartbeat = {} is over 65535s",
                self.heartbeat
            ));
        }
        Ok(())
    }

    /// The heartbeat that is offered, in seconds.
    pub(crate) fn heartbeat_seconds(&self) -> u16 {
        u16::try_from(self.heartbeat.0 / 1000).unwrap_or(u16::MAX)
    }

    /// The largest frame that is offered.
    pub(crate) fn frame_max(&self) -> u32 {
        u32::try_from(self.frame_bytes_max.0).unwrap_or(u32::MAX)
    }
}
