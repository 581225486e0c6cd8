//! What an operator sets about exchanges and bindings; section `[exchanges]`.

use base::ByteSize;
use serde::{Deserialize, Serialize};

/// Section `[exchanges]` of the configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How many namespaces there may be.
    pub namespaces_max: usize,
    /// How many exchanges a namespace may have.
    pub exchanges_max: usize,
    /// How many bindings a namespace may have. A binding of a topic exchange takes about 500 bytes
    /// of memory.
    pub bindings_max: usize,
    /// How many bytes the key and the arguments of a binding may have together.
    pub binding_bytes_max: ByteSize,
    /// How many policies a namespace may have.
    pub policies_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            namespaces_max: 1_000,
            exchanges_max: 10_000,
            bindings_max: 200_000,
            binding_bytes_max: ByteSize(16 << 10),
            policies_max: 1_000,
        }
    }
}
