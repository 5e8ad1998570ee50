//! Where anvil is.

use std::env;
use std::path::{Path, PathBuf};

use super::AnvilError;

/// The program itself, not the Node.js script that npm puts before it: a script's child would
/// outlive it.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration to be given this by"
)]
pub(super) fn anvil() -> Result<PathBuf, AnvilError> {
    if let Some(named) = env::var_os("BATON_ANVIL") {
        let named = PathBuf::from(named);
        return if named.is_file() {
            Ok(named)
        } else {
            Err(AnvilError::Missing {
                looked_at: format!("BATON_ANVIL={}", named.display()),
            })
        };
    }
    let mut looked_at = Vec::new();
    for place in places() {
        if let Some(program) = program_at(&place) {
            return Ok(program);
        }
        looked_at.push(place.display().to_string());
    }
    Err(AnvilError::Missing {
        looked_at: looked_at.join(", "),
    })
}

/// Files and `node_modules` folders, in the order of preference. Tests run in the folder of their
/// crate, so the folders above count too.
#[expect(
    clippy::disallowed_methods,
    reason = "looking through PATH is what a search is"
)]
fn places() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = env::split_paths(&path)
        .map(|dir| dir.join("anvil"))
        .collect();
    let here = env::current_dir().unwrap_or_default();
    for above in here.ancestors() {
        places.push(above.join("node_modules"));
        places.push(above.join(".baton/tools/node_modules"));
    }
    places
}

fn program_at(place: &Path) -> Option<PathBuf> {
    if place.is_dir() {
        return in_packages(&place.join("@foundry-rs"));
    }
    let program = place.canonicalize().ok().filter(|found| found.is_file())?;
    if program
        .extension()
        .is_some_and(|extension| extension == "mjs")
    {
        // `…/@foundry-rs/anvil/bin.mjs`: the program is in the package beside it.
        return in_packages(program.parent()?.parent()?);
    }
    Some(program)
}

/// npm installs the program for this platform as `anvil-<platform>/bin/anvil`.
fn in_packages(scope: &Path) -> Option<PathBuf> {
    let mut programs: Vec<PathBuf> = scope
        .read_dir()
        .ok()?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("anvil-"))
        .map(|entry| entry.path().join("bin/anvil"))
        .filter(|program| program.is_file())
        .collect();
    programs.sort();
    programs.into_iter().next()
}
