//! The listener: bounded connections, bounded heads, and a stop that drops
//! nothing that is in flight.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use ipnet::IpNet;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt as _;

use crate::addresses::client_address;
use crate::connections::{Places, most_connections};

/// How long a head may take to arrive. It is also how long an idle connection
/// is kept.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// How much of a head is read before it is answered with 431, in bytes; one that
/// arrives whole may be a little larger.
const LARGEST_HEAD: usize = 64 * 1024;
/// How long a reader may take no byte of an answer that waits for it.
const READER_PATIENCE: Duration = Duration::from_secs(10);
/// How long a stop waits for what is in flight.
const STOP_PATIENCE: Duration = Duration::from_secs(8);

/// Serves `router` on `listener` until `stop` is done, then finishes what is in
/// flight.
pub async fn listen(
    listener: TcpListener,
    router: Router,
    trusted_proxies: Vec<IpNet>,
    stop: impl Future<Output = ()>,
) {
    let trusted: Arc<[IpNet]> = trusted_proxies.into();
    let connections = GracefulShutdown::new();
    let free = Arc::new(Semaphore::new(most_connections()));
    let places = Places::default();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept(&listener, &free) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else {
            continue;
        };
        let Some(place) = places.take(peer.ip(), &trusted) else {
            continue;
        };
        let service = router.clone();
        let trusted = Arc::clone(&trusted);
        let service =
            hyper::service::service_fn(move |mut request: Request<hyper::body::Incoming>| {
                let address = client_address(peer.ip(), request.headers(), &trusted);
                request.extensions_mut().insert(address);
                service.clone().oneshot(request)
            });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_PATIENCE)
            .max_buf_size(LARGEST_HEAD)
            .serve_connection(TokioIo::new(Box::pin(patient(stream))), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            // A client that breaks off is no event.
            let _ = connection.await;
            drop((permit, place));
        });
    }
    drop(listener);
    // Whoever is still talking after that is cut off.
    let _ = tokio::time::timeout(STOP_PATIENCE, connections.shutdown()).await;
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

async fn accept(
    listener: &TcpListener,
    free: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
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
