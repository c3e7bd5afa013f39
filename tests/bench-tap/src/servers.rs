//! What the peers do: echo, source and sink, each as well as its stack lets it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use anywire_core::name::FileName;
use anywire_core::request::Refusal;
use anywire_core::service::echo::Echo;
use anywire_core::service::file::File;
use anywire_core::service::upload::Upload;
use anywire_core::store::Store;
use anywire_tap::link::Offload;
use anywire_tap::server::{Options, Server};
use anywire_tap::station::Station;
use mio::net::{TcpListener, TcpStream, UdpSocket};
use mio::{Events, Interest, Poll, Token};
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{Device, FaultInjector, Medium, TunTapInterface, wait};
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

use crate::load::{BULK, ECHO, SINK, SOURCE};
use crate::peer::Kind;

pub fn serve(name: &str) -> Result<()> {
    let sockets = std::env::var("SOCKETS")?.parse()?;
    match Kind::ALL.into_iter().find(|kind| kind.name() == name) {
        Some(Kind::Anywire) => anywire(sockets, Offload::On, false),
        Some(Kind::Plain) => anywire(sockets, Offload::Off, false),
        Some(Kind::Busy) => anywire(sockets, Offload::On, true),
        Some(Kind::Benchmark) => {
            let device = TunTapInterface::new("tap0", Medium::Ethernet)?;
            let fd = device.as_raw_fd();
            stock(FaultInjector::new(device, 1), fd, sockets)
        }
        Some(Kind::Stock) => {
            let device = TunTapInterface::new("tap0", Medium::Ethernet)?;
            let fd = device.as_raw_fd();
            stock(device, fd, sockets)
        }
        Some(Kind::Veth) => epoll(),
        None => bail!("there is no peer {name}"),
    }
}

/// A file without end and without bytes, and a place where files go to be forgotten: smoltcp's benchmark touches no byte either.
struct Nothing;

impl Store for Nothing {
    type Reader = ();
    type Writer = ();

    fn open(&mut self, _: FileName<'_>) -> Result<((), u64), Refusal> {
        Ok(((), u64::MAX))
    }

    fn read(&mut self, (): &mut (), buf: &mut [u8]) -> Result<usize, Refusal> {
        Ok(buf.len())
    }

    fn close(&mut self, (): ()) {}

    fn create(&mut self, _: FileName<'_>, _: bool) -> Result<(), Refusal> {
        Ok(())
    }

    fn write(&mut self, (): &mut (), bytes: &[u8]) -> Result<usize, Refusal> {
        Ok(bytes.len())
    }

    fn commit(&mut self, (): ()) -> Result<(), Refusal> {
        Ok(())
    }

    fn abandon(&mut self, (): ()) {}
}

fn anywire(sockets: usize, offload: Offload, busy_poll: bool) -> Result<()> {
    let mut station = Station::default();
    station.link.offload = offload;
    let options = Options { sockets, busy_poll, ..Options::default() };
    let mut server = Server::new(station, options, Nothing, Arc::new(()))?;
    server.bind_stream(Echo, format!("192.168.69.1:{ECHO}").parse()?)?;
    server.bind_datagram(Echo, format!("192.168.69.1:{ECHO}").parse()?)?;
    if sockets == BULK {
        server.bind_stream(File, format!("192.168.69.1:{SOURCE}").parse()?)?;
        server.bind_stream(Upload::default(), format!("192.168.69.1:{SINK}").parse()?)?;
    }
    println!("ready");
    server.run()
}

