//! What is to become of conversations that run by themselves, in threads or in a process.

use std::io;
use std::sync::{Mutex, PoisonError};

use anywire_core::blocking::Told;

use crate::os::{AsFd as _, BorrowedFd, PipeReader, PipeWriter, pipe};

/// Tells any number of conversations to retire, and to abort: whoever waits in the kernel wakes up.
#[derive(Debug)]
pub struct Orders {
    retire: Order,
    abort: Order,
}

/// An order is given by closing the writing end of a pipe: its reading end is ready from then on, for everybody.
#[derive(Debug)]
struct Order {
    given: PipeReader,
    give: Mutex<Option<PipeWriter>>,
}

impl Order {
    fn new() -> io::Result<Self> {
        let (given, give) = pipe()?;
        Ok(Self { given, give: Some(give).into() })
    }

    fn give(&self) {
        drop(self.give.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn is_given(&self) -> bool {
        self.give.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

impl Orders {
    /// None are given yet.
    pub fn new() -> io::Result<Self> {
        Ok(Self { retire: Order::new()?, abort: Order::new()? })
    }

    /// What is idle ends, and everything else as soon as it is.
    pub fn retire(&self) {
        self.retire.give();
    }

    /// What is left is reset.
    pub fn abort(&self) {
        self.abort.give();
        self.retire.give();
    }

    /// What is to be told next to a conversation that was told `before`. One order after the other: though both were given at once,
    /// what is idle ends in good order.
    pub(crate) fn behind(&self, before: Told) -> Told {
        match () {
            () if before >= Told::Retire && self.abort.is_given() => Told::Abort,
            () if self.retire.is_given() => Told::Retire,
            () => Told::GoOn,
        }
    }

    /// What can be read as soon as more is ordered than `told`.
    pub(crate) fn more_than(&self, told: Told) -> Option<BorrowedFd<'_>> {
        match told {
            Told::GoOn => Some(self.retire.given.as_fd()),
            Told::Retire => Some(self.abort.given.as_fd()),
            Told::Abort => None,
        }
    }
}
