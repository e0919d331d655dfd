//! A real Prometheus, started as `compose.monitoring.yaml` starts it, before a core
//! on this machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use agentidp_core::dev::Child;
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use url::Url;

use super::compose::yaml;
use super::{free_port, root};

/// A running Prometheus.
pub struct Prometheus {
    child: Child,
    url: String,
    http: reqwest::Client,
}

/// The program of the PATH, or what `make stack` unpacked.
fn program(name: &str) -> Command {
    let unpacked = root().join("target/prometheus/usr/bin").join(name);
    if unpacked.exists() {
        Command::new(unpacked)
    } else {
        Command::new(name)
    }
}

/// `promtool` with something to read.
pub async fn promtool(arguments: &[&str], input: &str) -> Output {
    let mut command = program("promtool");
    command.args(arguments).current_dir(root());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .expect("`make stack`");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    child.wait_with_output().await.unwrap()
}

/// The folder that the container sees as /etc/prometheus, with another target.
fn configure(folder: &Path, target: &str) {
    let there = root().join("monitoring/prometheus");
    let text = std::fs::read_to_string(there.join("prometheus.yml")).unwrap();
    assert_eq!(text.matches("app:3000").count(), 1);
    let text = text.replace("app:3000", target);
    std::fs::write(folder.join("prometheus.yml"), text).unwrap();
    std::fs::copy(there.join("rules.yml"), folder.join("rules.yml")).unwrap();
}

impl Prometheus {
    /// Starts it in `folder`, reading from `target`, and waits until it is healthy
    /// by the compose file's own check.
    pub async fn start(folder: &Path, target: &str) -> Self {
        let folder: PathBuf = folder.join("prometheus");
        std::fs::create_dir(&folder).unwrap();
        configure(&folder, target);
        let overlay = yaml("compose.monitoring.yaml").await;
        let service = &overlay["services"]["prometheus"];
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = program("prometheus");
        for word in service["command"].as_array().unwrap() {
            let here = folder.display().to_string();
            let word = word.as_str().unwrap().replace("/etc/prometheus", &here);
            command.arg(word.replace("=/prometheus", &format!("={here}/data")));
        }
        command.arg(format!("--web.listen-address={address}"));
        let log = folder.join("log");
        let mut prometheus = Self {
            child: Child::start(command, &log, Signal::TERM).expect("`make stack`"),
            url: format!("http://{address}"),
            http: reqwest::Client::new(),
        };
        let check = service["healthcheck"]["test"].as_array().unwrap();
        let check = check.last().unwrap().as_str().unwrap();
        let check = check.replace("127.0.0.1:9090", &address);
        let begun = Instant::now();
        loop {
            let answer = prometheus.http.get(&check).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return prometheus;
            }
            let waiting = begun.elapsed() < Duration::from_secs(60);
            assert!(
                waiting && !prometheus.child.has_ended(),
                "{}",
                std::fs::read_to_string(log).unwrap()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn api(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let url = format!("{}/api/v1/{path}", self.url);
        let url = Url::parse_with_params(&url, parameters).unwrap();
        let answer = self.http.get(url).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["status"], "success", "{parameters:?}: {answer}");
        answer["data"].clone()
    }

    /// The values of an expression now, which must be one that Prometheus reads.
    pub async fn query(&self, expression: &str) -> Vec<f64> {
        let found = self.api("query", &[("query", expression)]).await;
        let found = found["result"].as_array().unwrap().iter();
        found
            .map(|series| series["value"][1].as_str().unwrap().parse().unwrap())
            .collect()
    }

    /// The type of a metric, and its labels but for those that Prometheus adds.
    pub async fn describe(&self, metric: &str) -> (String, BTreeSet<String>) {
        let described = self.api("metadata", &[("metric", metric)]).await;
        let kind = described[metric][0]["type"]
            .as_str()
            .unwrap_or("none")
            .to_owned();
        let name = match kind.as_str() {
            "histogram" => format!("{metric}_bucket"),
            _ => metric.to_owned(),
        };
        let added = ["__name__", "instance", "job", "le"];
        let series = self.api("series", &[("match[]", &name)]).await;
        let labels = series.as_array().unwrap().iter().flat_map(|series| {
            series
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect::<Vec<_>>()
        });
        (
            kind,
            labels
                .filter(|label| !added.contains(&label.as_str()))
                .collect(),
        )
    }

    /// The values that a label of a metric has.
    pub async fn values(&self, metric: &str, label: &str) -> BTreeSet<String> {
        let values = self
            .api(&format!("label/{label}/values"), &[("match[]", metric)])
            .await;
        let values = values.as_array().unwrap().iter();
        values
            .map(|value| value.as_str().unwrap().to_owned())
            .collect()
    }

    pub async fn stop(self) {
        self.child.stop().await;
    }
}
