//! The log: plain lines for people in development, JSON in production. No token,
//! secret or key is ever given to it.

mod sink;

use std::fmt;
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::AppEnv;
use crate::metrics::Metrics;
pub use sink::Flush;
use sink::Sink;

/// What sqlx says of every statement goes out under this target.
const STATEMENTS: &str = "sqlx::query";

/// Starts the log. `RUST_LOG` decides what is said, `info` by default. `metrics`
/// learn how long each statement took. What comes back is kept until the end.
pub fn start(app_env: AppEnv, metrics: Option<Arc<Metrics>>) -> Flush {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn"));
    // Whoever read the log has gone: no request may fail for that.
    let (sink, flush) = Sink::start();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(sink)
        .log_internal_errors(false);
    let lines = match app_env {
        AppEnv::Production => lines.json().flatten_event(true).boxed(),
        AppEnv::Development | AppEnv::Test => lines.event_format(Lines).boxed(),
    };
    let statements = metrics.map(|metrics| {
        let only = Targets::new().with_target(STATEMENTS, Level::DEBUG);
        Statements(metrics).with_filter(only)
    });
    // A second start, as in a test, keeps the first one's log.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(statements)
        .try_init();
    flush
}

/// Hands on how long each statement took, by its first word.
struct Statements(Arc<Metrics>);

impl<S: Subscriber> Layer<S> for Statements {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut statement = Statement::default();
        event.record(&mut statement);
        if let (Some(operation), Some(seconds)) = (statement.operation, statement.seconds) {
            self.0.queried(operation, seconds);
        }
    }
}

#[derive(Default)]
struct Statement {
    operation: Option<&'static str>,
    seconds: Option<f64>,
}

impl Visit for Statement {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "summary" {
            let word = value.split_whitespace().next().unwrap_or_default();
            self.operation = ["select", "insert", "update", "delete", "set"]
                .into_iter()
                .find(|known| word.eq_ignore_ascii_case(known))
                .or(Some("other"));
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "elapsed_secs" {
            self.seconds = Some(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// One line an event: the message alone, since operators' tools read it so.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if *event.metadata().level() == Level::WARN {
            writer.write_str("warning: ")?;
        }
        context
            .field_format()
            .format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
