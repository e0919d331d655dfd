//! WebSockets by hand (RFC 6455): enough to open one, to send and to read frames.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A key such as a client makes up.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A frame: what it is, and what is in it.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    Text(String),
    Binary(Vec<u8>),
    /// The code and the reason.
    Close(u16, String),
    Other(u8),
}

/// The value of `Sec-WebSocket-Accept`, RFC 6455 §4.2.2.
pub fn accept(key: &str) -> String {
    let whole = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, whole.as_bytes()))
}

/// Opens one at `url` with more `headers`; the answer's head, and the connection.
pub async fn open(url: &str, path: &str, headers: &str) -> (String, TcpStream) {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: edge\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let head = read_head(&mut stream).await;
    (head, stream)
}

/// Reads up to the empty line.
pub async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// Sends a frame; a client's is masked.
pub async fn send(
    stream: &mut (impl tokio::io::AsyncWrite + Unpin),
    opcode: u8,
    payload: &[u8],
    masked: bool,
) -> std::io::Result<()> {
    assert!(payload.len() < 126, "short frames alone");
    let mask = if masked { [1, 2, 3, 4] } else { [0; 4] };
    let mut frame = vec![0x80 | opcode, payload.len() as u8];
    if masked {
        frame[1] |= 0x80;
        frame.extend_from_slice(&mask);
    }
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    stream.write_all(&frame).await
}

/// The next frame; nothing where the connection ended.
pub async fn next(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<Frame> {
    let first = stream.read_u8().await.ok()?;
    let second = stream.read_u8().await.ok()?;
    let length = match second & 0x7f {
        126 => usize::from(stream.read_u16().await.ok()?),
        127 => usize::try_from(stream.read_u64().await.ok()?).unwrap(),
        length => usize::from(length),
    };
    let mut mask = [0; 4];
    if second & 0x80 != 0 {
        stream.read_exact(&mut mask).await.ok()?;
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await.ok()?;
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Some(match first & 0x0f {
        1 => Frame::Text(String::from_utf8(payload).unwrap()),
        2 => Frame::Binary(payload),
        8 if payload.len() >= 2 => Frame::Close(
            u16::from_be_bytes([payload[0], payload[1]]),
            String::from_utf8(payload[2..].to_vec()).unwrap(),
        ),
        8 => Frame::Close(1005, String::new()),
        other => Frame::Other(other),
    })
}
