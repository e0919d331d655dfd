//! The listener: bounded connections, bounded heads, and a stop that drops
//! nothing that is in flight.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use ipnet::IpNet;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt as _;

use crate::addresses::client_address;
use crate::connections::Places;

/// How long a head may take to arrive. It is also how long an idle connection
/// is kept.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// How much of a head is read before it is answered with 431, in bytes; one that
/// arrives whole may be a little larger.
const LARGEST_HEAD: usize = 32 * 1024;
/// How long a reader may take no byte of an answer that waits for it.
const READER_PATIENCE: Duration = Duration::from_secs(10);
/// How long after a stop an idle connection may still bring a request.
const LINGER: Duration = Duration::from_millis(300);
/// How long a stop waits for what is in flight.
const STOP_PATIENCE: Duration = Duration::from_secs(6);

/// Serves `router` on `listener` until `stop` is done, with no more than `most`
/// connections at a time, then finishes what is in flight.
pub async fn listen(
    listener: TcpListener,
    router: Router,
    most: usize,
    trusted_proxies: Vec<IpNet>,
    stop: impl Future<Output = ()>,
) {
    let served = Served {
        router,
        trusted: trusted_proxies.into(),
        connections: GracefulShutdown::new(),
        places: Places::among(most),
        stopping: Arc::default(),
    };
    let free = Arc::new(Semaphore::new(most));
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept(&listener, &free) => accepted,
        };
        if let Some((stream, peer, permit)) = accepted {
            served.serve(stream, peer, permit);
        }
    }
    served.stopping.store(true, Ordering::Relaxed);
    for (stream, peer, permit) in waiting(listener, &free) {
        served.serve(stream, peer, permit);
    }
    // Whoever is still talking after that is cut off.
    let _ = tokio::time::timeout(STOP_PATIENCE, served.end()).await;
}

/// The connections of one listener.
struct Served {
    router: Router,
    trusted: Arc<[IpNet]>,
    connections: GracefulShutdown,
    places: Places,
    stopping: Arc<AtomicBool>,
}

impl Served {
    fn serve(&self, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        let Some(place) = self.places.take(peer.ip(), &self.trusted) else {
            return;
        };
        let service = self.router.clone();
        let trusted = Arc::clone(&self.trusted);
        let stopping = Arc::clone(&self.stopping);
        let service =
            hyper::service::service_fn(move |mut request: Request<hyper::body::Incoming>| {
                let address = client_address(peer.ip(), request.headers(), &trusted);
                request.extensions_mut().insert(address);
                let answer = service.clone().oneshot(request);
                let stopping = Arc::clone(&stopping);
                async move {
                    let mut answer = answer.await?;
                    if stopping.load(Ordering::Relaxed) {
                        // RFC 9112 §9.6: the client sends nothing more here.
                        let close = HeaderValue::from_static("close");
                        answer.headers_mut().insert(CONNECTION, close);
                    }
                    Ok::<_, Infallible>(answer)
                }
            });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_PATIENCE)
            .max_buf_size(LARGEST_HEAD)
            .serve_connection(TokioIo::new(Box::pin(patient(stream))), service);
        let connection = self.connections.watch(connection);
        tokio::spawn(async move {
            // A client that breaks off is no event.
            let _ = connection.await;
            drop((permit, place));
        });
    }

    /// Finishes what is in flight. Closing an idle connection would drop a request
    /// that is on its way, so those who were answered just before are heard first.
    async fn end(self) {
        let begun = Instant::now();
        while self.connections.count() > 0 && begun.elapsed() < LINGER {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.connections.shutdown().await;
    }
}

type Accepted = (TcpStream, SocketAddr, OwnedSemaphorePermit);

/// The connections that the system has made and nobody has taken up.
fn waiting(listener: TcpListener, free: &Arc<Semaphore>) -> Vec<Accepted> {
    let mut waiting = Vec::new();
    let Ok(listener) = listener.into_std() else {
        return waiting;
    };
    while let Ok(permit) = Arc::clone(free).try_acquire_owned()
        && let Ok((stream, peer)) = listener.accept()
    {
        let stream = stream
            .set_nonblocking(true)
            .and_then(|()| TcpStream::from_std(stream));
        if let Ok(stream) = stream {
            waiting.push((stream, peer, permit));
        }
    }
    waiting
}

/// A stream whose reader is not waited for without end.
fn patient(stream: TcpStream) -> TimeoutStream<TcpStream> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(READER_PATIENCE));
    stream
}

/// Lets this process have as many connections as the machine lets it.
pub fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it may not, it serves fewer.
    let _ = setrlimit(Resource::Nofile, limit);
}

async fn accept(listener: &TcpListener, free: &Arc<Semaphore>) -> Option<Accepted> {
    let permit = Arc::clone(free).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Small answers go out at once.
            let _ = stream.set_nodelay(true);
            Some((stream, peer, permit))
        }
        Err(error) => {
            // Out of file descriptors, most likely: others may end meanwhile.
            tracing::error!("cannot accept a connection: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}
