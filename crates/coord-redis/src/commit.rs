//! A batch as arguments of its script, and the script's answer as what the contract says.

use baton_coord::{Batch, CommitError, Committed, Epoch, Position, Precondition, Version};
use redis::{Cmd, Value, cmd};

use crate::error::{Verdict, verdict};
use crate::reply::Answer;
use crate::settings::Settings;

/// What the script said.
pub(crate) enum Outcome {
    Committed {
        committed: Committed,
        /// Whether there was nothing of the lane before.
        is_new: bool,
    },
    Not(CommitError),
    /// The server cannot take it now; a later try may succeed.
    Later(String),
}

pub(crate) fn command(settings: &Settings, batch: &Batch) -> Cmd {
    let keys = &settings.keys;
    let lane = &batch.lane;
    let arguments = 16 + 2 * batch.operations();
    let mut command = Cmd::with_capacity(arguments, batch.bytes() + 64 * arguments);
    command
        .arg("EVALSHA")
        .arg(&settings.scripts.commit.digest)
        .arg(4)
        .arg(keys.meta(lane))
        .arg(keys.values(lane))
        .arg(keys.names(lane))
        .arg(keys.log(lane))
        .arg(settings.now())
        .arg(
            batch
                .fence
                .map_or_else(String::new, |epoch| epoch.to_string()),
        )
        .arg(
            batch
                .trim
                .map_or_else(String::new, |trim| trim.0.to_string()),
        )
        .arg(keys.appended(lane))
        .arg(batch.require.len())
        .arg(batch.puts.len())
        .arg(batch.deletes.len())
        .arg(batch.appends.len());
    for rule in &batch.require {
        let version = match rule {
            Precondition::Absent(_) => String::new(),
            Precondition::At(_, version) => version.0.to_string(),
        };
        command.arg(&rule.key()[..]).arg(version);
    }
    for (key, value) in &batch.puts {
        command.arg(&key[..]).arg(&value[..]);
    }
    for bytes in batch.deletes.iter().chain(&batch.appends) {
        command.arg(&bytes[..]);
    }
    command
}

pub(crate) fn outcome(batch: &Batch, value: Value) -> Outcome {
    let strange = || {
        Outcome::Not(CommitError::Unknown {
            reason: "the server gave an answer that is none of the script's".to_owned(),
        })
    };
    let Some(answer) = Answer::of(value) else {
        return strange();
    };
    read(batch, &answer).unwrap_or_else(strange)
}

fn read(batch: &Batch, answer: &Answer) -> Option<Outcome> {
    Some(match answer.word.as_str() {
        "ok" => Outcome::Committed {
            committed: Committed {
                version: Version(answer.number(0)?),
                last: answer.number(1).map(Position),
            },
            is_new: answer.text(2)?.is_empty(),
        },
        "fenced" => Outcome::Not(CommitError::Fenced {
            given: batch.fence?,
            current: Epoch(answer.number(0)?),
        }),
        "precondition" => {
            let index = usize::try_from(answer.number(0)?).ok()?;
            let key = batch.require.get(index)?.key().clone();
            Outcome::Not(CommitError::Precondition { index, key })
        }
        "trim" => {
            let last = Position(answer.number(0)?);
            Outcome::Not(CommitError::trim_past_end(batch.trim?, last))
        }
        "refused" => refused(answer.text(0)?),
        _ => return None,
    })
}

/// The server refused the first write, so nothing was done whatever the reason.
fn refused(reason: String) -> Outcome {
    let text = reason.trim_start_matches('-');
    let (code, detail) = text.split_once(' ').unwrap_or((text, ""));
    match verdict(code, detail) {
        Verdict::Later => Outcome::Later(reason),
        Verdict::NoScript
        | Verdict::Moved(_)
        | Verdict::Ask(_)
        | Verdict::Refused
        | Verdict::Other => Outcome::Not(CommitError::Unavailable { reason }),
    }
}

/// The value that a field of the values' hash holds: a version, a colon, and the value.
pub(crate) fn split(stored: &bytes::Bytes) -> Option<(Version, bytes::Bytes)> {
    let colon = stored.iter().take(21).position(|byte| *byte == b':')?;
    let version = std::str::from_utf8(&stored[..colon]).ok()?.parse().ok()?;
    Some((Version(version), stored.slice(colon + 1..)))
}

/// A call of a script with keys and arguments.
pub(crate) fn script(digest: &str, keys: &[String], arguments: &[&str]) -> Cmd {
    let mut command = cmd("EVALSHA");
    command.arg(digest).arg(keys.len()).arg(keys).arg(arguments);
    command
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_stored_value_is_split_at_the_first_colon() {
        let split = |text: &'static str| split(&Bytes::from_static(text.as_bytes()));
        assert_eq!(
            split("12:a:b"),
            Some((Version(12), Bytes::from_static(b"a:b")))
        );
        assert_eq!(split("12:"), Some((Version(12), Bytes::new())));
        for damaged in ["", "12", ":x", "x:1", "123456789012345678901234:x"] {
            assert_eq!(split(damaged), None, "{damaged}");
        }
    }

    #[test]
    fn a_refusal_of_the_first_write_is_never_unknown() {
        for reason in [
            "OOM command not allowed",
            "-OOM command",
            "ERR what",
            "NOPERM no",
            "",
        ] {
            let outcome = refused(reason.to_owned());
            let Outcome::Not(CommitError::Unavailable { .. }) = outcome else {
                panic!("{reason}");
            };
        }
        assert!(matches!(
            refused("READONLY You".to_owned()),
            Outcome::Later(_)
        ));
    }
}
