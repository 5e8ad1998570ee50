//! Where variables come from.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};

/// Named texts from outside: the environment of the process, or a map in tests.
pub trait Variables {
    /// The value of a variable, if it is set.
    fn get(&self, name: &str) -> Option<String>;

    /// The names of all variables that are set.
    fn names(&self) -> Vec<String>;
}

/// The environment of this process. `main` takes the settings from it, and `baton demo` and `baton
/// bench` what the engines that they start inherit.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Variables for ProcessEnvironment {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    fn names(&self) -> Vec<String> {
        std::env::vars_os()
            .filter_map(|(name, _)| name.into_string().ok())
            .collect()
    }
}

impl Variables for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        self.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

/// Variables of this process, and below them those of a file.
#[derive(Clone, Debug, Default)]
pub struct WithFile {
    file: BTreeMap<String, String>,
}

impl WithFile {
    /// Reads a file such as `.env`, with a line `NAME=value` for each variable; one that is not there has none.
    ///
    /// # Errors
    /// When it cannot be read, or a line is none. What stands in the line may be secret and is not repeated.
    pub fn read(path: &Path) -> Result<Self> {
        let lines = match dotenvy::from_path_iter(path) {
            Ok(lines) => lines,
            Err(error) if error.not_found() => return Ok(Self::default()),
            Err(_) => bail!("{} cannot be read", path.display()),
        };
        let mut file = BTreeMap::new();
        for (number, line) in (1..).zip(lines) {
            let Ok((name, value)) = line else {
                bail!(
                    "{}: entry {number} must be a line NAME=value, with quotes around a value that has spaces",
                    path.display()
                );
            };
            // As with the reference, the first of several counts.
            file.entry(name).or_insert(value);
        }
        Ok(Self { file })
    }
}

impl Variables for WithFile {
    fn get(&self, name: &str) -> Option<String> {
        let process = ProcessEnvironment.get(name);
        process.or_else(|| self.file.get(name).cloned())
    }

    fn names(&self) -> Vec<String> {
        let mut names = ProcessEnvironment.names();
        names.extend(self.file.keys().cloned());
        names.sort();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<WithFile> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".env");
        std::fs::write(&path, text).unwrap();
        WithFile::read(&path)
    }

    #[test]
    fn a_file_gives_what_the_process_does_not() {
        let text = "# comment\nexport ONE_OF_FILE=1\nTWO_OF_FILE='a b $x'\n\nTHREE_OF_FILE=\n\
                    ONE_OF_FILE=2\nPATH=file\n";
        let variables = read(text).unwrap();
        assert_eq!(variables.get("ONE_OF_FILE").as_deref(), Some("1"));
        assert_eq!(variables.get("TWO_OF_FILE").as_deref(), Some("a b $x"));
        assert_eq!(variables.get("THREE_OF_FILE").as_deref(), Some(""));
        assert_ne!(variables.get("PATH").as_deref(), Some("file"));
        let names = variables.names();
        assert!(names.contains(&"TWO_OF_FILE".to_owned()));
        assert_eq!(names.iter().filter(|name| *name == "PATH").count(), 1);
        assert_eq!(variables.get("NOWHERE_AT_ALL"), None);
    }

    #[test]
    fn a_line_that_is_none_is_told_without_its_words() {
        let error = read("A_OF_FILE=1\nhunter2 hunter2\n")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(".env: entry 2 must be a line NAME=value"),
            "{error}"
        );
        assert!(!error.contains("hunter2"));
    }

    #[test]
    fn no_file_gives_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let variables = WithFile::read(&directory.path().join(".env")).unwrap();
        assert_eq!(variables.get("ONE_OF_FILE"), None);
    }
}
