//! The bytes that are sent.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// What follows every case on its connection: nobody may read it as a request.
pub const NEXT: &[u8] = b"GET /health?next HTTP/1.1\r\nHost: a\r\n\r\n";
/// How many messages of nonsense each listener gets.
const NONSENSE: usize = 2_000;

/// Cases that every server has to refuse, with nothing after the first one read.
pub fn malformed() -> Vec<(String, Vec<u8>)> {
    let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
    for line in [
        &b"GARBAGE"[..],
        b"GET",
        b"GET /health",
        b" GET /health HTTP/1.1",
        b"G\x00T /health HTTP/1.1",
        b"GET /hea\x00lth HTTP/1.1",
        b"GET /hea\rlth HTTP/1.1",
        b"G(T /health HTTP/1.1",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ] {
        cases.push((
            format!("{:?}", line.escape_ascii().to_string()),
            [line, b"\r\nHost: a\r\n\r\n", NEXT].concat(),
        ));
    }
    for header in [
        &b"no colon"[..],
        b": no name",
        b"X\x00: a",
        b"X(: a",
        b"X: a\x00b",
        b"X: a\rb",
        b"Content-Length: -1",
        b"Content-Length: +5",
        b"Content-Length: 5 5",
        b"Content-Length: 5, 5",
        b"Content-Length: 0x5",
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: chunked;q=1",
        b"Transfer-Encoding: \"chunked\"",
        b"Transfer-Encoding: \x0bchunked",
        b"Transfer-Encoding: identity\r\nTransfer-Encoding: xchunked",
        b"Host: b",
    ] {
        cases.push((
            format!("{:?}", header.escape_ascii().to_string()),
            [
                &b"POST /api/v1/token HTTP/1.1\r\nHost: a\r\n"[..],
                header,
                b"\r\n\r\n",
                NEXT,
            ]
            .concat(),
        ));
    }
    for host in [
        &b""[..],
        b"a/b",
        b"a?b",
        b"a#b",
        b"u@a",
        b"a b",
        b"a\\b",
        b"\xff",
    ] {
        cases.push((
            format!("Host: {:?}", host.escape_ascii().to_string()),
            [
                &b"GET /health HTTP/1.1\r\nHost: "[..],
                host,
                b"\r\nConnection: close\r\n\r\n",
            ]
            .concat(),
        ));
    }
    let no_host = b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n";
    cases.push(("no Host".to_owned(), no_host.to_vec()));
    cases
}

/// Cases that the core refuses and workerd does not: see `docs/edge.md`.
pub fn malformed_for_the_core() -> Vec<(String, Vec<u8>)> {
    let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
    for line in [
        &b"GET /health HTTP/1.2"[..],
        b"GET /health HTTP/2.0",
        b"GET /health HTTP/9.9",
        b"GET /health http/1.1",
        b"GET /health HTTP/1.1 more",
        b"GET /health more HTTP/1.1",
        b"GET\t/health HTTP/1.1",
        b"GET /a\x01b HTTP/1.1",
        b"GET ?a HTTP/1.1",
    ] {
        cases.push((
            format!("{:?}", line.escape_ascii().to_string()),
            [line, b"\r\nHost: a\r\n\r\n", NEXT].concat(),
        ));
    }
    for header in [
        &b"X : a"[..],
        b"X: a\r\n folded",
        b"\tX: a",
        b"X\xff: a",
        b"X: a\x0bb",
        b"X: a\x7f",
        b"Content-Length: 18446744073709551616",
        b"Content-Length:",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding:\r\n chunked",
    ] {
        cases.push((
            format!("{:?}", header.escape_ascii().to_string()),
            [
                &b"POST /api/v1/token HTTP/1.1\r\nHost: a\r\n"[..],
                header,
                b"\r\n\r\n",
                NEXT,
            ]
            .concat(),
        ));
    }
    for chunks in [
        &b"g\r\nhello\r\n0\r\n\r\n"[..],
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\nhello\n0\n\n",
        b"5;x\nhello\r\n0\r\n\r\n",
        b"fffffffffffffffff5\r\nhello\r\n0\r\n\r\n",
        b"\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let head = b"POST /api/v1/token HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        cases.push((
            format!("chunks {:?}", chunks.escape_ascii().to_string()),
            [&head[..], chunks, NEXT].concat(),
        ));
    }
    cases
}

/// Requests with something broken in them, and bytes that never were any.
pub fn nonsense(seed: u64, valid: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..NONSENSE)
        .map(|case| {
            let mut bytes = valid.to_vec();
            if case % 2 == 0 {
                bytes = (0..rng.random_range(1..400))
                    .map(|_| rng.random())
                    .collect();
            } else {
                for _ in 0..rng.random_range(1..6) {
                    let at = rng.random_range(0..bytes.len());
                    match rng.random_range(0..3) {
                        0 => bytes[at] = rng.random(),
                        1 => bytes.insert(at, b"\r\n\0 :/\xff;"[rng.random_range(0..8)]),
                        _ => {
                            bytes.remove(at);
                        }
                    }
                }
            }
            bytes.extend_from_slice(b"\r\n\r\n");
            (format!("seed {seed}, case {case}"), bytes)
        })
        .collect()
}
