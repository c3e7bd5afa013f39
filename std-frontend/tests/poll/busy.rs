//! Workers that never sleep.

use std::io::{Read, Write};
use std::time::Duration;

use anywire_core::event::End;
use anywire_core::service::hello::Hello;
use anywire_core::service::upload::Upload;
use anywire_core::session::Reason;
use anywire_std::engine::Options;

use crate::engine::uploads::{connect, head, name};
use crate::engine::{REPLY, Watched, serve, short};

fn busy(options: Options) -> Options {
    Options { busy_poll: true, ..options }
}

#[test]
fn whoever_is_silent_is_ended_in_time_by_a_busy_worker() {
    let server = serve(busy(short(300, 300)), Watched(Hello));
    let mut stream = server.connect();
    stream.write_all(b"x").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert_eq!((said.as_str(), server.end()), (REPLY, End::Idle));
}

#[test]
fn what_takes_long_comes_back_to_a_busy_worker_which_stops_after_the_grace() {
    let server = serve(
        busy(Options { grace: Duration::from_millis(50), ..Options::default() }),
        Watched(Upload),
    );
    let mut peer = connect(server.addr);
    let first = [name("a"), head(5), b"whole".to_vec()].concat();
    peer.write_all(&[first, name("b"), head(5), b"hal".to_vec()].concat()).unwrap();
    // The second name is answered once the first file is stored.
    peer.read_exact(&mut [0; 4]).unwrap();
    assert_eq!(std::fs::read(server.dir.path().join("a")).unwrap(), b"whole");
    server.stopper.stop();
    assert_eq!(server.end(), End::Aborted(Reason::Stopped));
}
