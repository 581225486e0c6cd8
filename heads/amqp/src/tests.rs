//! A server without sockets and clients that speak bytes to it.

mod clients;
mod closing;
mod confirms;
mod consuming;
mod entities;
mod harness;
mod life;
mod opening;
mod publishing;
