//! Where metrics are scraped: `GET /metrics` over HTTP, in a thread of its own.
//!
//! Whoever connects gets one answer and has little time for it, and few are answered at once: more wait in the kernel. So scrapes that
//! never read, or never ask, or are no HTTP cost a bounded amount of memory, and hold up at most other scrapes, never the server.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
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
        let thread = std::thread::Builder::new().name("metrics".into());
        thread.spawn(move || run(&runtime, self.listener, metrics)).map(drop)
    }
}

fn run(runtime: &Runtime, listener: TcpListener, metrics: &'static Metrics) {
    let registry = Arc::new(text::registry(metrics));
    runtime.block_on(async {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => accept(&listener, &registry).await,
            Err(error) => tracing::error!(%error, "metrics cannot be served"),
        }
    });
}

async fn accept(listener: &tokio::net::TcpListener, registry: &Arc<Registry>) {
    let places = Arc::new(Semaphore::new(SCRAPES));
    // It is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let registry = Arc::clone(registry);
                tokio::spawn(async move {
                    // Whatever is wrong with a scrape is its own affair.
                    let _ = tokio::time::timeout(PATIENCE, answer(stream, &registry)).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(REST).await,
        }
    }
}

/// Answers one request.
async fn answer(stream: TcpStream, registry: &Registry) -> hyper::Result<()> {
    let service = service_fn(async |request: Request<_>| {
        Ok::<_, Infallible>(response(request.method(), request.uri().path(), registry))
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(ASKING)
        .keep_alive(false)
        .max_buf_size(REQUEST_LEN)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

fn response(method: &Method, path: &str, registry: &Registry) -> Response<String> {
    const PLAIN: &str = "text/plain; charset=utf-8";

    let answer = |status, (name, value): (HeaderName, &'static str), body: String| {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response.headers_mut().insert(name, hyper::header::HeaderValue::from_static(value));
        response
    };
    match (method, path) {
        (&Method::GET | &Method::HEAD, PATH) => match text::written(registry) {
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
