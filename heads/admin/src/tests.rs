//! The head over a real engine and a socket, asked as a script asks it.

mod exchanges;
mod harness;
mod queues;
