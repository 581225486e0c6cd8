//! The head over a real engine, asked as an SDK asks it.

mod fifo;
mod harness;
mod messages;
mod moving;
mod queues;
mod visibility;
