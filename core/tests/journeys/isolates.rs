//! Eight isolates of one place: eight services in one workerd that share its
//! objects. What was revoked is refused by each, and a limit is all of theirs.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use agentidp_edge_conformance::pace::{Pace, last_admitted};
use reqwest::StatusCode;

use crate::support::{Deployment, Tenant};

const ISOLATES: usize = 8;
/// From the answer to the last request admitted.
const BOUND: Duration = Duration::from_secs(2);

async fn start(deployment: &mut Deployment, tenant: &Tenant) -> Vec<SocketAddr> {
    deployment.start_isolates(ISOLATES, &[tenant]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_is_refused_by_eight_isolates_within_two_seconds_under_load() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    deployment
        .set_tier("enterprise", "requests_per_minute", None)
        .await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let edges = start(&mut deployment, &tenant).await;
    let mut times = Vec::new();
    for _ in 0..2 {
        let token = deployment.token(&tenant.agent).await;
        let pace = Pace::start(&edges, 2, "/verify", &token, 400);
        tokio::time::sleep(Duration::from_millis(600)).await;
        let begun = Instant::now();
        let revoked = deployment.revoke(&tenant.agent, &token).await;
        let answered = Instant::now();
        assert_eq!(revoked, StatusCode::OK);
        tokio::time::sleep(BOUND + Duration::from_millis(400)).await;
        let seen = pace.stop().await.unwrap();
        for edge in 0..ISOLATES {
            let mut of_it = seen.iter().filter(|seen| seen.edge == edge);
            let served = of_it
                .clone()
                .any(|seen| seen.admitted() && seen.sent < begun);
            assert!(served, "isolate {edge} served nobody");
            let last = of_it.next_back().unwrap();
            assert_eq!(last.status, Some(401), "isolate {edge}");
        }
        let strange = seen
            .iter()
            .find(|seen| !matches!(seen.status, Some(200 | 401)));
        assert!(strange.is_none(), "{strange:?}");
        times.extend(last_admitted(&seen, ISOLATES, answered));
    }
    times.sort_unstable();
    println!("from the answer to the last one admitted, by isolate: {times:?}");
    assert!(times.last().unwrap() <= &BOUND, "{times:?}");
    deployment.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_isolates_admit_one_limit_together() {
    let window = [("RATE_LIMIT_WINDOW_MS", "6000")];
    let mut deployment = Deployment::start_with(agentidp_verify::Algorithm::EdDSA, &window).await;
    let tenant = deployment.tenant("free").await;
    let edges = start(&mut deployment, &tenant).await;
    let token = deployment.token(&tenant.agent).await;
    let pace = Pace::start(&edges, 2, "/verify", &token, 300);
    tokio::time::sleep(Duration::from_secs(13)).await;
    let seen = pace.stop().await.unwrap();
    let mut windows: std::collections::BTreeMap<u64, [usize; 2]> = Default::default();
    for answer in &seen {
        let ends_s = answer.window_ends_s.unwrap_or_else(|| panic!("{answer:?}"));
        windows.entry(ends_s).or_default()[usize::from(!answer.admitted())] += 1;
    }
    println!("admitted and refused, by window: {windows:?}");
    assert!(windows.values().all(|[admitted, _]| *admitted <= 100));
    // A whole window of it, in which each isolate asked until it was refused.
    let whole = windows.values().any(|[admitted, _]| *admitted == 100);
    assert!(whole, "{windows:?}");
    deployment.stop().await;
}
