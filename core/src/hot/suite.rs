//! One suite for both stores. Redis is the real one that `REDIS_URL` names, as
//! `make test` sets it.

use super::*;

/// A key that no other run uses.
fn key(name: &str) -> String {
    format!("suite:{name}:{}", rand::random::<u64>())
}

async fn both(check: impl AsyncFn(&dyn HotStore)) {
    let url =
        std::env::var("REDIS_URL").expect("REDIS_URL: `make test` starts a Redis and sets it");
    check(&MemoryStore::default()).await;
    check(&RedisStore::connect(&url).await.unwrap()).await;
}

fn in_a_minute(key: &str, now: Now) -> Tick {
    Tick {
        key: key.to_owned(),
        starts_ms: now.ms(),
        expires_ms: now.ms() + 60_000,
    }
}

#[tokio::test]
async fn each_use_is_counted_once_on_each_counter() {
    both(async |store| {
        let now = Now::read();
        let (a, b) = (in_a_minute(&key("a"), now), in_a_minute(&key("b"), now));
        let count =
            |ticks: Vec<Tick>| async move { store.count(&ticks, now).await.unwrap().values };
        assert_eq!(count(vec![a.clone(), b.clone()]).await, [1, 1]);
        assert_eq!(count(vec![b.clone()]).await, [2]);
        assert_eq!(count(vec![b, a]).await, [3, 2]);
        assert_eq!(count(vec![]).await, [0_u64; 0]);
    })
    .await;
}

#[tokio::test]
async fn reading_counters_counts_nothing_and_makes_no_key() {
    both(async |store| {
        let now = Now::read();
        let (used, unused) = (key("used"), key("unused"));
        let tick = in_a_minute(&used, now);
        let keys = [unused.clone(), used.clone()];
        for n in 1..=3 {
            store.count(std::slice::from_ref(&tick), now).await.unwrap();
            assert_eq!(store.read(&keys, now).await.unwrap().values, [0, n]);
        }
        assert!(!store.exists(&unused, now).await.unwrap());
        store.raise(&tick, 40, now).await.unwrap();
        assert_eq!(store.read(&keys[1..], now).await.unwrap().values, [40]);
        let began = store.begin_epoch(now).await.unwrap();
        let nothing = store.read(&[], now).await.unwrap();
        assert_eq!((nothing.values, nothing.epoch), (vec![], Some(began)));
    })
    .await;
}

#[tokio::test]
async fn taking_back_never_makes_a_key_and_never_goes_below_zero() {
    both(async |store| {
        let now = Now::read();
        let (used, unused) = (key("used"), key("unused"));
        let began = store.begin_epoch(now).await.unwrap();
        store
            .take_back(std::slice::from_ref(&unused), 1, began, now)
            .await
            .unwrap();
        assert!(!store.exists(&unused, now).await.unwrap());

        store.count(&[in_a_minute(&used, now)], now).await.unwrap();
        for _ in 0..3 {
            store
                .take_back(std::slice::from_ref(&used), 1, began, now)
                .await
                .unwrap();
        }
        let count = async || {
            let counted = store.count(&[in_a_minute(&used, now)], now).await;
            counted.unwrap().values
        };
        assert_eq!(count().await, [1]);
        // What was counted in a store that was lost is not in this one.
        store
            .take_back(std::slice::from_ref(&used), 1, began - 1, now)
            .await
            .unwrap();
        assert_eq!(count().await, [2]);
    })
    .await;
}

