//! The feed is signed: what is not the core's, is not for edges, is old or goes back
//! is not taken up, and the edge refuses before it believes it.

use std::time::{Duration, Instant};

use agentidp_core::keys::AwsLc;
use agentidp_verify::Jwks;
use agentidp_verify::feed::{Page, audience};
use agentidp_verify::statement::{FEED, Statement};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::between::{Between, Reply};
use crate::support::forge::Forge;
use crate::support::{Deployment, Tenant, claims, read_env, run, secrets, status_at};

const FEED_PATH: &str = "/api/v1/edge/feed";
const KEYS_PATH: &str = "/.well-known/jwks.json";
/// What a revocation's author may rely on.
const BOUND: Duration = Duration::from_secs(2);

/// A deployment whose edge asks by way of somebody between.
struct Scene {
    deployment: Deployment,
    between: Between,
    tenant: Tenant,
    token: String,
    verify: String,
}

impl Scene {
    async fn set() -> Self {
        let mut deployment = Deployment::start().await;
        let tenant = deployment.tenant("enterprise").await;
        let between = Between::start(&deployment.url).await;
        let mut settings = deployment.edge_settings(&[&tenant], "").await;
        settings.core_url.clone_from(&between.url);
        let verify = deployment.start_edge_with(&settings).await + "/verify";
        let token = deployment.token(&tenant.agent).await;
        let scene = Self {
            deployment,
            between,
            tenant,
            token,
            verify,
        };
        assert_eq!(scene.status().await, StatusCode::OK);
        scene
    }

    async fn status_of(&self, token: &str) -> StatusCode {
        status_at(&self.deployment, &self.verify, token).await
    }

    async fn status(&self) -> StatusCode {
        self.status_of(&self.token).await
    }

    /// Waits for a status, and no longer than the bound.
    async fn becomes(&self, token: &str, wanted: StatusCode, what: &str) {
        let begun = Instant::now();
        while self.status_of(token).await != wanted {
            assert!(begun.elapsed() < BOUND, "{what}: no {wanted}");
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.deployment.folder.join("edge.log")).unwrap()
    }

    /// Signs by the core's key, with this header and these claims.
    fn forge(&self) -> Forge {
        let tenant = &self.tenant;
        let forge = Forge::good(&self.deployment, tenant, "a", "b", "");
        forge.header("typ", json!(FEED.typ))
    }
}

fn header(jws: &str) -> Value {
    let header = URL_SAFE_NO_PAD.decode(jws.split('.').next().unwrap());
    serde_json::from_slice(&header.unwrap()).unwrap()
}

#[tokio::test]
async fn a_page_is_signed_for_edges_says_of_when_it_is_and_may_be_kept_for_a_second() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let token = deployment.token(&tenant.agent).await;
    assert_eq!(
        deployment.revoke(&tenant.agent, &token).await,
        StatusCode::OK
    );
    let (_, printed, _) = run(&["edge", "register", "fra1"], deployment.vars()).await;
    let edge = read_env(&printed);
    secrets::keep_credential(&edge["EDGE_ID"], &edge["EDGE_SECRET"]);
    let keys = deployment
        .http
        .get(format!("{}{KEYS_PATH}", deployment.url));
    let keys = keys.send().await.unwrap().bytes().await.unwrap();
    let keys = Jwks::read(&keys).unwrap();
    let ask = async |after: &str| -> Page {
        let url = format!("{}{FEED_PATH}{after}", deployment.url);
        let asked = deployment.http.get(url);
        let asked = asked.basic_auth(&edge["EDGE_ID"], Some(&edge["EDGE_SECRET"]));
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let headers = answer.headers();
        assert_eq!(headers["content-type"], "application/agentidp-feed+jwt");
        assert_eq!(headers["cache-control"], "public, max-age=1");
        assert_eq!(headers["vary"], "Authorization");
        let jws = answer.text().await.unwrap();
        assert_eq!(header(&jws)["typ"], "agentidp-feed+jwt");
        let statement = Statement::parse(&jws, FEED).unwrap();
        let key = statement.choose(&keys).unwrap().clone();
        let audience = audience(deployment.issuer());
        let parties = (deployment.issuer(), audience.as_str());
        statement.verify(&key, parties, &AwsLc).await.unwrap()
    };
    let first = ask("").await;
    assert!(first.snapshot && !first.more && first.after == 0);
    assert!(first.cursor > 0 && first.window_ms == 60_000);
    let jti = claims(&token)["jti"].clone();
    assert!(first.entries.iter().any(|entry| json!(entry.id) == jti));
    let now = agentidp_core::clock::Now::read().ms();
    assert!(first.as_of <= now && now - first.as_of < 5_000, "{first:?}");

    let next = ask(&format!("?after={}", first.cursor)).await;
    assert_eq!((next.after, next.snapshot), (first.cursor, false));
    assert!(next.entries.is_empty() && next.as_of >= first.as_of);
    // From before the database was restored: all from the beginning.
    let ahead = first.cursor + 1_000;
    let anew = ask(&format!("?after={ahead}")).await;
    assert_eq!((anew.after, anew.snapshot), (ahead, true));
    assert_eq!(anew.entries, first.entries);
    // A page that is asked for again at once is the same, until a moment later.
    tokio::time::sleep(Duration::from_millis(120)).await;
    let later = ask(&format!("?after={ahead}")).await;
    assert!(later.as_of > anew.as_of);
    deployment.stop().await;
}

