//! A thread for each connection.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

fn each(serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> io::Result<()> {
    let serve = Arc::new(serve);
    let listener = TcpListener::bind(super::any())?;
    super::say(listener.local_addr()?)?;
    loop {
        let stream = listener.accept()?.0;
        stream.set_nodelay(true)?;
        let serve = Arc::clone(&serve);
        std::thread::spawn(move || serve(stream));
    }
}

pub(super) fn echo(buffer: usize) -> io::Result<()> {
    each(move |mut stream| {
        let mut buf = vec![0; buffer];
        loop {
            match stream.read(&mut buf)? {
                0 => return Ok(()),
                n => stream.write_all(&buf[..n])?,
            }
        }
    })
}

pub(super) fn udp() -> io::Result<()> {
    let socket = UdpSocket::bind(super::any())?;
    super::say(socket.local_addr()?)?;
    let mut buf = vec![0; 1 << 16];
    loop {
        let (n, peer) = socket.recv_from(&mut buf)?;
        socket.send_to(&buf[..n], peer)?;
    }
}

/// A name comes first and is not looked at: there is one file.
pub(super) fn file(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    each(move |mut stream| {
        let mut name = [0; 1024];
        if stream.read(&mut name)? > 0 {
            io::copy(&mut File::open(&path)?, &mut stream)?;
        }
        Ok(())
    })
}

pub(super) fn upload(dir: &Path, sync: bool) -> io::Result<()> {
    let dir = dir.to_owned();
    let count = AtomicU64::new(0);
    each(move |mut stream| {
        let name = format!("copy-{}", count.fetch_add(1, Ordering::Relaxed) % 64);
        let mut file = File::create(dir.join(name))?;
        io::copy(&mut stream, &mut file)?;
        if sync {
            file.sync_all()?;
            File::open(&dir)?.sync_all()?;
        }
        Ok(())
    })
}
