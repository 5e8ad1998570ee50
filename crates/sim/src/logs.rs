//! What the processes log: an error is a failed run.

use std::fmt::{Debug, Write as _};
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::gate::lock;
use crate::world::Shared;

/// How long after its store was rolled back a lane may complain about it, in milliseconds.
const ROLLBACK_MS: u64 = 15_000;

/// Hears all logs of this thread until it is dropped.
pub(crate) fn listen(world: &Shared, traced: bool) -> DefaultGuard {
    let listener = Listener {
        world: Arc::clone(world),
        most: if traced { Level::DEBUG } else { Level::WARN },
    };
    tracing::subscriber::set_default(listener)
}

struct Listener {
    world: Shared,
    most: Level,
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.most && metadata.target().starts_with("baton")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let Text(text) = text;
        // Whoever holds the world's lock does not log.
        let mut world = lock(&self.world);
        let level = *event.metadata().level();
        world.say(None, || format!("log {level}: {text}"));
        if text.contains("the chain was reorganised") {
            world.coverage.input("rollback");
        }
        let rolled_back = world.watch.rolled_back_ms;
        let justified = rolled_back.is_some_and(|at_ms| world.now_ms <= at_ms + ROLLBACK_MS);
        if level == Level::ERROR && !justified {
            world.fail(format!("an error was logged: {text}"));
        }
        if text.contains("foreign_nonce") && !world.plan.needs_operator() {
            world.fail(format!("an alarm without a reason: {text}"));
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let written = match field.name() {
            "message" => write!(self.0, "{value:?} "),
            name => write!(self.0, "{name}={value:?} "),
        };
        written.expect("a text can be written to");
    }
}
