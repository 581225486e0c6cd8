//! The durable log.

pub mod batch;
