//! Bytes on a connection, such as no HTTP library would send, and the statuses
//! that come back.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// How long an answer may take to begin.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long nothing comes after one that was the last.
const QUIET: Duration = Duration::from_millis(400);
/// How many exchanges are under way at a time.
const SIDE_BY_SIDE: usize = 64;

/// What came back for bytes that were sent.
#[derive(Debug)]
pub struct Heard {
    /// The status of each answer.
    pub statuses: Vec<u16>,
    /// All of it.
    pub text: String,
    /// Whether the other side closed the connection.
    pub closed: bool,
}

/// A connection to `url` from an address of this machine's own.
pub async fn connect_from(from: Ipv4Addr, url: &str) -> std::io::Result<TcpStream> {
    let address: SocketAddr = url.trim_start_matches("http://").parse().unwrap();
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(address).await
}

/// Sends `bytes` and listens until the other side closes or is quiet.
pub async fn say(url: &str, bytes: &[u8]) -> Heard {
    let mut stream = connect_from(Ipv4Addr::LOCALHOST, url).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    // Who refuses early may close before all of it is sent.
    let (_, heard) = tokio::join!(writing.write_all(bytes), hear(&mut reading));
    heard
}

/// Listens until the other side closes or is quiet.
pub async fn hear(stream: &mut (impl AsyncRead + Unpin)) -> Heard {
    let (mut answers, mut piece) = (Vec::new(), [0; 16 * 1024]);
    let closed = loop {
        let patience = if answers.is_empty() { PATIENCE } else { QUIET };
        match tokio::time::timeout(patience, stream.read(&mut piece)).await {
            Err(_) => break false,
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(read)) => answers.extend_from_slice(&piece[..read]),
        }
    };
    let text = String::from_utf8_lossy(&answers).into_owned();
    let statuses = text
        .match_indices("HTTP/1.")
        .filter_map(|(at, _)| text.get(at + 9..at + 12)?.parse().ok())
        .collect();
    Heard {
        statuses,
        text,
        closed,
    }
}

/// Sends each of `cases`, some at a time; answers with what each got.
pub async fn say_all(url: &str, cases: Vec<(String, Vec<u8>)>) -> Vec<(String, Heard)> {
    stream::iter(cases)
        .map(async |(name, bytes)| (name, say(url, &bytes).await))
        .buffer_unordered(SIDE_BY_SIDE)
        .collect()
        .await
}
