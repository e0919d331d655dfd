//! An origin whose answers take long: events, a slow download, a WebSocket. It tells
//! how many of them are open.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::websocket::{self, Frame, accept, read_head};

/// How often something comes.
pub const EVERY: Duration = Duration::from_millis(50);

#[derive(Default)]
struct State {
    open: AtomicUsize,
    received: AtomicUsize,
    heads: Mutex<Vec<String>>,
}

/// The origin; it ends with the test.
pub struct Streams {
    pub address: SocketAddr,
    state: Arc<State>,
}

impl Streams {
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<State> = Arc::default();
        let kept = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&kept);
                tokio::spawn(async move {
                    state.open.fetch_add(1, Ordering::SeqCst);
                    let _ = serve(stream, &state).await;
                    state.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, state }
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    /// How many bytes of bodies have come.
    pub fn received(&self) -> usize {
        self.state.received.load(Ordering::SeqCst)
    }

    /// The heads that have come since this was asked last.
    pub fn heads(&self) -> Vec<String> {
        std::mem::take(&mut self.state.heads.lock().unwrap())
    }
}

/// One request on one connection, by its path.
async fn serve(mut stream: TcpStream, state: &State) -> std::io::Result<()> {
    let head = read_head(&mut stream).await;
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    state.heads.lock().unwrap().push(head.clone());
    match path.as_str() {
        "/events" => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                        Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            for n in 0.. {
                let event = format!("data: {n}\n\n");
                let chunk = format!("{:x}\r\n{event}\r\n", event.len());
                stream.write_all(chunk.as_bytes()).await?;
                tokio::time::sleep(EVERY).await;
            }
        }
        // 4,000 bytes, of a length that is told beforehand.
        "/download" => {
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 4000\r\nConnection: close\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            for _ in 0..400 {
                stream.write_all(b"0123456789").await?;
                tokio::time::sleep(EVERY).await;
            }
        }
        // Takes a body for as long as it comes.
        "/upload" => {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                state.received.fetch_add(read, Ordering::SeqCst);
            }
        }
        "/silence" => {
            let _ = stream.read(&mut [0; 1]).await;
        }
        "/hops" => {
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close, X-Between\r\n\
                        X-Between: x\r\nKeep-Alive: timeout=5\r\nTrailer: X-A\r\nX-Kept: y\r\n\
                        Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nok";
            stream.write_all(head.as_bytes()).await?;
        }
        _ if head.to_ascii_lowercase().contains("upgrade: websocket") => {
            talk(stream, &head).await?
        }
        _ => {
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nplain";
            stream.write_all(head.as_bytes()).await?;
        }
    }
    Ok(())
}

/// Sends `tick` again and again, and back what comes.
async fn talk(mut stream: TcpStream, head: &str) -> std::io::Result<()> {
    let value = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.to_owned())
    };
    let accept = accept(&value("sec-websocket-key").unwrap());
    let protocol = value("sec-websocket-protocol");
    let protocol = protocol.map_or_else(String::new, |all| {
        let first = all.split(',').next().unwrap_or_default().trim().to_owned();
        format!("Sec-WebSocket-Protocol: {first}\r\n")
    });
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{protocol}\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    let (mut from, to) = stream.into_split();
    let to = Arc::new(tokio::sync::Mutex::new(to));
    let ticking = Arc::clone(&to);
    let ticks = tokio::spawn(async move {
        while websocket::send(&mut *ticking.lock().await, 1, b"tick", false)
            .await
            .is_ok()
        {
            tokio::time::sleep(EVERY).await;
        }
    });
    while let Some(frame) = websocket::next(&mut from).await {
        let mut to = to.lock().await;
        match frame {
            Frame::Text(text) => websocket::send(&mut *to, 1, text.as_bytes(), false).await?,
            Frame::Binary(bytes) => websocket::send(&mut *to, 2, &bytes, false).await?,
            Frame::Close(code, _) => {
                let code = if code == 1005 { 1000 } else { code };
                websocket::send(&mut *to, 8, &code.to_be_bytes(), false).await?;
                break;
            }
            Frame::Other(_) => {}
        }
    }
    ticks.abort();
    Ok(())
}
