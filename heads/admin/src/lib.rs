//! The HTTP API for people and scripts.
mod config;
pub use config::Config;
