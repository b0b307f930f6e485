//! Connections of clients: accepted, bounded, and served.

mod activity;
mod followed;
mod listen;
mod serve;
mod socket;

pub(crate) use listen::listen;
