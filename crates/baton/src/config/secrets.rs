//! Secrets: where a configuration says they are. No value of this module's fields is ever shown.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use baton_vault::Secret;
use zeroize::Zeroizing;

use super::fields::{Fields, Mismatch};
use super::json::Node;
use super::report::{Problem, Report};
use super::variables::Variables;

const KINDS: &[&str] = &["env", "plain", "file"];
/// Largest file that is read as a secret: the longest is a passphrase or a key in one line.
const SECRET_FILE_BYTES_MAX: u64 = 4096;

/// Reads `{"type": "env" | "plain" | "file", "value": "…"}`.
pub(crate) fn secret(
    place: &str,
    node: &Node,
    variables: &dyn Variables,
    report: &mut Report,
) -> Option<Secret> {
    let fields = Fields::open(place, node, &["type", "value"], report)?;
    let kind = fields.required("type", report, hidden_text)?;
    let value = fields.required("value", report, hidden_text)?;
    match kind.as_str() {
        "env" => from_variable(&fields.place("value"), &value, variables, report),
        "plain" => {
            report.warn(
                place,
                "the secret is in the configuration file; type `env` or `file` keeps it out",
            );
            Some(Secret::new(value))
        }
        "file" => match read_secret(Path::new(&value)) {
            Ok(text) => Some(text),
            Err(reason) => {
                report.add(Problem::new(fields.place("value"), reason).found(format!("{value:?}")));
                None
            }
        },
        other => {
            let problem = Problem::new(fields.place("type"), "must be `env`, `plain` or `file`");
            report.add(
                problem
                    .found(format!("{other:?}"))
                    .meant(other, KINDS.iter().copied()),
            );
            None
        }
    }
}

fn from_variable(
    place: &str,
    name: &str,
    variables: &dyn Variables,
    report: &mut Report,
) -> Option<Secret> {
    let value = variables.get(name).filter(|value| !value.is_empty());
    if value.is_none() {
        // A name that is no name is likely to be the secret itself, put in the wrong place.
        let names_a_variable = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        report.problem(
            place,
            if names_a_variable && name.len() <= 64 {
                format!("environment variable {name} must be set and not empty")
            } else {
                "must be the name of an environment variable".to_owned()
            },
        );
    }
    value.map(Secret::new)
}

fn read_secret(path: &Path) -> Result<Secret, String> {
    let text = read_text(path, SECRET_FILE_BYTES_MAX)?;
    // Editors and `echo` end files with a line break that is no part of the secret.
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}

/// Reads a text file that is not empty, or says what it must be.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<Zeroizing<String>, String> {
    let file = File::open(path).map_err(|error| format!("must be a readable file: {error}"))?;
    let mut text = Zeroizing::new(String::new());
    file.take(bytes_max + 1)
        .read_to_string(&mut text)
        .map_err(|error| format!("must be a readable text file: {error}"))?;
    if text.len() as u64 > bytes_max {
        return Err(format!("must be a file of at most {bytes_max} bytes"));
    }
    if text.trim_end_matches(['\r', '\n']).is_empty() {
        return Err("must be a file that is not empty".to_owned());
    }
    Ok(text)
}

fn hidden_text(node: &Node) -> Result<String, Mismatch> {
    let text = node
        .as_text()
        .ok_or_else(|| Mismatch::hidden("must be a string", node))?;
    if text.is_empty() {
        return Err(Mismatch::bare("must not be empty"));
    }
    Ok(text.to_owned())
}
