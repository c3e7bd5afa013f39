//! monoio, as its pages show it.

use std::io;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{ListenerOpts, TcpListener};

pub(super) fn echo(buffer: usize) -> io::Result<()> {
    let mut runtime = monoio::RuntimeBuilder::<monoio::FusionDriver>::new().build()?;
    runtime.block_on(async {
        let options = ListenerOpts::new().reuse_port(false).backlog(4096);
        let listener = TcpListener::bind_with_config(super::any(), &options)?;
        super::say(listener.local_addr()?)?;
        loop {
            let mut stream = listener.accept().await?.0;
            stream.set_nodelay(true)?;
            monoio::spawn(async move {
                let mut buf = Vec::with_capacity(buffer);
                loop {
                    let (read, filled) = stream.read(buf).await;
                    if !matches!(read, Ok(1..)) {
                        return;
                    }
                    let (written, emptied) = stream.write_all(filled).await;
                    if written.is_err() {
                        return;
                    }
                    buf = emptied;
                    buf.clear();
                }
            });
        }
    })
}
