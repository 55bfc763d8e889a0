use std::time::Duration;

use equipoise_core::Timestamp;

/// What a server says of itself.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ServerLoad {
    /// Requests there, those waiting in line included.
    pub in_flight: u32,
    /// The part of its allocation that is in use; more than 1 where nobody else wants the machine.
    pub utilisation: f64,
}

/// Brings what servers say of themselves to strategies that live on it. All methods have defaults that do nothing.
///
/// The feed and the strategies share what they please: a feed writes loads where the pickers read them. Times are on the
/// run's clock, which the pools have too.
///
/// Three ways for a load to travel, none of which knows more than a real one would:
///
/// - **reports**: [`answered`](Self::answered) gets the load as it was when the answer left the server;
/// - **probes**: [`probes`](Self::probes) names whom to ask beside a request; each probe takes the network's time to the
///   server, which it costs no work, and back to [`probed`](Self::probed);
/// - **a board**: [`posted`](Self::posted) sees all loads once per [`period`](Self::period).
pub trait Feed {
    /// The client is about to send a request; adds the servers that it asks for their load.
    fn probes(&mut self, client: usize, now: Timestamp, ask: &mut Vec<usize>) {
        let _ = (client, now, ask);
    }

    /// A probe has come back.
    fn probed(&mut self, client: usize, server: usize, load: ServerLoad, now: Timestamp) {
        let _ = (client, server, load, now);
    }

    /// An answer has come back, with the load of the server that gave it.
    fn answered(&mut self, client: usize, server: usize, load: ServerLoad, now: Timestamp) {
        let _ = (client, server, load, now);
    }

    /// How often the board is filled; never by default. Asked when a run begins.
    fn period(&self) -> Option<Duration> {
        None
    }

    /// The loads of all servers, as they are.
    fn posted(&mut self, loads: &[ServerLoad], now: Timestamp) {
        let _ = (loads, now);
    }
}

/// Nobody listens.
pub(crate) struct Unfed;

impl Feed for Unfed {}