/// smoltcp's own way: one set of sockets, all looked at after each poll.
fn stock(mut device: impl Device, fd: i32, sockets: usize) -> Result<()> {
    let mut config = Config::new(EthernetAddress([2, 0, 0, 0, 0, 1]).into());
    config.random_seed = std::process::id().into();
    let mut interface = Interface::new(config, &mut device, Instant::now());
    interface.update_ip_addrs(|addresses| {
        let _ = addresses.push(IpCidr::new(IpAddress::v4(192, 168, 69, 1), 24));
    });
    let mut set = SocketSet::new(Vec::new());
    let ring = || tcp::SocketBuffer::new(vec![0; 65_535]);
    let mut socket = || set.add(tcp::Socket::new(ring(), ring()));
    let others = if sockets == BULK { BULK } else { 0 };
    let source: Vec<_> = (0..others).map(|_| socket()).collect();
    let sink: Vec<_> = (0..others).map(|_| socket()).collect();
    let echo: Vec<_> = (0..sockets).map(|_| socket()).collect();
    println!("ready");
    let mut buf = vec![0; 65_535];
    loop {
        let now = Instant::now();
        interface.poll(now, &mut device, &mut set);
        for handle in &source {
            let socket = listening(&mut set, *handle, SOURCE);
            while socket.can_send() {
                socket.send(|room| (room.len(), ()))?;
            }
        }
        for handle in &sink {
            let socket = listening(&mut set, *handle, SINK);
            while socket.can_recv() {
                socket.recv(|bytes| (bytes.len(), ()))?;
            }
        }
        for handle in &echo {
            let socket = listening(&mut set, *handle, ECHO);
            while socket.can_recv() && socket.can_send() {
                let room = (socket.send_capacity() - socket.send_queue()).min(buf.len());
                let n = socket.recv_slice(&mut buf[..room])?;
                socket.send_slice(&buf[..n])?;
            }
            if !socket.may_recv() && socket.may_send() && socket.recv_queue() == 0 {
                socket.close();
            }
        }
        let delay = interface.poll_delay(now, &set).unwrap_or(Duration::from_millis(1000));
        wait(fd, Some(delay))?;
    }
}

fn listening<'s>(
    set: &'s mut SocketSet<'static>,
    handle: smoltcp::iface::SocketHandle,
    port: u16,
) -> &'s mut tcp::Socket<'static> {
    let socket = set.get_mut::<tcp::Socket<'_>>(handle);
    if !socket.is_open() {
        // As FACTS has it: with Nagle's algorithm or delayed acknowledgements, echoes stall for a second.
        socket.set_nagle_enabled(false);
        let _ = socket.listen(port);
    }
    socket
}

/// Linux's: epoll, read and written at once, a buffer shared by all.
fn epoll() -> Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let ports = [ECHO, SOURCE, SINK];
    let mut listeners = Vec::new();
    for (at, port) in ports.into_iter().enumerate() {
        let mut listener = TcpListener::bind(([0, 0, 0, 0], port).into())?;
        poll.registry().register(&mut listener, Token(at), Interest::READABLE)?;
        listeners.push(listener);
    }
    let mut udp = UdpSocket::bind(([0, 0, 0, 0], ECHO).into())?;
    poll.registry().register(&mut udp, Token(3), Interest::READABLE)?;
    println!("ready");
    let mut streams: Vec<Option<(u16, TcpStream)>> = Vec::new();
    let mut buf = vec![0; 256 << 10];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token().0 {
                at @ 0..3 => {
                    while let Ok((mut stream, _)) = listeners[at].accept() {
                        stream.set_nodelay(true)?;
                        let source = ports[at] == SOURCE;
                        let interest = if source { Interest::WRITABLE } else { Interest::READABLE };
                        poll.registry().register(
                            &mut stream,
                            Token(4 + streams.len()),
                            interest,
                        )?;
                        streams.push(Some((ports[at], stream)));
                    }
                }
                3 => {
                    while let Ok((n, from)) = udp.recv_from(&mut buf) {
                        let _ = udp.send_to(&buf[..n], from);
                    }
                }
                at => {
                    let place = streams.get_mut(at - 4).context("it was registered")?;
                    let Some((port, stream)) = place else { continue };
                    let goes_on = match *port {
                        SOURCE => feed(stream, &buf),
                        SINK => drain(stream, &mut buf),
                        _ => echo(stream, &mut buf),
                    };
                    if !goes_on {
                        *place = None;
                    }
                }
            }
        }
    }
}

fn feed(stream: &mut TcpStream, buf: &[u8]) -> bool {
    loop {
        match stream.write(buf) {
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

fn drain(stream: &mut TcpStream, buf: &mut [u8]) -> bool {
    loop {
        match stream.read(buf) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

/// What cannot be written at once is waited for: the load always reads.
fn echo(stream: &mut TcpStream, buf: &mut [u8]) -> bool {
    loop {
        let n = match stream.read(buf) {
            Ok(0) => return false,
            Ok(n) => n,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        let mut sent = 0;
        // A short message is alone; of a stream there may be more.
        let all = n < 1024;
        while sent < n {
            match stream.write(&buf[sent..n]) {
                Ok(more) => sent += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(_) => return false,
            }
        }
        if all {
            return true;
        }
    }
}
