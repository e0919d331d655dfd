//! Tokens that the core's own key has signed and that are no good all the same.
//! They take the key, which only a deployment that is made to be tested can give.

use serde_json::{Value, json};

use crate::Stop;
use crate::bend::read_key;
use crate::checks::Check;
use crate::checks::refused::all_refused;
use crate::scene::{Scene, VERIFY, must, since_1970, skip};

pub(crate) fn checks<'a>(scene: &'a Scene<'_>) -> [(&'static str, Check<'a>); 1] {
    [(
        "a token that the core's key signed is refused where it is expired, early, of another type, issuer, audience or tenant",
        Box::pin(signed(scene)),
    )]
}

async fn signed(scene: &Scene<'_>) -> Result<(), Stop> {
    let pem = scene.target.signing_key.as_deref();
    let pem = pem.ok_or_else(|| skip("it needs SIGNING_KEY_FILE, the core's own key"))?;
    let (key, good) = (read_key(pem)?, scene.bent()?);
    let now = since_1970()?.as_secs();

    // Otherwise nothing that follows says anything.
    let control = good.claim("jti", json!("conformance")).signed_by(&key);
    let status = scene.with(VERIFY, &control).await?.status;
    must(status == 200, || {
        format!("a token signed by SIGNING_KEY_FILE was answered with {status}")
    })?;
    let header = |name, value| good.header(name, value).signed_by(&key);
    let claim = |name, value| good.claim(name, value).signed_by(&key);
    let slash = |name: &str| {
        json!(format!(
            "{}/",
            good.claims[name].as_str().unwrap_or_default()
        ))
    };
    let cases = [
        ("typ JWT", header("typ", json!("JWT"))),
        ("no typ", header("typ", Value::Null)),
        ("alg ES256", header("alg", json!("ES256"))),
        ("alg EdDSA in lower case", header("alg", json!("eddsa"))),
        ("a crit", header("crit", json!(["b64"]))),
        ("expired", claim("exp", json!(now - 5))),
        ("expired long ago", claim("exp", json!(1))),
        ("no exp", claim("exp", Value::Null)),
        ("exp as a text", claim("exp", json!("4000000000"))),
        ("nbf ahead", claim("nbf", json!(now + 600))),
        ("iat ahead", claim("iat", json!(now + 600))),
        (
            "another issuer",
            claim("iss", json!("https://issuer.example")),
        ),
        ("the issuer with a slash", claim("iss", slash("iss"))),
        ("no issuer", claim("iss", Value::Null)),
        (
            "another audience",
            claim("aud", json!("https://other.example")),
        ),
        ("the audience with a slash", claim("aud", slash("aud"))),
        ("no audience", claim("aud", Value::Null)),
        (
            "another tenant",
            claim("org_id", json!("00000000-0000-0000-0000-000000000000")),
        ),
        ("bound to a key", claim("cnf", json!({ "jkt": "AAAA" }))),
        ("no agent", claim("sub", Value::Null)),
    ];
    all_refused(scene, &cases).await
}
