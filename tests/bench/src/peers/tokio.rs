//! tokio, as its pages show it.

use std::io;
use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Builder;

pub(super) fn one_thread(serve: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    Builder::new_current_thread().enable_io().build()?.block_on(serve)
}

pub(super) fn all_threads(serve: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    Builder::new_multi_thread().enable_io().build()?.block_on(serve)
}

pub(super) async fn echo(buffer: usize) -> io::Result<()> {
    let listener = TcpListener::bind(super::any()).await?;
    super::say(listener.local_addr()?)?;
    loop {
        let mut stream = listener.accept().await?.0;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let mut buf = vec![0; buffer];
            while let Ok(n @ 1..) = stream.read(&mut buf).await {
                if stream.write_all(&buf[..n]).await.is_err() {
                    break;
                }
            }
        });
    }
}

pub(super) async fn udp() -> io::Result<()> {
    let socket = UdpSocket::bind(super::any()).await?;
    super::say(socket.local_addr()?)?;
    let mut buf = vec![0; 1 << 16];
    loop {
        let (n, peer) = socket.recv_from(&mut buf).await?;
        socket.send_to(&buf[..n], peer).await?;
    }
}

pub(super) async fn upload(dir: PathBuf, sync: bool) -> io::Result<()> {
    let listener = TcpListener::bind(super::any()).await?;
    super::say(listener.local_addr()?)?;
    for count in 0_u64.. {
        let mut stream = listener.accept().await?.0;
        let dir = dir.clone();
        tokio::spawn(async move {
            let mut file =
                tokio::fs::File::create(dir.join(format!("tokio-{}", count % 64))).await?;
            tokio::io::copy(&mut stream, &mut file).await?;
            file.flush().await?;
            if sync {
                file.sync_all().await?;
                tokio::fs::File::open(&dir).await?.sync_all().await?;
            }
            io::Result::Ok(())
        });
    }
    Ok(())
}
