//! A store that fails, or panics, at each call in turn: the peer is told as the contract says, nothing is left behind, and the
//! next conversations pass.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anywire_core::event::End;
use anywire_core::request::Refusal;
use anywire_core::service::{file::File, typed::Typed, upload::Upload};
use anywire_std::engine::{Engine, Server};
use anywire_std::folder::{FolderOptions, FolderStore};

use super::hooked::Hooked;
use super::{Ends, Running, TIMEOUT, Watched, options};

/// What a call does when its turn has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    /// It fails, as on EIO.
    Refuse,
    /// It panics.
    Panic,
}

struct Plan {
    harm: Harm,
    /// So many calls pass, the next one fails, all later ones pass.
    left: AtomicUsize,
    /// Which it was.
    failed: Mutex<Option<&'static str>>,
}

impl Plan {
    fn call(&self, what: &'static str) -> Result<(), Refusal> {
        // To close is nothing that can fail.
        if what == "close" || self.left.fetch_sub(1, Ordering::Relaxed) != 0 {
            return Ok(());
        }
        *self.failed.lock().unwrap() = Some(what);
        assert!(self.harm == Harm::Refuse, "{what} panics as it should");
        Err(Refusal::Failed)
    }
}

/// upload, typed and file on one store.
fn serve(plan: &Arc<Plan>) -> (Running, [SocketAddr; 3]) {
    let dir = tempfile::tempdir().unwrap();
    // Without sync: there are many rounds.
    let folder = FolderOptions { sync: false, ..FolderOptions::default() };
    let inner = FolderStore::open(dir.path(), folder).unwrap();
    let (sender, ends) = std::sync::mpsc::channel();
    let planned = Arc::clone(plan);
    let store = Hooked::new(inner, move |call| planned.call(call));
    let observer = Arc::new(Ends(sender.into()));
    let mut server = Server::new(options(), store, observer).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let addrs = [
        server.bind_stream(Watched(Upload), any).unwrap(),
        server.bind_stream(Watched(Typed::default()), any).unwrap(),
        server.bind_stream(Watched(File), any).unwrap(),
    ];
    let stopper = server.stopper();
    let thread = std::thread::spawn(move || server.run().unwrap());
    (Running { addr: addrs[0], ends, dir, stopper, thread: Some(thread) }, addrs)
}

/// Sends what it can, half-closes with `end`, and reads: to `want` bytes, or to the end. An error is a reset.
fn exchange(stream: &mut TcpStream, sent: &[u8], end: bool, want: usize) -> Option<Vec<u8>> {
    stream.write_all(sent).ok()?;
    if end {
        stream.shutdown(Shutdown::Write).ok()?;
    }
    let mut got = Vec::new();
    match stream.take(want as u64).read_to_end(&mut got) {
        Ok(_) => Some(got),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            None
        }
    }
}

fn string(name: &str) -> Vec<u8> {
    [&[1, name.len() as u8, 0], name.as_bytes()].concat()
}

fn data(bytes: &[u8]) -> Vec<u8> {
    [&[5], &(bytes.len() as u32).to_le_bytes()[..], bytes].concat()
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream
}

/// How the conversations came out.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// What upload said to the first name, to the second one, and in the end.
    uploads: Vec<Option<Vec<u8>>>,
    typed: Option<Vec<u8>>,
    file: Option<Vec<u8>>,
}

/// A message to typed, a file from file, two files to upload, the second one of several writes.
fn converse([upload, typed, file]: [SocketAddr; 3], files: [&[u8]; 2]) -> Outcome {
    let typed = exchange(&mut connect(typed), &data(b"typed"), true, usize::MAX);
    let file = exchange(&mut connect(file), b"old\n", true, usize::MAX);
    // Last: how many writes it takes is not the same each time.
    let mut stream = connect(upload);
    let mut uploads = Vec::new();
    let steps = [
        (string("a"), false, 2),
        ([data(files[0]), string("b")].concat(), false, 2),
        (data(files[1]), true, usize::MAX),
    ];
    for (sent, end, want) in steps {
        let reply = exchange(&mut stream, &sent, end, want);
        let go_on = reply.as_deref() == Some(b"OK");
        // ERR, and the end behind it.
        let all = match reply {
            Some(mut reply) if reply == b"ER" => {
                stream.read_to_end(&mut reply).unwrap();
                Some(reply)
            }
            other => other,
        };
        uploads.push(all);
        if !go_on {
            break;
        }
    }
    drop(stream);
    Outcome { uploads, typed, file }
}

fn names(dir: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().file_name().into_string().unwrap()
    };
    let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(name).collect();
    names.sort();
    names
}

