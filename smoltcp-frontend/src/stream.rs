//! The client's side: a TCP connection, driven from outside. No call here waits.

use core::fmt;
use core::net::SocketAddr;
use core::task::Poll;
use core::time::Duration;

use smoltcp::socket::tcp::{ConnectError, RecvError, Socket, SocketBuffer, State};
use smoltcp::wire::IpEndpoint;

use crate::drive::{early_end, has_fin};
use crate::pool::prepare;
use crate::sockets::Handle;
use crate::stack::Stack;

/// A socket of a stack for connections that we make, one after the other.
///
/// Who has connected looks at it now and then. When both sides have ended, smoltcp keeps what was received for 10 s more (TIME-WAIT), and
/// whether that was an end: a stream that is read later is told to be reset.
#[derive(Debug)]
pub struct Stream {
    handle: Handle,
    /// The handshake was seen to be done.
    connected: bool,
    /// The peer's FIN was seen.
    fin: bool,
    /// We have shut down sending.
    shut: bool,
    /// The connection was reset, by the peer or by us. Sticky: no end that is seen later is one.
    failed: Option<StreamError>,
}

/// Why a stream is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError {
    /// The peer reset the connection before it was made: nobody listens there.
    Refused,
    /// The peer reset the connection, or it was given up.
    Reset,
    /// We have aborted it, or it was never made.
    NotConnected,
    /// Written after we had shut down.
    ShutDown,
}

/// Nobody listens there for longer than a moment in which nothing comes.
const ANY: u16 = 1;

