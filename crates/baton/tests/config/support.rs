//! A configuration in a directory of its own, and ways to change one thing in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use baton::config::{self, Report, Settings, Warning};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const API_KEY: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const ENCRYPTION_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
pub(crate) const OTHER_ENCRYPTION_KEY: &str = "ICECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
pub(crate) const RAW_KEY: &str =
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// A configuration in a directory that is removed at the end.
pub(crate) struct Sample {
    pub(crate) file: Value,
    pub(crate) variables: BTreeMap<String, String>,
    directory: TempDir,
    text: Option<String>,
}

impl Sample {
    /// A configuration without any problem or warning: one relayer with a key store, on a network of its own URL.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key_file = directory.path().join("local-signer.json");
        fs::write(&key_file, "{}").unwrap();
        let file = json!({
            "relayers": [{
                "id": "sepolia-example",
                "name": "Sepolia Example",
                "network": "sepolia",
                "paused": false,
                "network_type": "evm",
                "signer_id": "local-signer",
                "policies": { "min_balance": 0, "gas_price_cap": "30000000000000" },
                "custom_rpc_urls": ["https://node.example/v3/key"]
            }],
            "signers": [{
                "id": "local-signer",
                "type": "local",
                "config": {
                    "path": key_file,
                    "passphrase": { "type": "env", "value": "KEYSTORE_PASSPHRASE" }
                }
            }],
            "notifications": [],
            "networks": [],
            "plugins": []
        });
        let variables = [("API_KEY", API_KEY), ("KEYSTORE_PASSPHRASE", "pass phrase")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        Self {
            file,
            variables,
            directory,
            text: None,
        }
    }

    /// Puts a value at a JSON pointer; its last step may be a new field or, as `-`, a new item.
    pub(crate) fn put(mut self, pointer: &str, value: Value) -> Self {
        let (parent, last) = pointer.rsplit_once('/').unwrap();
        let parent = self.file.pointer_mut(parent).unwrap();
        if let Some(fields) = parent.as_object_mut() {
            fields.insert(last.to_owned(), value);
        } else if last == "-" {
            parent.as_array_mut().unwrap().push(value);
        } else {
            parent.as_array_mut().unwrap()[last.parse::<usize>().unwrap()] = value;
        }
        self
    }

    /// Removes a field.
    pub(crate) fn without(mut self, pointer: &str) -> Self {
        let (parent, last) = pointer.rsplit_once('/').unwrap();
        let parent = self.file.pointer_mut(parent).unwrap();
        assert!(parent.as_object_mut().unwrap().remove(last).is_some());
        self
    }

    /// Writes this text instead of the configuration.
    pub(crate) fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Sets a variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Unsets a variable.
    pub(crate) fn unset(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    /// Writes a file into the configuration's directory.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// The path of a file in the configuration's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Problems and warnings, with the directory's path as `{dir}`.
    pub(crate) fn check(&self) -> (Vec<String>, Vec<String>) {
        let report = config::check(&self.write(), &self.variables);
        let shown = |text: String| {
            let directory = self.directory.path().display().to_string();
            text.replace(&directory, "{dir}")
        };
        (
            report
                .problems
                .iter()
                .map(|p| shown(p.to_string()))
                .collect(),
            report
                .warnings
                .iter()
                .map(|w| shown(w.to_string()))
                .collect(),
        )
    }

    /// The settings.
    pub(crate) fn load(&self) -> Result<(Settings, Vec<Warning>), Report> {
        config::load(&self.write(), &self.variables)
    }

    fn write(&self) -> PathBuf {
        let path = self.path("config.json");
        let text = self.text.clone().unwrap_or_else(|| self.file.to_string());
        fs::write(&path, text).unwrap();
        path
    }
}

/// Checks a table of samples, each with the one problem that it has. Tells of all that differ.
pub(crate) fn assert_problems(cases: &[(Sample, &str)]) {
    let mut wrong = Vec::new();
    for (sample, expected) in cases {
        let (problems, _) = sample.check();
        if problems != [*expected] {
            wrong.push(format!(
                "expected  {expected}\n   found  {}",
                problems.join("\n          ")
            ));
        }
        assert!(sample.load().is_err(), "{expected}");
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}
