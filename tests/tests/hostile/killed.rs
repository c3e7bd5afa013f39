//! `kill -9` in the middle of 100 uploads: what was proven is there, what is there is whole, and a living sibling on the same
//! folder is not harmed.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use anywire_tests::uploads::{
    FileServer, Reply, TIMEOUT, Uploader, connect, content, head, names, temporaries, version,
};

const CLIENTS: u64 = 100;

/// In each round, so many answers, and the server dies: in the first names, among the first files, later.
const ROUNDS: [usize; 10] = [1, 60, 99, 101, 130, 180, 200, 250, 290, 330];

/// Who uploads versions of a file of its own until something else than `OK` comes.
struct Client {
    name: String,
    /// The highest version that is proven, and the highest that may be there.
    proven: u64,
    sent: u64,
    /// What came in the end.
    end: Reply,
}

impl Client {
    fn run(&mut self, mut stream: Uploader, answered: &Sender<()>) {
        let mut unproven = None;
        self.end = loop {
            match stream.name(&self.name) {
                Reply::Ok => self.proven = unproven.unwrap_or(self.proven),
                other => break other,
            }
            // Nobody listens once the server is killed.
            let _ = answered.send(());
            self.sent += 1;
            unproven = Some(self.sent);
            if stream.data(&self.content()).is_err() {
                break Reply::Reset;
            }
        };
    }

    /// Of any length from almost nothing to more than the server moves at once.
    fn content(&self) -> Vec<u8> {
        let lens = [100, 30_000, 300_000, 1_500_000];
        let kind = (self.sent as usize + self.name.len()) % lens.len();
        content(&self.name, self.sent, lens[kind])
    }
}

fn what_was_proven_survives_kill_9_and_what_is_there_is_whole(engine: &str) {
    let dir = tempfile::tempdir().unwrap();
    let sibling = FileServer::start(dir.path(), &["--engine", engine]);
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|at| Client { name: format!("file-{at}"), proven: 0, sent: 0, end: Reply::End })
        .collect();
    let mut left = 0;
    for answers in ROUNDS {
        let server = FileServer::start(dir.path(), &["--engine", engine]);
        let neighbours = Neighbours::begin(&sibling);
        clients = kill_in_the_middle(server, clients, answers);
        for client in &clients {
            client.assert_kept(dir.path());
        }
        // The neighbours have two at most.
        left += temporaries(dir.path()).len().saturating_sub(2);
        let restarted = FileServer::start(dir.path(), &["--engine", engine]);
        neighbours.assert_unharmed(dir.path());
        assert_eq!(temporaries(dir.path()), [""; 0], "a restart removes what a crash left");
        restarted.kill();
    }
    assert!(left > 0, "the server was never killed in the middle of a file");
    assert!(clients.iter().any(|client| client.proven > 0), "nothing was ever proven");
    let strangers = names(dir.path()).into_iter().filter(|name| !name.starts_with("file-"));
    assert_eq!(strangers.collect::<Vec<_>>(), ["neighbour-fast", "neighbour-slow"]);
}

/// Lets all clients upload at once, and kills the server after so many answers.
fn kill_in_the_middle(server: FileServer, clients: Vec<Client>, answers: usize) -> Vec<Client> {
    let (answered, counts) = channel();
    let threads: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            let (stream, answered) = (server.upload(), answered.clone());
            std::thread::spawn(move || {
                client.run(stream, &answered);
                client
            })
        })
        .collect();
    for _ in 0..answers {
        counts.recv_timeout(TIMEOUT).expect("the server answers");
    }
    server.kill();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

impl Client {
    fn assert_kept(&self, dir: &Path) {
        let name = &self.name;
        assert_eq!(self.end, Reply::Reset, "{name}: a server that dies must not say that it ended");
        match std::fs::read(dir.join(name)) {
            Ok(bytes) => {
                let found = version(name, &bytes);
                let (proven, sent) = (self.proven, self.sent);
                assert!((proven..=sent).contains(&found), "{name}: {proven} <= {found} <= {sent}");
            }
            Err(error) => assert_eq!(self.proven, 0, "{name} was proven: {error}"),
        }
    }
}

