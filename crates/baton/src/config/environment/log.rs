//! Where the log and the traces go.

use std::path::PathBuf;

use baton_vault::Secret;
use tracing_subscriber::EnvFilter;

use super::Reader;
use crate::config::report::Problem;
use crate::config::settings::{Log, LogFormat, LogTarget, Traces};

/// The variables are those of the OpenTelemetry specification.
fn traces(reader: &mut Reader<'_>) -> Option<Traces> {
    let whole = reader.text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    let base = reader.text("OTEL_EXPORTER_OTLP_ENDPOINT");
    let base = base.map(|base| format!("{}/v1/traces", base.trim_end_matches('/')));
    let endpoint = whole.or(base)?;
    let is_url = |url: &url::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    if !url::Url::parse(&endpoint).is_ok_and(|url| is_url(&url)) {
        let rule = "must be an http or https URL";
        reader
            .report
            .add(Problem::new("OTEL_EXPORTER_OTLP_ENDPOINT", rule));
    }
    if cfg!(not(feature = "otel")) {
        let rule = "cannot be used: this program was built without `otel`";
        reader
            .report
            .add(Problem::new("OTEL_EXPORTER_OTLP_ENDPOINT", rule));
    }
    let mut headers = Vec::new();
    let given = reader
        .text("OTEL_EXPORTER_OTLP_HEADERS")
        .unwrap_or_default();
    for pair in given.split(',').filter(|pair| !pair.trim().is_empty()) {
        match pair.split_once('=') {
            Some((name, value)) => {
                headers.push((name.trim().to_owned(), Secret::new(value.trim())))
            }
            None => {
                let rule = "must be pairs of name=value, separated by commas";
                reader
                    .report
                    .add(Problem::new("OTEL_EXPORTER_OTLP_HEADERS", rule));
            }
        }
    }
    Some(Traces {
        endpoint,
        headers,
        service: reader
            .text("OTEL_SERVICE_NAME")
            .unwrap_or_else(|| "baton".to_owned()),
        kept_of_a_million: reader.millionths("OTEL_TRACES_SAMPLER_ARG"),
    })
}

pub(super) fn log(reader: &mut Reader<'_>) -> Log {
    let level = reader.choice(
        "LOG_LEVEL",
        &[
            ("info", "info"),
            ("trace", "trace"),
            ("debug", "debug"),
            ("warn", "warn"),
            ("error", "error"),
        ],
    );
    let format = reader.choice(
        "LOG_FORMAT",
        &[
            ("compact", LogFormat::Compact),
            ("pretty", LogFormat::Pretty),
            ("json", LogFormat::Json),
        ],
    );
    let to_files = reader.choice("LOG_MODE", &[("stdout", false), ("file", true)]);
    let directory = reader.text("LOG_DATA_DIR");
    let bytes_max = reader.number("LOG_MAX_SIZE", 1 << 30, 1024, u64::MAX);
    let filter = reader.text("RUST_LOG");
    if let Some(text) = &filter
        && let Err(error) = EnvFilter::try_new(text)
    {
        let problem = Problem::new("RUST_LOG", format!("must be a log filter ({error})"));
        reader.report.add(problem.found(format!("{text:?}")));
    }
    Log {
        filter: filter.unwrap_or_else(|| level.to_owned()),
        format,
        target: if to_files {
            LogTarget::Files {
                directory: PathBuf::from(directory.unwrap_or_else(|| "./logs".to_owned())),
                bytes_max,
            }
        } else {
            LogTarget::Stdout
        },
        traces: traces(reader),
    }
}
