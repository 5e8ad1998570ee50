//! Commands that call a running engine, for people at a terminal: `baton tx` and `baton relayers`.

mod client;
mod follow;
pub mod relayers;
mod show;
pub mod tx;

use std::process::ExitCode;

use serde_json::Value;

use super::say;

/// The transaction ended in another way than was waited for.
const ENDED_OTHERWISE: u8 = 3;
/// It was still open when the wait was over.
const STILL_OPEN: u8 = 4;

/// Prints what the API answered, or what people want to know of it.
fn print(
    as_json: bool,
    answer: &Value,
    told: impl FnOnce(&Value) -> String,
) -> anyhow::Result<ExitCode> {
    if as_json {
        say(serde_json::to_string_pretty(answer)?)?;
    } else {
        say(told(answer).trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}