#[tokio::test]
async fn a_lease_is_a_share_and_never_goes_beyond_the_limit() {
    both(async |store| {
        let now = Now::read();
        let (limited, free) = (key("limited"), key("free"));
        let began = store.begin_epoch(now).await.unwrap();
        let lease = async |key: &str, wanted, limit| {
            let leased = store
                .lease(&in_a_minute(key, now), wanted, limit, now)
                .await;
            let leased = leased.unwrap();
            assert_eq!(leased.epoch, Some(began));
            (leased.granted, leased.value)
        };
        assert_eq!(lease(&limited, 64, Some(0)).await, (0, 0));
        assert!(!store.exists(&limited, now).await.unwrap());
        assert_eq!(lease(&limited, 64, Some(100)).await, (12, 12));
        assert_eq!(lease(&limited, 5, Some(100)).await, (5, 17));
        let mut total = 17;
        for _ in 0..60 {
            let (granted, value) = lease(&limited, 64, Some(100)).await;
            total += granted;
            assert_eq!(value, total);
        }
        assert_eq!(total, 100);
        assert_eq!(lease(&limited, 1, Some(99)).await, (0, 100));
        let keys = std::slice::from_ref(&limited);
        store.take_back(keys, 30, began, now).await.unwrap();
        assert_eq!(lease(&limited, 1, Some(100)).await, (1, 71));
        store.take_back(keys, 1_000, began, now).await.unwrap();
        assert_eq!(lease(&limited, 1, Some(100)).await, (1, 1));
        assert_eq!(lease(&free, 300, None).await, (300, 300));
        assert_eq!(lease(&free, u64::MAX, None).await, (4_096, 4_396));
        let huge = u64::MAX - 1;
        assert_eq!(lease(&free, 7, Some(huge)).await, (7, 4_403));
    })
    .await;
}

#[tokio::test]
async fn counters_and_marks_are_forgotten_when_they_expire() {
    both(async |store| {
        let start = Now::read();
        let (counter, mark) = (key("counter"), key("mark"));
        let soon = start.ms() + 80;
        let tick = Tick {
            key: counter.clone(),
            starts_ms: start.ms(),
            expires_ms: soon,
        };
        store.count(&[tick], start).await.unwrap();
        let marks = [&mark, &key("other")].map(|key| Mark {
            key: key.clone(),
            expires_ms: soon,
        });
        store.mark(&marks, start).await.unwrap();
        store.mark(&[], start).await.unwrap();
        assert!(store.exists(&marks[1].key, start).await.unwrap());
        assert!(store.exists(&mark, start).await.unwrap());

        while Now::read().ms() <= soon + 20 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let now = Now::read();
        assert!(!store.exists(&mark, now).await.unwrap());
        let tick = in_a_minute(&counter, now);
        assert_eq!(store.count(&[tick], now).await.unwrap().values, [1]);
    })
    .await;
}

#[tokio::test]
async fn concurrent_uses_are_all_counted() {
    both(async |store| {
        let now = Now::read();
        let tick = in_a_minute(&key("many"), now);
        let uses = (0..100).map(|_| store.count(std::slice::from_ref(&tick), now));
        let mut counted: Vec<u64> = futures_util::future::join_all(uses)
            .await
            .into_iter()
            .map(|counts| counts.unwrap().values[0])
            .collect();
        counted.sort_unstable();
        assert_eq!(counted, (1..=100).collect::<Vec<u64>>());
    })
    .await;
}

#[tokio::test]
async fn a_counter_is_raised_once_and_never_lowered() {
    both(async |store| {
        let now = Now::read();
        let tick = in_a_minute(&key("raised"), now);
        let count = async || store.count(std::slice::from_ref(&tick), now).await.unwrap();
        store.raise(&tick, 40, now).await.unwrap();
        store.raise(&tick, 40, now).await.unwrap();
        assert_eq!(count().await.values, [41]);
        store.raise(&tick, 10, now).await.unwrap();
        assert_eq!(count().await.values, [42]);
        // By no more than it lacks: another replica may have raised it before.
        store.raise(&tick, 50, now).await.unwrap();
        assert_eq!(count().await.values, [51]);
    })
    .await;
}

#[tokio::test]
async fn a_store_says_when_it_began_and_begins_once() {
    both(async |store| {
        let now = Now::read();
        let began = store.begin_epoch(now).await.unwrap();
        let later = Now::from_ms(now.ms() + 1_000);
        assert_eq!(store.begin_epoch(later).await.unwrap(), began);
        assert_eq!(store.count(&[], now).await.unwrap().epoch, Some(began));
    })
    .await;
}
