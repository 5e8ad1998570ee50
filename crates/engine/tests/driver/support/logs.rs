//! An ERROR in the log fails the test that did not expect it.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Watches the log of the current thread, and with it a whole single-threaded test, until it is dropped.
pub(crate) struct Logs {
    errors: Arc<Mutex<Vec<String>>>,
    _guard: DefaultGuard,
}

struct Errors(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Logs {
    pub(crate) fn watch() -> Self {
        let errors = Arc::<Mutex<Vec<String>>>::default();
        let layer = Errors(Arc::clone(&errors));
        let subscriber = tracing_subscriber::registry().with(layer);
        let guard = tracing::subscriber::set_default(subscriber);
        Self {
            errors,
            _guard: guard,
        }
    }

    /// The errors so far, which count as expected from now on.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.errors.lock().unwrap())
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        let errors = self.take();
        assert!(
            errors.is_empty() || std::thread::panicking(),
            "unexpected errors in the log: {errors:#?}"
        );
    }
}

impl<S: Subscriber> Layer<S> for Errors {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() == Level::ERROR {
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.lock().unwrap().push(text.0);
        }
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!("{}={value:?} ", field.name()));
    }
}
