//! Traces for an OpenTelemetry collector: calls of the API, and transactions from their acceptance to their end.

#[cfg(not(feature = "otel"))]
pub use absent::Traced;
#[cfg(feature = "otel")]
pub use exported::Traced;

#[cfg(feature = "otel")]
mod exported {
    use std::time::Duration;

    use anyhow::{Context, Result};
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
    use tracing::Subscriber;
    use tracing_subscriber::Layer;
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::registry::LookupSpan;

    use crate::config::Traces;

    /// What is traced: calls of the API, and the lives of transactions, which the log tells only at `debug`.
    const TARGETS: &str =
        "baton=info,baton_edge=info,baton_engine=info,baton_engine::driver::times=debug";
    /// Longest wait for the collector.
    const EXPORT_MAX: Duration = Duration::from_secs(10);

    /// Traces that are on their way, if any are wanted.
    #[derive(Debug, Default)]
    #[must_use = "what is traced last is lost unless it is finished"]
    pub struct Traced(Option<SdkTracerProvider>);

    impl Traced {
        /// Begins, when there is a collector.
        pub(crate) fn start<S>(wanted: Option<&Traces>) -> Result<(Self, Option<impl Layer<S>>)>
        where
            S: Subscriber + for<'a> LookupSpan<'a>,
        {
            let Some(wanted) = wanted else {
                return Ok((Self::default(), None));
            };
            let headers = wanted.headers.iter();
            let headers = headers.map(|(name, value)| (name.clone(), value.expose().to_owned()));
            // Another part of the program may have been first; its choice is the same.
            let _already_installed = rustls::crypto::ring::default_provider().install_default();
            let exporter = SpanExporter::builder()
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(&wanted.endpoint)
                .with_headers(headers.collect())
                .with_timeout(EXPORT_MAX)
                .build()
                .context("OTEL_EXPORTER_OTLP_ENDPOINT")?;
            let resource = Resource::builder_empty()
                .with_service_name(wanted.service.clone())
                .with_attribute(opentelemetry::KeyValue::new(
                    "service.version",
                    env!("CARGO_PKG_VERSION"),
                ))
                .build();
            let share = f64::from(wanted.kept_of_a_million) / 1_000_000.0;
            let provider = SdkTracerProvider::builder()
                .with_batch_exporter(exporter)
                .with_resource(resource)
                .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
                    share,
                ))))
                .build();
            let targets: Targets = TARGETS.parse().context("the targets of traces")?;
            let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("baton"));
            Ok((Self(Some(provider)), Some(layer.with_filter(targets))))
        }

        /// Sends what is left. A collector that is not there has some seconds.
        pub async fn finish(self) {
            let Some(provider) = self.0 else { return };
            let finished = tokio::task::spawn_blocking(move || provider.shutdown()).await;
            match finished {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the last traces were lost"),
                Err(error) => tracing::warn!(%error, "the last traces were lost"),
            }
        }
    }
}

#[cfg(not(feature = "otel"))]
mod absent {
    use anyhow::{Result, bail};
    use tracing_subscriber::layer::Identity;

    use crate::config::Traces;

    /// Nothing is traced.
    #[derive(Debug, Default)]
    pub struct Traced;

    impl Traced {
        /// Begins; the configuration has refused a collector.
        pub(crate) fn start(wanted: Option<&Traces>) -> Result<(Self, Option<Identity>)> {
            match wanted {
                None => Ok((Self, None)),
                Some(_) => bail!("this program was built without `otel`"),
            }
        }

        /// Nothing is left.
        pub async fn finish(self) {}
    }
}
