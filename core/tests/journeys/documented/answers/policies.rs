//! The answers about a policy, from its upload to its end, and about decisions.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{check, check_members, document, upload, watching, whole};
use crate::support::{Deployment, text};

#[tokio::test]
async fn every_header_and_member_of_a_policys_answers_is_documented() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let admin = deployment.token(&tenant.administrator).await;
    let document = document();

    let put = ("/tenants/{org_id}/policy", "put");
    let unknown = upload(&deployment, "none", &tenant, Vec::new()).await;
    check(&document, put, &unknown);
    let refused = upload(&deployment, &admin, &tenant, b"no module".to_vec()).await;
    assert_eq!(refused.0, StatusCode::UNPROCESSABLE_ENTITY, "{refused:?}");
    check(&document, put, &refused);
    let made = upload(&deployment, &admin, &tenant, watching()).await;
    assert_eq!(made.0, StatusCode::CREATED, "{made:?}");
    check(&document, put, &made);
    let again = upload(&deployment, &admin, &tenant, watching()).await;
    assert_eq!(again.0, StatusCode::OK, "{again:?}");
    check(&document, put, &again);

    let digest = text(&made.2, "digest");
    let call = async |method: &str, template: &str, headers: &[(&str, &str)], body: Value| {
        let path = template
            .replace("{org_id}", &tenant.org_id)
            .replace("{digest}", &digest);
        let body = Some(body).filter(|body| !body.is_null());
        let lower = method.to_lowercase();
        let at = (template, lower.as_str());
        let stranger = deployment
            .call_with("none", method, &path, headers, body.clone())
            .await;
        check(&document, at, &stranger);
        let answer = deployment
            .call_with(&admin, method, &path, headers, body)
            .await;
        check(&document, at, &answer);
        answer
    };
    let of = |what: &str| format!("/tenants/{{org_id}}/policy{what}");
    let to = |what: &str| of(&format!("/versions/{{digest}}{what}"));
    let (any, stale) = ([("if-none-match", "*")], [("if-match", "\"stale\"")]);

    let (status, ..) = call("POST", &to("/shadow"), &[], json!({})).await;
    assert_eq!(status, StatusCode::OK);
    // It watches this one, and would not let it be.
    let answer = whole(deployment.ask_token(&tenant.agent, &[]).await).await;
    assert_eq!(answer.0, StatusCode::OK, "{answer:?}");
    check(&document, ("/token", "post"), &answer);
    let explain = async |decision_id: String| {
        let template = "/decisions/{decision_id}";
        let path = template.replace("{decision_id}", &decision_id);
        for headers in [&[][..], &any[..]] {
            let answer = deployment
                .call_with(&admin, "GET", &path, headers, None)
                .await;
            let known = !headers.is_empty();
            assert_eq!(answer.0 == StatusCode::NOT_MODIFIED, known, "{answer:?}");
            check(&document, (template, "get"), &answer);
        }
        deployment.must(&admin, "GET", &path, None).await
    };
    let explained = explain(text(&answer.2, "decision_id")).await;
    assert_eq!(explained["shadow"]["decision"], "deny", "{explained}");
    let (.., listed) = call("GET", &to("/differences"), &[], Value::Null).await;
    assert!(listed["data"][0].is_object(), "{listed}");
    let (.., replayed) = call("POST", &to("/replay"), &[], json!({ "limit": 5 })).await;
    assert!(replayed["changes"][0].is_object(), "{replayed}");

    for (method, template, headers, body, expected) in [
        ("POST", &*to("/activate"), &[][..], json!({}), 200),
        ("GET", &*of(""), &[][..], Value::Null, 200),
        ("GET", &*of("/versions"), &[][..], Value::Null, 200),
        ("GET", &*to(""), &[][..], Value::Null, 200),
        ("GET", &*to(""), &any[..], Value::Null, 304),
        (
            "POST",
            &*of("/try"),
            &[][..],
            json!({ "scopes": ["files:read"] }),
            200,
        ),
        ("POST", &*of("/try"), &[][..], json!({}), 422),
        ("DELETE", &*to(""), &[][..], Value::Null, 409),
    ] {
        let answer = call(method, template, headers, body).await;
        assert_eq!(answer.0, expected, "{method} {template} {answer:?}");
    }
    let answer = whole(deployment.ask_token(&tenant.agent, &[]).await).await;
    assert_eq!(answer.2["error"], "access_denied", "{answer:?}");
    check(&document, ("/token", "post"), &answer);
    let explained = explain(text(&answer.2, "decision_id")).await;
    assert_eq!(explained["steps"][2]["by"], "tenant", "{explained}");

    let evaluation = "/access/v1/evaluation";
    let asked = json!({
        "subject": { "type": "agent", "id": tenant.agent.id },
        "resource": { "type": "resource", "id": tenant.resource },
        "action": { "name": "files:read" },
    });
    let request = deployment
        .http
        .post(format!("{}{evaluation}", deployment.url));
    let request = request.bearer_auth(&admin).header("x-request-id", "mine");
    let (status, headers, answer) = whole(request.json(&asked).send().await.unwrap()).await;
    assert_eq!(
        (status, &answer["decision"]),
        (StatusCode::OK, &json!(false))
    );
    assert_eq!(headers["x-request-id"], "mine");
    let described = &document["paths"][evaluation]["post"]["responses"]["200"];
    assert!(described["headers"]["X-Request-ID"].is_object());
    let schema = &described["content"]["application/json"]["schema"];
    check_members(&document, schema, &answer, evaluation);

    let evaluations = "/access/v1/evaluations";
    let mut several = asked.clone();
    several["evaluations"] = json!([{}, { "action": {} }]);
    for asked in [asked, several] {
        let request = deployment
            .http
            .post(format!("{}{evaluations}", deployment.url));
        let request = request.bearer_auth(&admin).json(&asked);
        let (status, _, answer) = whole(request.send().await.unwrap()).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let described = &document["paths"][evaluations]["post"]["responses"]["200"];
        let alone = usize::from(asked["evaluations"].is_null());
        let schema = &described["content"]["application/json"]["schema"]["anyOf"][alone];
        check_members(&document, schema, &answer, evaluations);
    }

    for (method, template, headers, body, expected) in [
        ("POST", &*to("/retire"), &[][..], json!({}), 200),
        ("POST", &*of("/rollback"), &[][..], json!({}), 200),
        ("POST", &*to("/retire"), &[][..], json!({}), 200),
        ("DELETE", &*to(""), &stale[..], Value::Null, 412),
    ] {
        let answer = call(method, template, headers, body).await;
        assert_eq!(answer.0, expected, "{method} {template} {answer:?}");
    }
    let answer = call("DELETE", &to(""), &[], Value::Null).await;
    assert_eq!(answer.0, StatusCode::NO_CONTENT, "{answer:?}");
    let answer = call("POST", &of("/rollback"), &[], json!({})).await;
    assert_eq!(answer.0, StatusCode::CONFLICT, "{answer:?}");
    deployment.stop().await;
}