#[tokio::test]
async fn a_page_that_is_not_the_cores_word_is_not_taken_up_and_soon_nobody_is_admitted() {
    let scene = Scene::set().await;
    let real = |forge: Forge, change: fn(&mut Value)| {
        move |reply: &Reply| {
            let mut said = claims(&reply.text());
            change(&mut said);
            let mut forged = forge.clone();
            forged.claims = said;
            forged.sign()
        }
    };
    let broken = |reply: &Reply| {
        let text = reply.text();
        let (message, signature) = text.rsplit_once('.').unwrap();
        let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        signature[7] ^= 1;
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    let forge = scene.forge();
    let another_key = {
        let forge = forge.clone();
        move |reply: &Reply| {
            let mut forged = forge.clone();
            forged.claims = claims(&reply.text());
            forged.sign_with_another_key()
        }
    };
    let token = scene.token.clone();
    let as_token = forge.header("typ", json!("at+jwt"));
    let as_lease = forge.header("typ", json!("agentidp-lease+jwt"));
    type Making = Box<dyn Fn(&Reply) -> String + Send>;
    let cases: Vec<(&str, Making)> = vec![
        ("a bad signature", Box::new(broken)),
        ("another key", Box::new(another_key)),
        (
            "no signature",
            Box::new(|reply| {
                let text = reply.text();
                text[..=text.rfind('.').unwrap()].to_owned()
            }),
        ),
        ("another typ", Box::new(real(as_token, |_| {}))),
        ("a lease", Box::new(real(as_lease, |_| {}))),
        ("an access token", Box::new(move |_| token.clone())),
        (
            "another issuer",
            Box::new(real(forge.clone(), |c| {
                c["iss"] = json!("https://i.example")
            })),
        ),
        (
            "another audience",
            Box::new(real(forge.clone(), |c| {
                c["aud"] = json!("https://a.example")
            })),
        ),
        (
            "another question",
            Box::new(real(forge.clone(), |c| c["after"] = json!(1))),
        ),
        (
            "a cursor that goes back",
            Box::new(real(forge.clone(), |c| {
                c["cursor"] = json!(0);
            })),
        ),
        (
            "another time",
            Box::new(real(forge.clone(), |c| {
                c["as_of"] = json!(c["as_of"].as_u64().unwrap() + 400_000);
            })),
        ),
        (
            "no JWS",
            Box::new(|_| r#"{"cursor":1,"entries":[]}"#.to_owned()),
        ),
    ];
    for (what, make) in cases {
        scene.between.change(move |path, reply| {
            if path.starts_with(FEED_PATH) {
                let made = make(&reply);
                return reply.with_body(made);
            }
            reply
        });
        scene
            .becomes(&scene.token, StatusCode::SERVICE_UNAVAILABLE, what)
            .await;
        scene.between.pass_on();
        scene.becomes(&scene.token, StatusCode::OK, what).await;
    }
    let log = scene.log();
    for line in [
        "feed: the page is not the core's: Token signature is invalid.",
        "feed: the page is not the core's: Token is not an access token.",
        "feed: the page answers another question",
        "feed: the page's cursor goes back",
        "feed: the page's time and this machine's are far apart",
    ] {
        assert!(log.contains(line), "{line}\n{log}");
    }
    scene.deployment.stop().await;
}

#[tokio::test]
async fn a_feed_or_a_key_set_that_is_huge_slow_redirected_or_of_another_type_is_not_read() {
    let scene = Scene::set().await;
    type Making = Box<dyn Fn(Reply) -> Reply + Send>;
    let cases = || -> Vec<(&'static str, Making)> {
        let real = scene.deployment.url.clone();
        vec![
            (
                "huge",
                Box::new(|reply| {
                    let mut body = reply.body.clone();
                    body.resize(700 * 1024, b' ');
                    reply.with_body(body)
                }),
            ),
            (
                "slow",
                Box::new(|reply| Reply {
                    delay: Duration::from_millis(900),
                    ..reply
                }),
            ),
            (
                "redirected",
                Box::new(move |reply| Reply {
                    status: 302,
                    headers: vec![("location", format!("{real}{KEYS_PATH}"))],
                    ..reply
                }),
            ),
            (
                "of another type",
                Box::new(|reply| Reply {
                    content_type: "text/html".into(),
                    ..reply
                }),
            ),
            ("nothing", Box::new(|reply| reply.with_body(""))),
            (
                "a failure",
                Box::new(|reply| Reply {
                    status: 500,
                    ..reply
                }),
            ),
        ]
    };
    for (what, make) in cases() {
        scene.between.change(move |path, reply| {
            if path.starts_with(FEED_PATH) {
                make(reply)
            } else {
                reply
            }
        });
        scene
            .becomes(&scene.token, StatusCode::SERVICE_UNAVAILABLE, what)
            .await;
        scene.between.pass_on();
        scene.becomes(&scene.token, StatusCode::OK, what).await;
    }

    let mut sets = cases();
    sets.push(("an array", Box::new(|reply| reply.with_body("[]"))));
    sets.push((
        "no set",
        Box::new(|reply| reply.with_body(r#"{"keys":"none"}"#)),
    ));
    sets.push(("empty", Box::new(|reply| reply.with_body(r#"{"keys":[]}"#))));
    let unknown = Forge::good(
        &scene.deployment,
        &scene.tenant,
        &scene.tenant.agent.id,
        &scene.tenant.resource,
        "files:read",
    );
    for (n, (what, make)) in sets.into_iter().enumerate() {
        scene.between.change(move |path, reply| {
            if path.starts_with(KEYS_PATH) {
                make(reply)
            } else {
                reply
            }
        });
        // A token that names another key has the set asked for again, once a second.
        tokio::time::sleep(Duration::from_millis(1_050)).await;
        let before = scene.between.asked(KEYS_PATH);
        let token = unknown.header("kid", json!(format!("k{n}"))).sign();
        assert_eq!(
            scene.status_of(&token).await,
            StatusCode::SERVICE_UNAVAILABLE,
            "{what}"
        );
        assert!(scene.between.asked(KEYS_PATH) > before, "{what}");
        assert_eq!(
            scene.status().await,
            StatusCode::OK,
            "the old set stays: {what}"
        );
    }
    scene.deployment.stop().await;
}

#[tokio::test]
async fn a_feed_that_is_replayed_or_held_back_makes_nobody_young_again() {
    let scene = Scene::set().await;
    // The same page for ever: what is revoked meanwhile is not known, so that soon
    // nobody is admitted.
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(scene.status().await, StatusCode::OK);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (_, last) = scene.between.kept(FEED_PATH).pop().unwrap();
    let again = last.clone();
    scene.between.change(move |path, reply| {
        if path.starts_with(FEED_PATH) {
            again.clone()
        } else {
            reply
        }
    });
    let revoked = scene.deployment.token(&scene.tenant.agent).await;
    scene.deployment.revoke(&scene.tenant.agent, &revoked).await;
    let begun = Instant::now();
    let mut admitted = begun;
    while begun.elapsed() < Duration::from_secs(4) {
        let sent = Instant::now();
        if scene.status_of(&revoked).await == StatusCode::OK {
            admitted = sent;
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    assert!(admitted - begun < BOUND, "{:?}", admitted - begun);
    assert_eq!(scene.status().await, StatusCode::SERVICE_UNAVAILABLE);
    scene.between.pass_on();
    scene
        .becomes(&revoked, StatusCode::UNAUTHORIZED, "passed on again")
        .await;
    // The older page after a newer one.
    scene.between.change(move |path, reply| {
        if path.starts_with(FEED_PATH) {
            last.clone()
        } else {
            reply
        }
    });
    let refused = StatusCode::SERVICE_UNAVAILABLE;
    scene.becomes(&scene.token, refused, "an older page").await;
    assert_eq!(scene.status_of(&revoked).await, refused);
    scene.between.pass_on();
    scene
        .becomes(&scene.token, StatusCode::OK, "passed on again")
        .await;
    scene.deployment.stop().await;
}

#[tokio::test]
async fn an_edge_begins_anew_after_the_database_was_restored() {
    let scene = Scene::set().await;
    let (deployment, agent) = (&scene.deployment, &scene.tenant.agent);
    let head = async || -> i64 {
        sqlx::query_scalar("SELECT seq FROM change_head")
            .fetch_one(&deployment.pool)
            .await
            .unwrap()
    };
    let (before, after) = (deployment.token(agent).await, deployment.token(agent).await);
    deployment.revoke(agent, &before).await;
    let backed_up = head().await;
    deployment.revoke(agent, &after).await;
    let refused = StatusCode::UNAUTHORIZED;
    scene.becomes(&before, refused, "before the backup").await;
    scene.becomes(&after, refused, "after it").await;
    assert!(head().await > backed_up);

    sqlx::query("DELETE FROM revocations WHERE seq > $1")
        .bind(backed_up)
        .execute(&deployment.pool)
        .await
        .unwrap();
    sqlx::query("UPDATE change_head SET seq = $1")
        .bind(backed_up)
        .execute(&deployment.pool)
        .await
        .unwrap();
    // The edge follows the database as it is: what was lost has to be done again.
    scene.becomes(&after, StatusCode::OK, "restored").await;
    assert_eq!(scene.status_of(&before).await, refused);
    deployment.revoke(agent, &after).await;
    scene.becomes(&after, refused, "done again").await;
    assert_eq!(scene.status().await, StatusCode::OK);
    scene.deployment.stop().await;
}

#[tokio::test]
async fn what_a_revoked_key_signed_is_refused_and_it_is_believed_no_more() {
    let scene = Scene::set().await;
    let vars = scene.deployment.vars();
    let kid = header(&scene.token)["kid"].as_str().unwrap().to_owned();
    let (ok, _, why) = run(&["keys", "revoke", &kid], vars).await;
    assert!(!ok && why.contains("the key that signs"), "{why}");
    let database = vars.iter().filter(|(name, _)| *name == "DATABASE_URL");
    let database = database
        .map(|(name, url)| (name.clone(), url.clone()))
        .collect();
    for no_key in ["", "x", &kid[1..]] {
        let (ok, _, why) = run(&["keys", "revoke", no_key], &database).await;
        assert!(!ok && why.contains("thumbprint"), "{no_key:?} {why}");
    }
    assert_eq!(scene.status().await, StatusCode::OK);
    let (ok, said, why) = run(&["keys", "revoke", &kid], &database).await;
    assert!(ok && said.contains(&kid), "{said} {why}");
    assert_eq!(scene.deployment.events("key.revoked").await, 1);
    // The page that says so is the last that is believed of it.
    scene
        .becomes(&scene.token, StatusCode::UNAUTHORIZED, "revoked")
        .await;
    scene
        .becomes(&scene.token, StatusCode::SERVICE_UNAVAILABLE, "unknown")
        .await;
    assert!(scene.log().contains("Token has been revoked."));
    scene.deployment.stop().await;
}
