//! One request on a connection of its own, in bytes such as no HTTP library would
//! send, and the answer to it (RFC 9112). Over TLS where the URL says so.

use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use url::Url;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// The most of an answer that is read, in bytes.
const LONGEST: usize = 4 << 20;

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The one value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.values(name);
        let first = values.next();
        first.filter(|_| values.next().is_none())
    }

    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let same = move |known: &&(String, String)| known.0.eq_ignore_ascii_case(name);
        let found = self.headers.iter().filter(same);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null where it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A server, as its URL names it.
#[derive(Clone)]
pub(crate) struct Server {
    host: String,
    port: u16,
    /// What stands before each path.
    base: String,
    tls: Option<TlsConnector>,
}

impl Server {
    pub(crate) fn at(url: &Url) -> Result<Self, String> {
        let host = url.host_str().ok_or("a URL without a host")?.to_owned();
        let port = url.port_or_known_default().ok_or("a URL without a port")?;
        let tls = (url.scheme() == "https").then(|| {
            let roots = RootCertStore {
                roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
            };
            let config = ClientConfig::builder().with_root_certificates(roots);
            TlsConnector::from(Arc::new(config.with_no_client_auth()))
        });
        Ok(Self {
            host,
            port,
            base: url.path().trim_end_matches('/').to_owned(),
            tls,
        })
    }

    /// Sends `METHOD path` with these headers and what follows the head.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        rest: &[u8],
    ) -> Result<Answer, String> {
        let (base, host, port) = (&self.base, &self.host, self.port);
        let mut head = format!("{method} {base}{path} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("Connection: close\r\n\r\n");
        let bytes = [head.as_bytes(), rest].concat();
        let bodiless = method == "HEAD";
        let exchange = async {
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            stream.set_nodelay(true)?;
            match &self.tls {
                None => exchange(stream, &bytes, bodiless).await,
                Some(tls) => {
                    let name = ServerName::try_from(host.clone());
                    let name = name.map_err(std::io::Error::other)?;
                    exchange(tls.connect(name, stream).await?, &bytes, bodiless).await
                }
            }
        };
        let answer = tokio::time::timeout(PATIENCE, exchange).await;
        let answer = answer.map_err(|_| format!("{method} {path} was not answered in time"))?;
        answer.map_err(|why| format!("{method} {path}: {why}"))
    }
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &[u8],
    bodiless: bool,
) -> std::io::Result<Answer> {
    // Who refuses early may close before all of it is sent.
    let _ = stream.write_all(request).await;
    stream.flush().await.ok();
    let mut bytes = Vec::new();
    loop {
        let read = stream.read_buf(&mut bytes).await;
        let ended = !matches!(read, Ok(more) if more > 0);
        if let Some(answer) = read_answer(&bytes, ended, bodiless) {
            return Ok(answer);
        }
        if ended || bytes.len() > LONGEST {
            return Err(std::io::Error::other(
                "the connection ended without an answer",
            ));
        }
    }
}

/// The answer in `bytes`, once it is whole; `ended` says that nothing more comes.
pub(crate) fn read_answer(bytes: &[u8], ended: bool, bodiless: bool) -> Option<Answer> {
    let end = find(bytes, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    if (100..200).contains(&status) && status != 101 {
        return read_answer(&bytes[end + 4..], ended, bodiless);
    }
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer {
        status,
        headers,
        body: Vec::new(),
    };
    let rest = &bytes[end + 4..];
    if bodiless || matches!(status, 204 | 304) {
        return Some(answer);
    }
    let length = answer.header("content-length").map(str::parse::<usize>);
    answer.body = match length {
        Some(Ok(length)) if rest.len() >= length => rest[..length].to_vec(),
        Some(_) => return None,
        None if answer.header("transfer-encoding").is_some() => chunks(rest)?,
        None if ended => rest.to_vec(),
        None => return None,
    };
    Some(answer)
}

/// RFC 9112 §7.1, without trailers.
fn chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = find(rest, b"\r\n")?;
        let size = usize::from_str_radix(str::from_utf8(&rest[..line]).ok()?, 16).ok()?;
        let from = line + 2;
        body.extend_from_slice(rest.get(from..from.checked_add(size)?)?);
        rest = rest.get(from + size + 2..)?;
        if size == 0 {
            return Some(body);
        }
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_when_it_is_whole() {
        let chunked = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        for cut in 0..chunked.len() {
            assert!(
                read_answer(&chunked[..cut], false, false).is_none(),
                "{cut}"
            );
        }
        let answer = read_answer(chunked, false, false).unwrap();
        assert_eq!((answer.status, &*answer.body), (401, &b"ok"[..]));
        assert_eq!(answer.header("a"), Some("b"));
        let until_its_end = b"HTTP/1.1 200 OK\r\nA: 1\r\na: 2\r\n\r\nall";
        assert!(read_answer(until_its_end, false, false).is_none());
        let answer = read_answer(until_its_end, true, false).unwrap();
        assert_eq!(&*answer.body, b"all");
        assert_eq!(answer.header("a"), None, "two values are no one value");
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
        assert!(read_answer(head, false, true).is_some());
    }
}
