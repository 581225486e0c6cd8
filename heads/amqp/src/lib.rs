//! AMQP 0-9-1, as RabbitMQ's unchanged clients speak it.
pub mod codec;