impl Stream {
    /// A socket with these rings: as large as the windows are to be. `None`: the stack has no room for another.
    pub fn new<'a>(
        stack: &mut Stack<'a>,
        receive: &'a mut [u8],
        send: &'a mut [u8],
    ) -> Option<Self> {
        let mut socket = Socket::new(SocketBuffer::new(receive), SocketBuffer::new(send));
        prepare(&mut socket, None);
        let handle = stack.add(socket)?;
        let failed = Some(StreamError::NotConnected);
        Some(Self { handle, connected: false, fin: false, shut: false, failed })
    }

    /// Begins to connect, from `port` or, if that is 0, from one that the stack picks. What was left of an earlier connection is gone: a
    /// [`lingering`](Self::lingers) one is reset, and even that may not reach the peer.
    pub fn connect(
        &mut self,
        stack: &mut Stack<'_>,
        peer: SocketAddr,
        port: u16,
    ) -> Result<(), ConnectError> {
        let port = if port == 0 { stack.ephemeral_port() } else { port };
        let addressable = stack.source(peer.ip().into()).is_some();
        stack.want(peer.ip().into());
        self.handle = stack.renew(self.handle);
        let socket = stack.sockets.get_mut::<Socket<'_>>(self.handle);
        socket.abort();
        if !addressable {
            return Err(ConnectError::Unaddressable);
        }
        socket.connect(stack.interface.context(), IpEndpoint::from(peer), port)?;
        (self.connected, self.fin, self.shut, self.failed) = (false, false, false, None);
        Ok(())
    }

    /// Asks a silent peer after so long whether it is still there, and gives it up when it has been silent four times as long. `None`, as at
    /// first: whoever waits must know for how long.
    pub fn set_keep_alive(&mut self, stack: &mut Stack<'_>, keep_alive: Option<Duration>) {
        prepare(stack.sockets.get_mut(self.handle), keep_alive);
    }

    /// Whether the handshake is done.
    pub fn connected(&mut self, stack: &mut Stack<'_>) -> Poll<Result<(), StreamError>> {
        self.look(stack);
        match self.failed {
            Some(error) => Poll::Ready(Err(error)),
            None if self.connected => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    }

    /// Reads what has come; 0 is the end of the stream.
    pub fn read(
        &mut self,
        stack: &mut Stack<'_>,
        buf: &mut [u8],
    ) -> Poll<Result<usize, StreamError>> {
        let ready = self.readable(stack);
        ready.map(|ready| {
            ready?;
            let socket = stack.sockets.get_mut::<Socket<'_>>(self.handle);
            Ok(socket.recv_slice(buf).unwrap_or(0))
        })
    }

    /// Whether a read would not wait.
    pub fn readable(&mut self, stack: &mut Stack<'_>) -> Poll<Result<(), StreamError>> {
        let socket = self.look(stack);
        let ready = socket.can_recv();
        match self.failed {
            Some(error) => Poll::Ready(Err(error)),
            None if ready || self.fin => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    }

    /// Writes as much as there is room for.
    pub fn write(
        &mut self,
        stack: &mut Stack<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, StreamError>> {
        let ready = self.writable(stack);
        ready.map(|ready| {
            ready?;
            let socket = stack.sockets.get_mut::<Socket<'_>>(self.handle);
            Ok(socket.send_slice(bytes).unwrap_or(0))
        })
    }

    /// Whether a write would not wait.
    pub fn writable(&mut self, stack: &mut Stack<'_>) -> Poll<Result<(), StreamError>> {
        let socket = self.look(stack);
        let ready = socket.can_send();
        match self.failed {
            Some(error) => Poll::Ready(Err(error)),
            None if self.shut => Poll::Ready(Err(StreamError::ShutDown)),
            None if ready => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    }

    /// Ends our side of the stream, behind what was written. Of a connection that is gone there is nothing to end. If the peer has ended its
    /// side before, our end goes out when the stream is next looked at with nothing left to send: ask whether it
    /// [lingers](Self::lingers) until it does not.
    pub fn shutdown(&mut self, stack: &mut Stack<'_>) -> Result<(), StreamError> {
        let socket = self.look(stack);
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.shut = true;
        end(socket);
        Ok(())
    }

    /// Resets the connection. If the peer has not answered yet there is none, and nothing to reset: a neighbour that is not there would be
    /// looked for again and again, and no other in the meantime.
    pub fn abort(&mut self, stack: &mut Stack<'_>) {
        let socket = self.look(stack);
        let asked = socket.state() == State::SynSent;
        socket.abort();
        if asked && socket.listen(ANY).is_ok() {
            // Listening has made it forget whom the reset would go to.
            socket.close();
        }
        self.failed.get_or_insert(StreamError::NotConnected);
    }

    /// Bytes written that the peer has not acknowledged.
    pub fn unsent(&self, stack: &Stack<'_>) -> usize {
        stack.sockets.get::<Socket<'_>>(self.handle).send_queue()
    }

    /// Whether something is still owed to the peer: data, FIN, RST, or the ACK of its FIN. Whoever stops polling now loses it.
    pub fn lingers(&mut self, stack: &mut Stack<'_>) -> bool {
        let socket = self.look(stack);
        match socket.state() {
            State::Closed => socket.remote_endpoint().is_some(),
            State::FinWait2 | State::TimeWait => false,
            _ => true,
        }
    }

    /// Our end and the peer's, while there is a connection.
    pub fn endpoints(&self, stack: &Stack<'_>) -> Option<(SocketAddr, SocketAddr)> {
        let socket = stack.sockets.get::<Socket<'_>>(self.handle);
        Some((socket.local_endpoint()?.into(), socket.remote_endpoint()?.into()))
    }

    /// smoltcp's own state, for those who test.
    pub fn state(&self, stack: &Stack<'_>) -> State {
        stack.sockets.get::<Socket<'_>>(self.handle).state()
    }

    /// Why there is no connection any longer.
    fn lost(&self) -> StreamError {
        if self.connected { StreamError::Reset } else { StreamError::Refused }
    }

    /// Sees what the network has done.
    fn look<'s, 'a>(&mut self, stack: &'s mut Stack<'a>) -> &'s mut Socket<'a> {
        let socket = stack.sockets.get_mut::<Socket<'_>>(self.handle);
        match socket.state() {
            // Nothing of ours was lost: what came before the reset counts, and so does an end that did. (A peer that has
            // forgotten the connection answers our second ACK of its FIN with a reset.)
            State::Closed if self.shut && socket.send_queue() == 0 && self.failed.is_none() => {
                if socket.recv_queue() == 0 && !self.fin {
                    match socket.recv(|_| (0, ())) {
                        Err(RecvError::Finished) => self.fin = true,
                        _ => self.failed = Some(self.lost()),
                    }
                }
            }
            State::Closed => self.failed = Some(self.failed.unwrap_or(self.lost())),
            State::SynSent | State::SynReceived | State::Listen => {}
            state => {
                self.connected = true;
                self.fin |= has_fin(state);
                if self.shut {
                    end(socket);
                }
            }
        }
        socket
    }
}

/// Ends our side, unless that has to [wait](early_end).
fn end(socket: &mut Socket<'_>) {
    if !early_end(socket) {
        socket.close();
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused",
            Self::Reset => "connection reset",
            Self::NotConnected => "not connected",
            Self::ShutDown => "our side of the stream is shut down",
        })
    }
}

impl core::error::Error for StreamError {}

impl embedded_io::Error for StreamError {
    fn kind(&self) -> embedded_io::ErrorKind {
        match self {
            Self::Refused => embedded_io::ErrorKind::ConnectionRefused,
            Self::Reset => embedded_io::ErrorKind::ConnectionReset,
            Self::NotConnected => embedded_io::ErrorKind::NotConnected,
            Self::ShutDown => embedded_io::ErrorKind::BrokenPipe,
        }
    }
}
