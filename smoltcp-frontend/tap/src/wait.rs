//! Sleeping until something happens.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anywire_core::instant::Instant;
use anywire_std::clock;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

/// Sleeps until `device` has a frame, until `also` can be read or has ended, or until `deadline`; says whether it was `also`.
pub(crate) fn wait(
    device: BorrowedFd<'_>,
    also: Option<BorrowedFd<'_>>,
    deadline: Option<Instant>,
) -> io::Result<bool> {
    let timeout = deadline.map(|deadline| Timespec::try_from(clock::until(deadline)));
    // What is too far away for the system's clock is never.
    let timeout = timeout.and_then(Result::ok);
    let of_device = PollFd::from_borrowed_fd(device, PollFlags::IN);
    let of_also = also.map(|also| PollFd::from_borrowed_fd(also, PollFlags::IN));
    let polled = match of_also {
        None => poll(&mut [of_device], timeout.as_ref()).map(|_| false),
        Some(of_also) => {
            let mut both = [of_device, of_also];
            poll(&mut both, timeout.as_ref()).map(|_| !both[1].revents().is_empty())
        }
    };
    match polled {
        Err(Errno::INTR) => Ok(false),
        polled => Ok(polled?),
    }
}

/// Wakes whoever waits for it, from any thread, now and for ever.
#[derive(Debug)]
pub(crate) struct Bell(OwnedFd);

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    pub(crate) fn ring(&self) {
        // It fails only when it has been rung 2^64 times.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
