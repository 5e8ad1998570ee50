//! Runs the program in a directory of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const PASSWORD: &str = "Correct-Horse-7";
pub(crate) const ENCRYPTION_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A directory with a configuration, and an environment.
pub(crate) struct Place {
    directory: TempDir,
    variables: BTreeMap<String, String>,
    input: String,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    /// A configuration without any problem: one relayer with two accounts, on a node that nobody
    /// runs.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let variables = [
            ("API_KEY", "0123456789abcdef0123456789abcdef"),
            ("HOST", "127.0.0.1"),
            ("APP_PORT", "0"),
            (
                "KEY_ONE",
                "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
            ),
            (
                "KEY_TWO",
                "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
            ),
        ];
        let place = Self {
            directory,
            variables: variables.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
            input: String::new(),
        };
        place.config(&Self::sample())
    }

    pub(crate) fn sample() -> Value {
        let signer = |id: &str, variable: &str| {
            let key = json!({ "type": "env", "value": variable });
            json!({ "id": id, "type": "raw_key", "config": { "key": key } })
        };
        json!({
            "relayers": [{
                "id": "main", "name": "Main", "network": "localhost-anvil", "network_type": "evm",
                "paused": false, "signer_ids": ["one", "two"],
                "custom_rpc_urls": ["http://127.0.0.1:1"],
            }],
            "signers": [signer("one", "KEY_ONE"), signer("two", "KEY_TWO")],
            "notifications": [],
            "networks": [],
        })
    }

    pub(crate) fn config(self, config: &Value) -> Self {
        self.file("config/config.json", &config.to_string())
    }

    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    pub(crate) fn input(mut self, text: &str) -> Self {
        text.clone_into(&mut self.input);
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs the program to its end. The directory's path is shown as `{dir}`.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        let mut child = Command::new(env!("CARGO_BIN_EXE_baton"))
            .args(arguments)
            .current_dir(self.directory.path())
            .env_clear()
            .envs(&self.variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        // A program that does not read its input closes it.
        let _written = input.write_all(self.input.as_bytes());
        drop(input);
        let output = child.wait_with_output().unwrap();
        let shown = |bytes: Vec<u8>| {
            let directory = self.directory.path().display().to_string();
            String::from_utf8(bytes)
                .unwrap()
                .replace(&directory, "{dir}")
        };
        Run {
            code: output.status.code().unwrap(),
            out: shown(output.stdout),
            err: shown(output.stderr),
        }
    }
}
