//! The rows: what is sent, and what is said of it.

use serde_json::{Value, json};

use crate::support::forge::{Forge, encode};

/// A token made from the good one, and what is said of it.
pub type Row = (&'static str, Box<dyn Fn(&Forge) -> String>, &'static str);

fn row(
    case: &'static str,
    make: impl Fn(&Forge) -> String + 'static,
    message: &'static str,
) -> Row {
    (case, Box::new(make), message)
}

pub fn rows(public_key: &str) -> Vec<Row> {
    let (pem, der) = (
        public_key.to_owned(),
        public_key.lines().nth(1).unwrap().to_owned(),
    );
    vec![
        row(
            "alg none",
            |f| f.header("alg", json!("none")).unsigned(),
            "Token algorithm is not accepted.",
        ),
        row(
            "alg NONE with a signature",
            |f| f.header("alg", json!("NONE")).sign(),
            "Token algorithm is not accepted.",
        ),
        row(
            "HS256 keyed with the public PEM",
            move |f| f.header("alg", json!("HS256")).sign_hmac(pem.as_bytes()),
            "Token algorithm is not accepted.",
        ),
        row(
            "HS256 keyed with the public DER",
            move |f| f.header("alg", json!("HS256")).sign_hmac(der.as_bytes()),
            "Token algorithm is not accepted.",
        ),
        row(
            "an algorithm that is not the key's",
            |f| f.header("alg", json!("ES256")).sign(),
            "Token algorithm is not accepted.",
        ),
        row(
            "RS256 for an Ed25519 key",
            |f| f.header("alg", json!("RS256")).sign(),
            "Token algorithm is not accepted.",
        ),
        row(
            "jwk in the header",
            |f| {
                f.header("jwk", json!({ "kty": "OKP", "crv": "Ed25519", "x": "AA" }))
                    .sign_with_another_key()
            },
            "Token header must not bring a key.",
        ),
        row(
            "jku in the header",
            |f| {
                f.header("jku", json!("https://evil.example/jwks.json"))
                    .sign()
            },
            "Token header must not bring a key.",
        ),
        row(
            "x5u in the header",
            |f| f.header("x5u", json!("https://evil.example/x.pem")).sign(),
            "Token header must not bring a key.",
        ),
        row(
            "x5c in the header",
            |f| f.header("x5c", json!(["AA"])).sign(),
            "Token header must not bring a key.",
        ),
        row(
            "an unknown crit",
            |f| f.header("crit", json!(["b64"])).sign(),
            "Token has a critical header that is not understood.",
        ),
        row(
            "typ JWT",
            |f| f.header("typ", json!("JWT")).sign(),
            "Token is not an access token.",
        ),
        row(
            "no typ",
            |f| f.header("typ", Value::Null).sign(),
            "Token is not an access token.",
        ),
        row(
            "a status list's typ",
            |f| f.header("typ", json!("statuslist+jwt")).sign(),
            "Token is not an access token.",
        ),
        row(
            "an unknown kid",
            |f| f.header("kid", json!("nobody")).sign(),
            "Token was signed by an unknown key.",
        ),
        row(
            "no kid",
            |f| f.header("kid", Value::Null).sign(),
            "Token was signed by an unknown key.",
        ),
        row(
            "a kid that is a path",
            |f| f.header("kid", json!("../../etc/passwd")).sign(),
            "Token was signed by an unknown key.",
        ),
        row(
            "another key under our kid",
            Forge::sign_with_another_key,
            "Token signature is invalid.",
        ),
        row(
            "a signature cut short",
            |f| {
                let t = f.sign();
                t[..t.len() - 2].to_owned()
            },
            "Token signature is invalid.",
        ),
        row(
            "claims changed after signing",
            |f| swap_claims(&f.sign(), &f.claim("scope", json!("tenants:write"))),
            "Token signature is invalid.",
        ),
        row(
            "no signature",
            Forge::unsigned,
            "Token signature is invalid.",
        ),
        row(
            "another issuer",
            |f| f.claim("iss", json!("https://evil.example")).sign(),
            "Token is from another issuer.",
        ),
        row(
            "the issuer with a slash",
            |f| {
                f.claim(
                    "iss",
                    json!(format!("{}/", f.claims["iss"].as_str().unwrap())),
                )
                .sign()
            },
            "Token is from another issuer.",
        ),
        row(
            "another audience",
            |f| f.claim("aud", json!("https://evil.example")).sign(),
            "Token is for another audience.",
        ),
        row(
            "two audiences",
            |f| {
                f.claim("aud", json!([f.claims["aud"], "https://evil.example"]))
                    .sign()
            },
            "Token is malformed.",
        ),
        row(
            "expired",
            |f| {
                f.claim("exp", json!(f.claims["iat"].as_u64().unwrap() - 1))
                    .sign()
            },
            "Token has expired.",
        ),
        row(
            "exp as text",
            |f| f.claim("exp", json!("4102444800")).sign(),
            "Token is malformed.",
        ),
        row(
            "exp beyond numbers",
            |f| f.claim("exp", json!(1e300)).sign(),
            "Token is malformed.",
        ),
        row(
            "no exp",
            |f| f.claim("exp", Value::Null).sign(),
            "Token is malformed.",
        ),
        row(
            "not yet valid",
            |f| {
                f.claim("nbf", json!(f.claims["iat"].as_u64().unwrap() + 300))
                    .sign()
            },
            "Token is not valid yet.",
        ),
        row(
            "issued in the future",
            |f| {
                f.claim("iat", json!(f.claims["iat"].as_u64().unwrap() + 300))
                    .sign()
            },
            "Token is not valid yet.",
        ),
        row(
            "bound to a key",
            |f| f.claim("cnf", json!({ "jkt": "x" })).sign(),
            "Token is bound to a key and cannot be used as a bearer token.",
        ),
        row(
            "a header member twice",
            |f| {
                f.sign_text(
                    &f.header.to_string().replacen('{', r#"{"alg":"EdDSA","#, 1),
                    &f.claims.to_string(),
                )
            },
            "Token is malformed.",
        ),
        row(
            "a claim twice",
            |f| {
                f.sign_text(
                    &f.header.to_string(),
                    &f.claims.to_string().replacen('{', r#"{"scope":"","#, 1),
                )
            },
            "Token is malformed.",
        ),
        row(
            "a claim twice, once escaped",
            |f| {
                f.sign_text(
                    &f.header.to_string(),
                    &f.claims
                        .to_string()
                        .replacen('{', r#"{"s\u0063ope":"","#, 1),
                )
            },
            "Token is malformed.",
        ),
        row(
            "claims as an array",
            |f| f.sign_text(&f.header.to_string(), "[]"),
            "Token is malformed.",
        ),
        row(
            "a header as an array",
            |f| f.sign_text(r#"["EdDSA","at+jwt","k"]"#, &f.claims.to_string()),
            "Token is malformed.",
        ),
        row(
            "deep JSON",
            |f| {
                f.claim(
                    "deep",
                    serde_json::from_str(&format!("{}{}", "[".repeat(60), "]".repeat(60))).unwrap(),
                )
                .sign()
            },
            "Token is malformed.",
        ),
        row(
            "deeper JSON",
            |f| {
                f.sign_text(
                    &f.header.to_string(),
                    &format!(r#"{{"a":{}"#, "[".repeat(4_000)),
                )
            },
            "Token is malformed.",
        ),
        row(
            "claims that are not UTF-8",
            |f| f.sign_bytes(f.header.to_string().as_bytes(), b"{\"iss\":\"\xff\xfe\"}"),
            "Token is malformed.",
        ),
        row(
            "padding",
            |f| format!("{}=", f.sign()),
            "Token is malformed.",
        ),
        row("two parts", |_| "a.b".to_owned(), "Token is malformed."),
        row(
            "five parts, as an encrypted token",
            |_| "a.b.c.d.e".to_owned(),
            "Token is malformed.",
        ),
        row(
            "a space within",
            |f| f.sign().replacen('.', " .", 1),
            "Token is malformed.",
        ),
        row(
            "a token of 9 KB",
            |f| f.claim("pad", json!("a".repeat(9_000))).sign(),
            "Token is too long.",
        ),
    ]
}

fn swap_claims(token: &str, other: &Forge) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    format!(
        "{}.{}.{}",
        parts[0],
        encode(other.claims.to_string().as_bytes()),
        parts[2]
    )
}