/// Descriptors of this process that are the folder, or in it. Other tests have theirs elsewhere.
fn descriptors(dir: &Path) -> usize {
    let links = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = links.filter_map(|link| std::fs::read_link(link.unwrap().path()).ok());
    links.filter(|link| link.starts_with(dir)).count()
}

fn fail_at_each_call(harm: Harm) {
    const OLD: &[u8] = b"the older content";
    let large: Vec<u8> = (0..2_500_000u32).map(|i| ((i * 31) >> 3) as u8).collect();
    let left = AtomicUsize::new(usize::MAX);
    let plan = Arc::new(Plan { harm, left, failed: Mutex::new(None) });
    let (server, addrs) = serve(&plan);
    let dir = server.dir.path();
    let ok = || Some(b"OK".to_vec());
    let err = || Some(b"ERR the store failed\n".to_vec());
    let (mut kinds, mut unharmed) = (Vec::new(), 0);
    for at in 0.. {
        for name in ["a", "b", "old"] {
            std::fs::write(dir.join(name), OLD).unwrap();
        }
        plan.left.store(at, Ordering::Relaxed);
        let outcome = converse(addrs, [b"small", &large]);
        let failed = plan.failed.lock().unwrap().take();
        // The last thing a connection does is to say how it ended: it has let go of its file.
        let ends: Vec<_> = (0..3).map(|_| server.end()).collect();
        let aborted = ends.iter().filter(|end| matches!(end, End::Aborted(_))).count();

        let whole = Outcome {
            uploads: vec![ok(), ok(), Some(Vec::new())],
            typed: Some(Vec::new()),
            file: Some(OLD.to_vec()),
        };
        let stored = match outcome.uploads.as_slice() {
            [_] => 0,
            [_, _] => usize::from(outcome.uploads[1].is_some()),
            _ => 1 + usize::from(outcome.uploads[2].is_some()),
        };
        let broken = usize::from(outcome.uploads != whole.uploads)
            + usize::from(outcome.typed != whole.typed)
            + usize::from(outcome.file != whole.file);
        assert_eq!(broken, usize::from(failed.is_some()), "{at} {failed:?} {outcome:?}");
        // In upload what fails before OK has words.
        let has_words = outcome.uploads.last() == Some(&err());
        if outcome.uploads != whole.uploads {
            let may = failed == Some("create") && harm == Harm::Refuse;
            assert_eq!(has_words, may, "{at} {failed:?} {outcome:?}");
            assert!(may || outcome.uploads.last() == Some(&None), "{at} {failed:?} {outcome:?}");
        }
        assert_eq!(aborted, broken - usize::from(has_words), "{at} {failed:?} {ends:?}");

        let expect = |name: &str, new: &[u8], is_new: bool| {
            let found = std::fs::read(dir.join(name)).unwrap();
            assert!(found == if is_new { new } else { OLD }, "{at} {failed:?}: {name}");
        };
        // When the second one could not even begin, the first one was there already.
        let second = failed == Some("create") && outcome.uploads.len() == 2;
        expect("a", b"small", stored > 0 || second);
        expect("b", &large, stored > 1);
        let others: Vec<_> =
            names(dir).into_iter().filter(|name| !["a", "b", "old"].contains(&&**name)).collect();
        let typed = usize::from(outcome.typed.is_some());
        assert_eq!(others.len(), typed, "{at} {failed:?}: {others:?}");
        for name in others {
            assert!(name.ends_with(".bin"), "{at} {failed:?}: {name}");
            assert_eq!(std::fs::read(dir.join(&name)).unwrap(), b"typed");
            std::fs::remove_file(dir.join(name)).unwrap();
        }
        assert_eq!(descriptors(dir), 1, "{at} {failed:?}");
        match failed {
            Some(kind) => kinds.push(kind),
            None if unharmed == 2 => break,
            None => unharmed += 1,
        }
    }
    // Only an event loop lets the system move a body by itself.
    let receives = crate::ENGINE == Engine::Poll;
    let kinds_of_calls = ["open", "read", "create", "expect", "write", "commit"];
    for kind in kinds_of_calls.into_iter().chain(receives.then_some("receive")) {
        assert!(kinds.contains(&kind), "{kind} never failed");
    }
    let writes = kinds.iter().filter(|kind| **kind == "write").count();
    assert!(writes > 3, "{writes} writes are one for each file");
}

#[test]
fn a_store_that_fails_at_any_call_is_told_of_and_harms_nothing_else() {
    fail_at_each_call(Harm::Refuse);
}

#[test]
fn a_store_that_panics_at_any_call_costs_one_connection() {
    fail_at_each_call(Harm::Panic);
}
