//! What file work beside it costs a ping-pong: one worker serves both. Run by hand, as what it says depends on the machine:
//!
//! `cargo test --release -p anywire-tests --test beside -- --ignored --nocapture`

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anywire_tests::programs::{Served, program};

const DOWNLOAD: u64 = 1 << 30;
const UPLOADS: usize = 64;
const UPLOAD: usize = 1 << 20;

#[test]
#[ignore = "measures, and asserts only that everything arrives"]
fn a_ping_pong_beside_a_download_and_uploads_with_sync() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let large = std::fs::File::create(dir.path().join("large.bin")).unwrap();
    let piece = vec![7; 1 << 20];
    for _ in 0..DOWNLOAD >> 20 {
        (&large).write_all(&piece).unwrap();
    }
    large.sync_all().unwrap();
    let mut command = program("anywire");
    command.args(["serve", "-q", "echo=0", "file=0", "upload=0", "--workers", "1", "--dir"]);
    command.arg(dir.path());
    let served = Served::start(command, 4);
    let port = |endpoint| served.port(endpoint);

    let alone = ping_pong(port("echo tcp"), Duration::from_secs(3));
    report("alone", alone);
    let (busy, done) = (AtomicBool::new(true), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let (busy, done) = (&busy, &done);
        scope.spawn(move || {
            while busy.load(Ordering::Relaxed) {
                assert_eq!(download(port("file tcp")), DOWNLOAD);
            }
        });
        for at in 0..UPLOADS {
            scope.spawn(move || {
                while busy.load(Ordering::Relaxed) {
                    upload(port("upload tcp"), &format!("{at}.bin"));
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let beside = ping_pong(port("echo tcp"), Duration::from_secs(8));
        busy.store(false, Ordering::Relaxed);
        report("beside", beside);
    });
    println!("{} uploads of {} KiB, synced", done.load(Ordering::Relaxed), UPLOAD >> 10);
}

/// How long each round trip took.
fn ping_pong(port: u16, span: Duration) -> Vec<Duration> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let (began, mut times) = (Instant::now(), Vec::new());
    while began.elapsed() < span {
        let sent = Instant::now();
        stream.write_all(&[7; 64]).unwrap();
        stream.read_exact(&mut [0; 64]).unwrap();
        times.push(sent.elapsed());
        std::thread::sleep(Duration::from_micros(500));
    }
    times
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("{what}: n {}, p50 {:?}, p99 {:?}, max {:?}", times.len(), at(0.5), at(0.99), at(1.0));
}

fn download(port: u16) -> u64 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"large.bin\n").unwrap();
    let (mut buf, mut len) = (vec![0; 256 << 10], 0);
    loop {
        match stream.read(&mut buf).unwrap() {
            0 => return len,
            n => len += n as u64,
        }
    }
}

fn upload(port: u16, name: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let len = u16::try_from(name.len()).unwrap().to_le_bytes();
    stream.write_all(&[&[1], &len[..], name.as_bytes()].concat()).unwrap();
    stream.read_exact(&mut [0; 2]).unwrap();
    let len = u32::try_from(UPLOAD).unwrap().to_le_bytes();
    stream.write_all(&[&[5], &len[..]].concat()).unwrap();
    stream.write_all(&vec![1; UPLOAD]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
}
