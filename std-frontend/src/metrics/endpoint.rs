//! Where metrics are scraped: `GET /metrics` over HTTP, in a thread of its own.
//!
//! Whoever connects gets one answer and has little time for it, and few are answered at once: more wait in the kernel. So scrapes that
//! never read, or never ask, or are no HTTP cost a bounded amount of memory, and hold up at most other scrapes, never the server.
//!
//! Some descriptors are kept in [`Reserve`]: a server that has run out of them can be asked why it accepts nobody.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

use super::{Metrics, text};

/// So many scrapes are answered at once,
const SCRAPES: usize = 64;

/// and none may take longer;
const PATIENCE: Duration = Duration::from_secs(5);

/// nor to ask: whoever says nothing keeps others waiting.
const ASKING: Duration = Duration::from_secs(1);

/// The most that is read of a request, in bytes.
const REQUEST_LEN: usize = 16 << 10;

/// After the system ran out of something, accepting rests so long.
const REST: Duration = Duration::from_millis(100);

/// The one path there is.
const PATH: &str = "/metrics";

/// An address where metrics will be scraped.
#[derive(Debug)]
pub struct Endpoint {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Endpoint {
    /// Listens on `addr`, over the system's sockets; port 0 takes a free one. Nothing is answered yet.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        Ok(Self { addr: listener.local_addr()?, listener })
    }

    /// Where it is.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What is to be scraped.
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.addr)
    }

    /// Answers with `metrics`, in a thread of its own, as long as the process lives.
    pub fn serve(self, metrics: &'static Metrics) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let reserve = Reserve::new(self.listener.try_clone()?);
        let thread = std::thread::Builder::new().name("metrics".into());
        thread.spawn(move || run(&runtime, self.listener, reserve, metrics)).map(drop)
    }
}

fn run(runtime: &Runtime, listener: TcpListener, reserve: Reserve, metrics: &'static Metrics) {
    let registry = text::registry(metrics);
    runtime.block_on(async {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => accept(&listener, reserve, registry).await,
            Err(error) => tracing::error!(%error, "metrics cannot be served"),
        }
    });
}

/// Descriptors that stand for nothing, to be given back to the system when it has no others for us.
struct Reserve {
    /// What they are copies of.
    of: TcpListener,
    /// For connections.
    accepting: Mutex<Vec<TcpListener>>,
    /// For what the system is asked while an answer is written.
    asking: Mutex<Option<TcpListener>>,
}

impl Reserve {
    /// With those for connections, so many scrapes are answered at once when there are no others.
    const CONNECTIONS: usize = 4;

    fn new(of: TcpListener) -> Self {
        let reserve = Self { of, accepting: Mutex::default(), asking: Mutex::default() };
        reserve.fill();
        reserve
    }

    /// Takes what is missing, as far as it can be had.
    fn fill(&self) {
        let mut asking = lock(&self.asking);
        if asking.is_none() {
            *asking = self.of.try_clone().ok();
        }
        let mut accepting = lock(&self.accepting);
        while accepting.len() < Self::CONNECTIONS
            && let Ok(copy) = self.of.try_clone()
        {
            accepting.push(copy);
        }
    }

    /// Gives back one for a connection, and says whether there was one.
    fn give_for_connection(&self) -> bool {
        lock(&self.accepting).pop().is_some()
    }

    /// Does what needs a descriptor for a moment.
    fn asking<T>(&self, ask: impl FnOnce() -> T) -> T {
        drop(lock(&self.asking).take());
        let done = ask();
        self.fill();
        done
    }
}

fn lock<T>(it: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: &tokio::net::TcpListener, reserve: Reserve, registry: Registry) {
    let places = Arc::new(Semaphore::new(SCRAPES));
    let shared = Arc::new((reserve, registry));
    // It is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let (reserve, registry) = &*shared;
                    // Whatever is wrong with a scrape is its own affair.
                    let _ = tokio::time::timeout(PATIENCE, answer(stream, reserve, registry)).await;
                    // Its descriptor, which is free now, may have been one of those.
                    reserve.fill();
                    drop(place);
                });
            }
            Err(_) if shared.0.give_for_connection() => {}
            Err(_) => {
                tokio::time::sleep(REST).await;
                shared.0.fill();
            }
        }
    }
}

/// Answers one request.
async fn answer(stream: TcpStream, reserve: &Reserve, registry: &Registry) -> hyper::Result<()> {
    let service = service_fn(async |request: Request<_>| {
        Ok::<_, Infallible>(response(request.method(), request.uri().path(), reserve, registry))
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(ASKING)
        .keep_alive(false)
        .max_buf_size(REQUEST_LEN)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

fn response(
    method: &Method,
    path: &str,
    reserve: &Reserve,
    registry: &Registry,
) -> Response<String> {
    const PLAIN: &str = "text/plain; charset=utf-8";

    let answer = |status, (name, value): (HeaderName, &'static str), body: String| {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response.headers_mut().insert(name, hyper::header::HeaderValue::from_static(value));
        response
    };
    match (method, path) {
        (&Method::GET | &Method::HEAD, PATH) => match reserve.asking(|| text::written(registry)) {
            Ok(text) => answer(StatusCode::OK, (CONTENT_TYPE, text::CONTENT_TYPE), text),
            Err(_) => answer(
                StatusCode::INTERNAL_SERVER_ERROR,
                (CONTENT_TYPE, PLAIN),
                "the metrics cannot be written\n".into(),
            ),
        },
        (_, PATH) => answer(StatusCode::METHOD_NOT_ALLOWED, (ALLOW, "GET, HEAD"), String::new()),
        _ => {
            answer(StatusCode::NOT_FOUND, (CONTENT_TYPE, PLAIN), format!("metrics are at {PATH}\n"))
        }
    }
}
