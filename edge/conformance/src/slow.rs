//! A TCP proxy on loopback whose answers come as late as it is told: a core that
//! is slow, or behind a slow network.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The proxy; it ends when it is dropped.
pub struct Slow {
    /// Where it listens.
    pub address: SocketAddr,
    delay_ms: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Slow {
    /// Before whoever listens at `behind`, without a delay. Where nobody does, it
    /// closes the connection.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn before(behind: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let delay_ms: Arc<AtomicU64> = Arc::default();
        let delay = Arc::clone(&delay_ms);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass(stream, behind, Arc::clone(&delay)));
            }
        });
        Ok(Self {
            address,
            delay_ms,
            accepting,
        })
    }

    /// From now on answers come so late.
    pub fn delay(&self, by: Duration) {
        let by_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.delay_ms.store(by_ms, Ordering::SeqCst);
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(client: TcpStream, behind: SocketAddr, delay_ms: Arc<AtomicU64>) {
    let Ok(server) = TcpStream::connect(behind).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = tokio::io::copy(&mut from_client, &mut to_server);
    let back = async {
        let mut bytes = vec![0; 64 << 10];
        loop {
            let read = match from_server.read(&mut bytes).await {
                Ok(read) if read > 0 => read,
                _ => return,
            };
            tokio::time::sleep(Duration::from_millis(delay_ms.load(Ordering::SeqCst))).await;
            if to_client.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ = there => {}
        () = back => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn answers_come_late_and_nobody_behind_is_a_closed_connection() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let behind = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 4];
            while stream.read_exact(&mut bytes).await.is_ok() {
                stream.write_all(&bytes).await.unwrap();
            }
        });
        let proxy = Slow::before(behind).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        let mut answer = [0; 4];
        for delay in [0, 150] {
            proxy.delay(Duration::from_millis(delay));
            let begun = Instant::now();
            stream.write_all(b"ping").await.unwrap();
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"ping");
            assert!(begun.elapsed() >= Duration::from_millis(delay));
        }
        let nobody = TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        let proxy = Slow::before(nobody).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        assert_eq!(stream.read(&mut answer).await.unwrap(), 0);
    }
}
