//! The little of HTTP/1.1 (RFC 9112) that the load generator needs, at little
//! cost: requests as bytes made once, answers read in place. An answer that is
//! not what a kept-alive connection may carry is an error, never a guess.

use std::borrow::Cow;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Outcome;

/// A client's id and secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// An answer, as it lies in the buffer.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    /// Whether the content's type is JSON.
    pub(crate) json: bool,
    pub(crate) body: Cow<'a, [u8]>,
}

/// `POST path` with a form and the client's HTTP Basic credential.
pub(crate) fn post_form(path: &str, client: &Client, form: &str) -> Vec<u8> {
    let basic = STANDARD.encode(format!("{}:{}", client.id, client.secret));
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic {basic}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    )
    .into_bytes()
}

/// `GET path` with a bearer token.
pub(crate) fn get(path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n")
        .into_bytes()
}

/// Asks on a connection of its own; the status and the body.
pub(crate) async fn ask(address: SocketAddr, request: &[u8]) -> Outcome<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request).await?;
    let mut buffer = Vec::new();
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err("a connection was closed in the middle of an answer".into());
        }
        if let Some((answer, _)) = read_answer(&buffer)? {
            return Ok((answer.status, answer.body.into_owned()));
        }
    }
}

/// Reads the answer at the start of `buffer`, with its length in bytes. `None`
/// while it is not whole yet.
pub(crate) fn read_answer(buffer: &[u8]) -> Outcome<Option<(Answer<'_>, usize)>> {
    let Some(head_end) = find(buffer, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&buffer[..head_end]).map_err(|_| "a header that is no text")?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| format!("no status line of HTTP/1.1: {status_line:?}"))?;
    let mut length = None;
    let mut chunked = false;
    let mut json = false;
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("a header without a colon")?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.parse::<usize>()?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value.eq_ignore_ascii_case("chunked");
        } else if name.eq_ignore_ascii_case("content-type") {
            json = value.starts_with("application/json");
        }
    }
    let rest = &buffer[head_end + 4..];
    let (body, used) = match (chunked, length) {
        (false, Some(length)) if rest.len() >= length => (Cow::Borrowed(&rest[..length]), length),
        (false, Some(_)) => return Ok(None),
        (true, None) => match read_chunks(rest)? {
            Some((body, used)) => (Cow::Owned(body), used),
            None => return Ok(None),
        },
        _ => return Err("an answer without a length".into()),
    };
    let answer = Answer { status, json, body };
    Ok(Some((answer, head_end + 4 + used)))
}

/// RFC 9112 §7.1, without trailers.
fn read_chunks(mut rest: &[u8]) -> Outcome<Option<(Vec<u8>, usize)>> {
    let whole = rest.len();
    let mut body = Vec::new();
    loop {
        let Some(line_end) = find(rest, b"\r\n") else {
            return Ok(None);
        };
        let size = std::str::from_utf8(&rest[..line_end])?;
        let size = usize::from_str_radix(size, 16).map_err(|_| "a chunk without a size")?;
        let Some(chunk) = rest.get(line_end + 2..line_end + 2 + size + 2) else {
            return Ok(None);
        };
        if !chunk.ends_with(b"\r\n") {
            return Err("a chunk without an end".into());
        }
        body.extend_from_slice(&chunk[..size]);
        rest = &rest[line_end + 2 + size + 2..];
        if size == 0 {
            return Ok(Some((body, whole - rest.len())));
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
    fn an_answer_is_read_when_it_is_whole_and_not_before() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\ncontent-length: 2\r\n\r\n{}";
        for cut in 0..whole.len() {
            assert!(read_answer(&whole[..cut]).unwrap().is_none(), "{cut}");
        }
        let (answer, used) = read_answer(whole).unwrap().unwrap();
        assert_eq!((answer.status, answer.json, used), (200, true, whole.len()));
        assert_eq!(&*answer.body, b"{}");
    }

    #[test]
    fn chunks_are_put_together() {
        let whole = b"HTTP/1.1 429 Too Many\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n";
        for cut in 0..whole.len() {
            assert!(read_answer(&whole[..cut]).unwrap().is_none(), "{cut}");
        }
        let (answer, used) = read_answer(whole).unwrap().unwrap();
        assert_eq!(
            (answer.status, answer.json, used),
            (429, false, whole.len())
        );
        assert_eq!(&*answer.body, b"abc0123456789");
    }

    #[test]
    fn what_cannot_be_kept_alive_is_an_error() {
        for bad in [
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ] {
            assert!(read_answer(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
