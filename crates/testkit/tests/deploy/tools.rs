//! Where things are, and running what reads them. `scripts/tools deploy` installs the programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the workspace's folder")
}

/// A file or folder in `deploy/`.
pub(crate) fn deploy(path: &str) -> PathBuf {
    root().join("deploy").join(path)
}

/// A file's text.
pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents of a YAML file, with aliases and merges resolved.
pub(crate) fn yaml_documents(path: &Path) -> Vec<Value> {
    const PRINT: &str = "import json, sys, yaml; \
                         json.dump(list(yaml.safe_load_all(open(sys.argv[1]))), sys.stdout)";
    let output = run(wheel("python3").args(["-c", PRINT]).arg(path));
    serde_json::from_slice(&output.stdout).expect("documents as JSON")
}

/// A YAML file of one document.
pub(crate) fn yaml(path: &Path) -> Value {
    let mut documents = yaml_documents(path);
    assert_eq!(documents.len(), 1, "{}", path.display());
    documents.remove(0)
}

/// A program from the Python packages of `scripts/tools deploy`.
pub(crate) fn wheel(name: &str) -> Command {
    Command::new(installed(".baton/tools/deploy/bin", name))
}

/// Helm, which knows of nothing that this machine's user has set up.
pub(crate) fn helm(home: &Path) -> Command {
    let mut command = Command::new(installed(".baton/tools/bin", "helm"));
    for (variable, folder) in [
        ("HELM_CACHE_HOME", "cache"),
        ("HELM_CONFIG_HOME", "config"),
        ("HELM_DATA_HOME", "data"),
    ] {
        command.env(variable, home.join(folder));
    }
    command.env_remove("KUBECONFIG");
    command
}

/// Prometheus's own checker.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration that could name the program"
)]
pub(crate) fn promtool() -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|folder| folder.join("promtool"));
    let found = places.find(|place| place.is_file());
    Command::new(found.unwrap_or_else(|| installed(".baton/tools/bin", "promtool")))
}

/// Runs a command that has to succeed, and shows all that it said if it does not.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = output(command);
    assert!(output.status.success(), "{command:?}\n{}", told(&output));
    output
}

/// Runs a command, whatever its end.
pub(crate) fn output(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// All that a command said.
pub(crate) fn told(output: &Output) -> String {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    format!("{out}\n{err}")
}

fn installed(folder: &str, name: &str) -> PathBuf {
    let program = root().join(folder).join(name);
    assert!(
        program.is_file(),
        "{} is not there: run `scripts/tools deploy`",
        program.display()
    );
    program
}
