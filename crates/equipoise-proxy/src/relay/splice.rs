//! Passes bytes between two sockets inside the kernel.

use std::task::Poll;

use tokio::net::TcpStream;

use super::{
    flow::{Broken, Flow, Turn},
    pipe::is_unsupported,
};

/// A flow is copied again after so many small transfers in a row.
const MAX_SMALL: u32 = 16;
const SMALL: usize = 16 * 1024;

impl Flow {
    /// Passes bytes on until the sender ends its direction, or the flow is no longer bulk.
    pub(super) fn poll_splice(
        &mut self,
        turn: &mut Turn<'_, '_>,
        from: &TcpStream,
        to: &TcpStream,
    ) -> Poll<Result<(), Broken>> {
        let Some(mut pipe) = self.spliced.take_pipe() else { return self.give_up() };
        let began = turn.moved();
        let polled = loop {
            if pipe.filled > 0 {
                match pipe.poll_empty(turn.cx, to) {
                    Poll::Ready(Ok(count)) => self.on_written(turn, count),
                    unfinished => break unfinished.map(|result| result.map(drop).map_err(Broken::Write)),
                }
                continue;
            }
            if turn.is_over(began) {
                break Poll::Pending;
            }
            if self.spliced.small >= MAX_SMALL {
                pipe.give_back();
                return self.give_up();
            }
            match pipe.poll_fill(turn.cx, from) {
                Poll::Ready(Ok(0)) => {
                    self.end();
                    break Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(count)) => {
                    self.on_read(turn, count);
                    self.spliced.small = if count < SMALL { self.spliced.small + 1 } else { 0 };
                }
                // Nothing was moved, so that the bytes can be copied.
                Poll::Ready(Err(error)) if is_unsupported(&error) => {
                    self.spliced.is_unsupported = true;
                    pipe.give_back();
                    return self.give_up();
                }
                unfinished => break unfinished.map(|result| result.map(drop).map_err(Broken::Read)),
            }
        };
        if pipe.filled > 0 {
            self.spliced.pipe = Some(pipe);
        } else {
            pipe.give_back();
        }
        polled
    }

    /// Leaves the pipe for a time: the flow is copied.
    fn give_up(&mut self) -> Poll<Result<(), Broken>> {
        self.spliced.small = 0;
        self.leave_bulk();
        Poll::Ready(Ok(()))
    }
}
