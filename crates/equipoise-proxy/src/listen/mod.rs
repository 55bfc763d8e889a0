//! Listeners: what accepts connections for a [`Server`](crate::server::Server), and for every other server of this crate.
//!
//! A [`Listener`] returns connections with what is known about their clients. [`Tcp`], and tokio's `TcpListener` and
//! `UnixListener`, accept them from the operating system. Other listeners are layers around these, which exchange the
//! first bytes of a connection with the client: see [`Accepted`].

// Each feature uses another part of it, and all together use everything.
#![cfg_attr(not(feature = "full"), allow(dead_code, unused_imports))]

mod connections;
mod idle;
mod listener;
mod prefixed;
mod tcp;
mod wait;

pub(crate) use self::{
    connections::{Admission, Connections, Serve},
    idle::IdleConnections,
    listener::is_out_of_files,
    prefixed::read_more,
    wait::Signal,
};
pub use self::{
    listener::{Accepted, Established, Listener},
    prefixed::Prefixed,
    tcp::{Tcp, bind_shared},
};