/// Clients of the sibling: one in the middle of a file all the time, one that stores again and again.
struct Neighbours {
    slow: Uploader,
    bytes: Vec<u8>,
    enough: Arc<AtomicBool>,
    fast: JoinHandle<u64>,
}

impl Neighbours {
    fn begin(sibling: &FileServer) -> Self {
        let bytes = content("neighbour-slow", 1, 400_000);
        let mut slow = sibling.upload();
        assert_eq!(slow.name("neighbour-slow"), Reply::Ok);
        slow.send(&head(bytes.len())).unwrap();
        slow.send(&bytes[..200_000]).unwrap();
        let enough = Arc::new(AtomicBool::new(false));
        let (mut stream, over) = (sibling.upload(), Arc::clone(&enough));
        let fast = std::thread::spawn(move || {
            for round in 1.. {
                assert_eq!(stream.name("neighbour-fast"), Reply::Ok);
                stream.data(&content("neighbour-fast", round, 30_000)).unwrap();
                if over.load(Ordering::Relaxed) {
                    assert_eq!(stream.end(), Reply::End);
                    return round;
                }
            }
            unreachable!("rounds have no end")
        });
        Self { slow, bytes, enough, fast }
    }

    fn assert_unharmed(mut self, dir: &Path) {
        self.enough.store(true, Ordering::Relaxed);
        let stored = self.fast.join().unwrap();
        let found = std::fs::read(dir.join("neighbour-fast")).unwrap();
        assert_eq!(version("neighbour-fast", &found), stored);
        self.slow.send(&self.bytes[200_000..]).unwrap();
        assert_eq!(self.slow.end(), Reply::End);
        assert!(std::fs::read(dir.join("neighbour-slow")).unwrap() == self.bytes);
    }
}

/// Sends typed messages, a connection each, until one is not proven.
fn send_messages(port: u16, client: u64, mut stream: TcpStream, proven: &Sender<u64>) -> Reply {
    for message in 0.. {
        let version = client * 1000 + message;
        let bytes = content("typed", version, 20_000 + 300_000 * (version as usize % 3));
        let sent = stream.write_all(&[&head(bytes.len()), &bytes[..]].concat());
        match sent.and_then(|()| stream.shutdown(Shutdown::Write)) {
            Ok(()) => match stream.read(&mut [0]) {
                Ok(0) => proven.send(version).unwrap(),
                Ok(_) => panic!("typed says nothing"),
                Err(_) => return Reply::Reset,
            },
            Err(_) => return Reply::Reset,
        }
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(next) => stream = next,
            Err(_) => return Reply::Reset,
        }
    }
    unreachable!("messages have no end")
}

fn typed_messages_that_were_proven_survive_kill_9_and_what_is_there_is_whole(engine: &str) {
    let dir = tempfile::tempdir().unwrap();
    for messages in [1, 40, 90] {
        let server = FileServer::start(dir.path(), &["--engine", engine]);
        assert_eq!(temporaries(dir.path()), [""; 0]);
        let (proven, proofs) = channel();
        let port = server.port("typed");
        let threads: Vec<_> = (0..50)
            .map(|client| {
                let (stream, proven) = (connect(port), proven.clone());
                std::thread::spawn(move || send_messages(port, client, stream, &proven))
            })
            .collect();
        drop(proven);
        let mut versions: Vec<_> =
            (0..messages).map(|_| proofs.recv_timeout(TIMEOUT).unwrap()).collect();
        server.kill();
        versions.extend(proofs);
        for thread in threads {
            assert_eq!(thread.join().unwrap(), Reply::Reset);
        }
        let files = names(dir.path()).into_iter().filter(|name| !name.starts_with('.'));
        let found: HashSet<_> = files
            .map(|name| {
                assert!(name.len() == 12 && name.ends_with(".bin"), "{name}");
                let found = version("typed", &std::fs::read(dir.path().join(&name)).unwrap());
                std::fs::remove_file(dir.path().join(name)).unwrap();
                found
            })
            .collect();
        for version in versions {
            assert!(found.contains(&version), "{version} was proven");
        }
    }
}

on_each_engine! {
    what_was_proven_survives_kill_9_and_what_is_there_is_whole
    typed_messages_that_were_proven_survive_kill_9_and_what_is_there_is_whole
}
