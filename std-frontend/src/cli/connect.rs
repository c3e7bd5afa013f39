//! `connect`: what is typed goes out, what comes back is shown, both at once.
//!
//! Neither direction waits for the other: we wait for the wire and for standard input together, read input only when the last
//! piece of it is out, and the wire whenever there is something.

use std::io::{self, IsTerminal};

use anyhow::anyhow;
use anywire_core::blocking::Interest;

use crate::cli::failure::{Failure, say};
use crate::cli::network::{HostWire, Network, in_words};
use crate::cli::options::Connect;
use crate::console::output::Output;
use crate::os::{self, BorrowedFd};

/// So much is read at once, from either side.
const PIECE: usize = 256 << 10;

pub(super) fn run<N: Network>(options: N::Options, args: Connect) -> Result<(), Failure> {
    let mut network = N::open(options)?;
    let (wire, peer) = network.connect(&args.host, args.port, args.timeout)?;
    let input = match args.send {
        Some(text) => Input { piece: text, sent: 0, from: None },
        None => Input {
            piece: Vec::new(),
            sent: 0,
            from: Some(os::stdin().map_err(anyhow::Error::from)?),
        },
    };
    // A person need not press Ctrl-D when the peer has gone; what is piped in is sent to its end.
    let person = input.from.is_some() && io::stdin().is_terminal();
    if person && io::stderr().is_terminal() {
        say(N::PROGRAM, format_args!("connected to {peer}; Ctrl-D ends your side, Ctrl-C leaves"));
    }
    let mut talk = Talk {
        wire,
        input,
        shut: false,
        peer_ended: false,
        received: vec![0; PIECE],
        output: Output::stdout(),
    };
    let server = format!("{} port {}", args.host, args.port);
    let over = talk.run(person);
    // What comes next, a message or a prompt, begins a line.
    talk.output.end_line();
    let over = over.map_err(|broken| match broken {
        Broken::Wire(error) => anyhow!("the connection to {server} failed: {error}").into(),
        Broken::Input(error) => anyhow!("cannot read from standard input: {error}").into(),
        Broken::Output(error) => Failure::Output(error),
    })?;
    if over == Over::Left {
        say(N::PROGRAM, format_args!("{server} has ended the connection"));
    }
    talk.wire.close(args.timeout);
    Ok(())
}

/// A connection, and whoever talks over it.
struct Talk<W> {
    wire: W,
    input: Input,
    /// Our side of the stream has ended.
    shut: bool,
    /// The peer's side has.
    peer_ended: bool,
    received: Vec<u8>,
    output: Output,
}

/// What is to be sent.
struct Input {
    /// What was read last. Invariant: `sent <= piece.len()`.
    piece: Vec<u8>,
    sent: usize,
    /// Where more comes from, until that has ended.
    from: Option<BorrowedFd<'static>>,
}

/// How it ended in good order.
#[derive(PartialEq, Eq)]
enum Over {
    /// Both sides have ended.
    Ended,
    /// The peer has, and we need not.
    Left,
}

/// What failed.
enum Broken {
    Wire(String),
    Input(io::Error),
    Output(io::Error),
}

impl<W: HostWire> Talk<W> {
    /// Goes on until both sides have ended; if `leave`, until the peer has.
    fn run(&mut self, leave: bool) -> Result<Over, Broken> {
        while !(self.shut && self.peer_ended) {
            if self.peer_ended && leave {
                return Ok(Over::Left);
            }
            self.turn()?;
        }
        Ok(Over::Ended)
    }

    /// Waits until something can move, and moves it.
    fn turn(&mut self) -> Result<(), Broken> {
        let wire = |error: W::Error| Broken::Wire(in_words(&error));
        let left = self.input.sent < self.input.piece.len();
        if !left && self.input.from.is_none() && !self.shut {
            self.wire.shutdown().map_err(wire)?;
            self.shut = true;
            return Ok(());
        }
        let interest = match (self.peer_ended, left) {
            (false, true) => Some(Interest::Both),
            (false, false) => Some(Interest::Read),
            (true, true) => Some(Interest::Write),
            (true, false) => None,
        };
        let also = self.input.from.filter(|_| !left);
        let (ready, readable) = self.wire.wait_also(interest, also, None).map_err(wire)?;
        if ready.read && !self.peer_ended {
            self.receive()?;
        }
        if ready.write && left {
            let piece = self.input.piece.get(self.input.sent..).unwrap_or_default();
            self.input.sent += self.wire.write(piece).map_err(wire)?;
        }
        if readable {
            self.input.read().map_err(Broken::Input)?;
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(), Broken> {
        let len =
            self.wire.read(&mut self.received).map_err(|error| Broken::Wire(in_words(&error)))?;
        if len == 0 {
            self.peer_ended = true;
            self.output.end_stream();
        }
        self.output.stream(self.received.get(..len).unwrap_or_default());
        self.output.check().map_err(Broken::Output)
    }
}

impl Input {
    /// Reads the next piece; it is there.
    fn read(&mut self) -> io::Result<()> {
        self.piece.resize(PIECE, 0);
        let len = match os::read_stdin(&mut self.piece) {
            Ok(0) => {
                self.from = None;
                0
            }
            Ok(len) => len,
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => 0,
                _ => {
                    self.piece.clear();
                    return Err(error);
                }
            },
        };
        self.piece.truncate(len);
        self.sent = 0;
        Ok(())
    }
}
