//! A trap in the WebAssembly costs the requests that are in it, and nobody gets a
//! wrong answer: the instance is made anew.

use agentidp_core::dev::{Edge, EdgeFiles, EdgeSettings};
use reqwest::StatusCode;
use serde_json::Value;

use crate::support::{Deployment, root, status_at};

#[tokio::test]
async fn a_trap_costs_one_request_and_the_next_is_decided_as_ever() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let token = deployment.token(&tenant.agent).await;
    // The bundle, with a way into an allocation that is too large: the real
    // instance traps.
    let (bundle, copy) = (
        root().join("target/edge-bundle"),
        deployment.folder.join("bundle"),
    );
    std::fs::create_dir_all(&copy).unwrap();
    for file in std::fs::read_dir(&bundle).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    let worker = std::fs::read_to_string(copy.join("worker.mjs")).unwrap();
    let trapping = worker
        .replacen("edge.initSync(", "const wasm = edge.initSync(", 1)
        .replacen(
            "return edge.fetch(",
            "const trap = () => wasm.__wbindgen_malloc(0xfffffff0, 1);
      if (request.headers.get(\"X-Trap\") === \"now\") trap();
      if (request.headers.get(\"X-Trap\") === \"later\") {
        return new Promise(() => queueMicrotask(trap));
      }
      return edge.fetch(",
            1,
        );
    assert_eq!(
        trapping.matches("wasm").count(),
        worker.matches("wasm").count() + 2
    );
    std::fs::write(copy.join("worker.mjs"), trapping).unwrap();

    let settings: EdgeSettings = deployment.edge_settings(&[&tenant], "").await;
    let files = EdgeFiles::find(&copy, &root().join("edge/node_modules")).unwrap();
    let objects = deployment.folder.join("objects");
    std::fs::create_dir_all(&objects).unwrap();
    let edge = Edge::start(&files, &settings, &objects).await.unwrap();
    let url = format!("http://127.0.0.1:{}/verify", settings.port);
    let revoked = deployment.token(&tenant.agent).await;
    deployment.revoke(&tenant.agent, &revoked).await;
    let mut traps = 0;
    for _ in 0..3 {
        assert_eq!(status_at(&deployment, &url, &token).await, StatusCode::OK);
        let request = deployment
            .http
            .get(&url)
            .bearer_auth(&token)
            .header("X-Trap", "now");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            answer.json::<Value>().await.unwrap()["code"],
            "SERVICE_UNAVAILABLE"
        );
        assert_eq!(
            status_at(&deployment, &url, &revoked).await,
            StatusCode::UNAUTHORIZED
        );
        assert_eq!(
            status_at(&deployment, &url, "x.y.z").await,
            StatusCode::UNAUTHORIZED
        );
        // One that had waited is ended by the runtime.
        let request = deployment.http.get(&url).header("X-Trap", "later");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        traps += 2;
    }
    assert_eq!(status_at(&deployment, &url, &token).await, StatusCode::OK);
    // The count is the object's: it did not begin anew.
    let request = deployment.http.get(&url).bearer_auth(&token);
    let answer = request.send().await.unwrap();
    let remaining: u64 = answer.headers()["x-ratelimit-remaining"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((9_000..10_000).contains(&remaining), "{remaining}");
    edge.stop().await;
    let log = std::fs::read_to_string(deployment.folder.join("edge.log")).unwrap();
    let seen = log.matches("edge: RuntimeError").count();
    assert_eq!(seen, traps, "{log}");
    deployment.stop().await;
}
