//! An origin that keeps what reaches it byte for byte, reads it as strictly as
//! any, and answers each request with 200.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What arrived between two answers.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The request line and the headers, without the empty line.
    pub head: String,
    /// The body, out of its chunks.
    pub body: Vec<u8>,
    /// Whether it came to its end.
    pub whole: bool,
}

/// The origin; it ends with the test.
pub struct Origin {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Origin {
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let kept = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(keep(stream, Arc::clone(&kept)));
            }
        });
        Self { address, seen }
    }

    /// What has arrived since this was asked last.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

impl Seen {
    /// The values of the header `name`, as they came.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let headers = self.head.split("\r\n").skip(1);
        headers
            .filter_map(|line| line.split_once(": "))
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }

    /// What is after the method.
    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// What a second reader could take otherwise; nothing for a canonical request.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        let mut doubt = |what: &str, is: bool| {
            if is {
                doubts.push(what.to_owned());
            }
        };
        let mut lines = self.head.split("\r\n");
        let request: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        let plain = request.len() == 3 && request[1].starts_with('/') && request[2] == "HTTP/1.1";
        doubt("a request line", !plain);
        let of_a_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        for line in lines {
            let name = line.split(": ").next().unwrap_or_default();
            doubt(line, name.is_empty() || !name.bytes().all(of_a_token));
            doubt(line, line.contains(|c: char| c.is_control() && c != '\t'));
        }
        let (lengths, codings) = (
            self.values("content-length"),
            self.values("transfer-encoding"),
        );
        doubt("two ends", lengths.len() + codings.len() > 1);
        doubt(
            "a coding",
            codings.iter().any(|coding| *coding != "chunked"),
        );
        doubt("hosts", self.values("host").len() != 1);
        for ours in ["x-agent-id", "x-org-id", "x-scope"] {
            doubt(ours, self.values(ours).len() != 1);
        }
        doubt("no end", !self.whole);
        doubts
    }
}

/// Keeps what comes on one connection until it ends.
async fn keep(mut stream: TcpStream, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut bytes = Vec::new();
    loop {
        let (request, used) = read(&bytes);
        if request.whole {
            bytes.drain(..used);
            seen.lock().unwrap().push(request);
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            let _ = stream.write_all(answer).await;
            continue;
        }
        if matches!(stream.read_buf(&mut bytes).await, Ok(0) | Err(_)) {
            if !bytes.is_empty() {
                seen.lock().unwrap().push(request);
            }
            return;
        }
    }
}

/// The request that begins `bytes`, and how much of them it is.
fn read(bytes: &[u8]) -> (Seen, usize) {
    let end = find(bytes, b"\r\n\r\n");
    let mut request = Seen {
        head: String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned(),
        body: Vec::new(),
        whole: false,
    };
    let Some(begin) = end.map(|end| end + 4) else {
        return (request, 0);
    };
    let chunked = !request.values("transfer-encoding").is_empty();
    let length = request
        .values("content-length")
        .first()
        .map(|n| n.parse::<usize>());
    let used = if chunked {
        chunks(bytes, begin, &mut request.body)
    } else {
        let end = length.map_or(Some(begin), |length| begin.checked_add(length.ok()?));
        end.filter(|end| *end <= bytes.len())
    };
    let until = used.unwrap_or(bytes.len());
    if !chunked {
        request.body = bytes[begin..until].to_vec();
    }
    request.whole = used.is_some();
    (request, until)
}

/// Reads chunks into `body`; where they end, if they do.
fn chunks(bytes: &[u8], begin: usize, body: &mut Vec<u8>) -> Option<usize> {
    let mut at = begin;
    loop {
        let line = find(&bytes[at..], b"\r\n")? + at;
        let size = str::from_utf8(&bytes[at..line]).ok()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        let (data, end) = (line + 2, line + 2 + size);
        if bytes.get(end..end + 2)? != b"\r\n" {
            return None;
        }
        if size == 0 {
            return Some(end + 2);
        }
        body.extend_from_slice(&bytes[data..end]);
        at = end + 2;
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|at| at == wanted)
}
