//! Losses while two replicas are asked by many at once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use reqwest::StatusCode;

use super::{block, deployment_on, issued_to, only_limit, use_up};
use crate::support::own_redis::OwnRedis;

const LIMIT: u64 = 1_280;
const CALLERS: u64 = 16;
/// Two by a command and two by a kill.
const LOSSES: u64 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn losses_under_load_of_two_replicas_admit_no_more_than_the_limit() {
    let mut redis = OwnRedis::start().await;
    let deployment = deployment_on(&redis).await;
    only_limit(&deployment, "tokens_per_day", LIMIT).await;
    let tenant = deployment.tenant("free").await;
    let replica = deployment.replica(&[]).await;
    let (answered, unavailable) = (AtomicU64::new(0), AtomicU64::new(0));
    let (admitted, over) = (AtomicU64::new(1), AtomicBool::new(false));

    let ask = async |n: u64| {
        let core = if n.is_multiple_of(2) {
            &deployment
        } else {
            &*replica
        };
        while !over.load(Ordering::SeqCst) {
            match core.ask_token(&tenant.agent, &[]).await.status() {
                StatusCode::OK => {
                    admitted.fetch_add(1, Ordering::SeqCst);
                }
                StatusCode::TOO_MANY_REQUESTS => {}
                StatusCode::SERVICE_UNAVAILABLE => {
                    unavailable.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                other => panic!("{other}"),
            }
            answered.fetch_add(1, Ordering::SeqCst);
        }
    };
    // Spread over the limit and beyond it, where others are being refused.
    let lose = async {
        for loss in 1..=LOSSES {
            while answered.load(Ordering::SeqCst) < LIMIT * loss * 2 / 5 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if loss % 2 == 0 {
                redis.lose_everything().await;
            } else {
                let mut connection = redis.connection().await;
                let flushed = redis::cmd("FLUSHALL").query_async(&mut connection).await;
                let () = flushed.unwrap();
            }
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        over.store(true, Ordering::SeqCst);
    };
    let callers = futures_util::future::join_all((0..CALLERS).map(ask));
    let both = futures_util::future::join(callers, lose);
    tokio::time::timeout(Duration::from_secs(60), both)
        .await
        .expect("an end");
    let mut admitted = admitted.load(Ordering::SeqCst);
    for core in [&deployment, &*replica] {
        admitted += use_up(core, &tenant, "", "tokens_per_day").await;
    }
    let recorded = issued_to(&deployment, &tenant).await;
    println!(
        "{admitted} of {LIMIT} admitted through {LOSSES} losses, {} times 503",
        unavailable.load(Ordering::SeqCst)
    );
    assert!(
        admitted <= recorded && recorded <= LIMIT,
        "{admitted} {recorded}"
    );
    // For each loss a block at each replica, and what was in flight: counted in the
    // new store, and once more after it had been restored.
    let rounding = LOSSES * 2 * (block("tokens_per_day", LIMIT) + CALLERS);
    assert!(admitted + rounding >= LIMIT, "{admitted}");
    replica.stop().await;
    deployment.stop().await;
    redis.stop().await;
}
