//! Somebody between an edge and its core: passes on what is asked, or answers in
//! another way.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, Uri};
use tokio::net::TcpListener;

/// An answer on its way.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub content_type: String,
    /// Beside the content type.
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    pub delay: Duration,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn with_body(self, body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            ..self
        }
    }
}

/// What becomes of an answer; `path` is what was asked, with its query.
pub type Change = Box<dyn Fn(&str, Reply) -> Reply + Send>;

struct Way {
    core: String,
    http: reqwest::Client,
    change: Mutex<Option<Change>>,
    asked: Mutex<Vec<(String, Option<Reply>)>>,
}

/// It ends with the test.
pub struct Between {
    pub url: String,
    way: Arc<Way>,
}

impl Between {
    /// Before the core at `core`.
    pub async fn start(core: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let way = Arc::new(Way {
            core: core.to_owned(),
            http: reqwest::Client::new(),
            change: Mutex::default(),
            asked: Mutex::default(),
        });
        let router = Router::new().fallback(pass).with_state(Arc::clone(&way));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, way }
    }

    /// From now on answers become what `change` makes of them.
    pub fn change(&self, change: impl Fn(&str, Reply) -> Reply + Send + 'static) {
        *self.way.change.lock().unwrap() = Some(Box::new(change));
    }

    /// From now on answers are passed on as they are.
    pub fn pass_on(&self) {
        *self.way.change.lock().unwrap() = None;
    }

    /// How often something was asked for whose path begins with `path`.
    pub fn asked(&self, path: &str) -> usize {
        let asked = self.way.asked.lock().unwrap();
        let named = asked.iter().filter(|(one, _)| one.starts_with(path));
        named.count()
    }

    /// What the core answered where it was asked for what begins with `path`.
    pub fn kept(&self, path: &str) -> Vec<(String, Reply)> {
        let asked = self.way.asked.lock().unwrap();
        let named = asked.iter().filter(|(one, _)| one.starts_with(path));
        named
            .filter_map(|(one, reply)| Some((one.clone(), reply.clone()?)))
            .collect()
    }
}

async fn pass(
    State(way): State<Arc<Way>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let path = uri.path_and_query().unwrap().to_string();
    let mut request = way.http.request(method, format!("{}{path}", way.core));
    for name in ["authorization", "content-type"] {
        if let Some(value) = headers.get(name) {
            request = request.header(name, value);
        }
    }
    let Ok(answer) = request.body(body).send().await else {
        way.asked.lock().unwrap().push((path, None));
        return Response::builder().status(502).body(Body::empty()).unwrap();
    };
    let content_type = answer.headers().get("content-type");
    let mut reply = Reply {
        status: answer.status().as_u16(),
        content_type: content_type.map_or("", |v| v.to_str().unwrap()).to_owned(),
        headers: Vec::new(),
        delay: Duration::ZERO,
        body: answer.bytes().await.unwrap().to_vec(),
    };
    let asked = (path.clone(), Some(reply.clone()));
    way.asked.lock().unwrap().push(asked);
    if let Some(change) = way.change.lock().unwrap().as_ref() {
        reply = change(&path, reply);
    }
    tokio::time::sleep(reply.delay).await;
    let mut response = Response::builder()
        .status(reply.status)
        .header("content-type", reply.content_type);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(reply.body.into()).unwrap()
}
