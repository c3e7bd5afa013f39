//! The process that has started this one, at the other end of standard error.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::net::RecvFlags;
use rustix::stdio::stderr;

use crate::engine::Orders;
use crate::{clock, shim};

/// What [`report::obey`](crate::engine::report::obey) is.
pub(crate) fn obey(orders: Arc<Orders>, grace: Duration) -> io::Result<()> {
    let wait = |flags, deadline| {
        let mut parent = [PollFd::from_borrowed_fd(stderr(), flags)];
        // Whatever goes wrong with it, it is no parent any more.
        shim::poll(&mut parent, deadline).map_or(PollFlags::HUP, |()| parent[0].revents())
    };
    let listen = move || {
        let dead = wait(PollFlags::IN, None).intersects(PollFlags::HUP | PollFlags::ERR);
        let deadline = clock::now() + grace;
        orders.retire();
        let mut said = [0];
        let told = rustix::net::recv(stderr(), &mut said, RecvFlags::DONTWAIT);
        if !matches!(told, Ok((1, _))) {
            std::thread::sleep(grace);
        } else if !dead {
            // Only that it is closed is told now, and that the parent is gone with it.
            wait(PollFlags::empty(), Some(deadline));
        }
        orders.abort();
    };
    std::thread::Builder::new().name("parent".into()).stack_size(64 << 10).spawn(listen).map(drop)
}
