//! Where anvil is.

use std::env;
use std::path::{Path, PathBuf};

use super::AnvilError;

/// The program itself, not the Node.js script that npm puts before it: a script's child would
/// outlive it.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration that could name the program"
)]
pub(super) fn anvil() -> Result<PathBuf, AnvilError> {
    match env::var_os("BATON_ANVIL") {
        Some(named) => named_program(PathBuf::from(named)),
        None => search(&places()),
    }
}

fn named_program(named: PathBuf) -> Result<PathBuf, AnvilError> {
    if named.is_file() {
        return Ok(named);
    }
    Err(AnvilError::Missing {
        looked_at: format!("BATON_ANVIL={}", named.display()),
    })
}

fn search(places: &[PathBuf]) -> Result<PathBuf, AnvilError> {
    let found = places.iter().find_map(|place| program_at(place));
    found.ok_or_else(|| {
        let looked_at: Vec<String> = places.iter().map(|p| p.display().to_string()).collect();
        AnvilError::Missing {
            looked_at: looked_at.join(", "),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_anvil_is_an_error_that_says_how_to_install_it() {
        let empty = tempfile::tempdir().unwrap();
        let nowhere = empty.path().join("anvil");
        for error in [
            named_program(nowhere.clone()).unwrap_err(),
            search(std::slice::from_ref(&nowhere)).unwrap_err(),
        ] {
            let text = error.to_string();
            assert!(text.contains("make tools"), "{text}");
            assert!(text.contains(&nowhere.display().to_string()), "{text}");
        }
    }

    #[test]
    fn the_program_is_found_behind_the_script_of_npm() {
        let modules = tempfile::tempdir().unwrap();
        let scope = modules.path().join("@foundry-rs");
        let program = scope.join("anvil-linux-amd64/bin/anvil");
        let script = scope.join("anvil/bin.mjs");
        for file in [&program, &script] {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        let program = program.canonicalize().unwrap();
        assert_eq!(search(&[script]).unwrap().canonicalize().unwrap(), program);
        let found = search(&[modules.path().to_owned()]).unwrap();
        assert_eq!(found.canonicalize().unwrap(), program);
    }
}
