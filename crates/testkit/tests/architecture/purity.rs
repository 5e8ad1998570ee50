//! Pure crates decide; they do not act. Nothing in them, or below them, waits, reads a clock, draws a random number or
//! does I/O.

use std::process::Command;

use crate::assert_none;
use crate::workspace::{
    is_test_file, members, production_part, read, relative, root, rust_files, short_name,
};

const PURE: &[&str] = &["model", "lanes", "pocket"];

/// Crates that bring a runtime, a clock, randomness or I/O. A trailing `*` stands for any ending.
const IMPURE_CRATES: &[(&str, &str)] = &[
    ("tokio*", "a runtime"),
    ("async-*", "asynchronous code"),
    ("futures*", "asynchronous code"),
    ("smol", "a runtime"),
    ("mio", "I/O"),
    ("rand", "randomness"),
    ("rand_chacha", "randomness"),
    ("getrandom", "randomness"),
    ("fastrand", "randomness"),
    ("jiff*", "a clock"),
    ("chrono*", "a clock"),
    ("time", "a clock"),
    ("web-time", "a clock"),
    ("quanta", "a clock"),
    ("redb", "a database"),
    ("hyper*", "a network"),
    ("axum*", "a network"),
    ("tower*", "a network"),
    ("reqwest*", "a network"),
    ("tungstenite", "a network"),
    ("rustls*", "a network"),
    ("socket2", "a network"),
    ("tempfile", "a file system"),
    ("parking_lot*", "threads"),
    ("rayon*", "threads"),
    ("crossbeam*", "threads"),
    ("dashmap", "threads and unordered maps"),
    ("tracing*", "a logger: return what happened instead"),
    ("log", "a logger: return what happened instead"),
];

/// Features that make an otherwise pure crate impure: package, feature, what it brings.
const IMPURE_FEATURES: &[(&str, &str, &str)] = &[
    ("uuid", "v1", "a clock"),
    ("uuid", "v4", "randomness"),
    ("uuid", "v6", "a clock"),
    ("uuid", "v7", "a clock and randomness"),
    ("alloy-primitives", "rand", "randomness"),
    ("alloy-primitives", "getrandom", "randomness"),
    ("ruint", "rand", "randomness"),
    ("ahash", "runtime-rng", "randomness"),
];

/// Words that pure sources do not contain, outside comments and inline tests.
const IMPURE_WORDS: &[(&str, &str)] = &[
    ("async", "decide here, wait in a driver"),
    ("await", "decide here, wait in a driver"),
    ("SystemTime", "time is an argument"),
    ("Instant", "time is an argument"),
    ("thread", "drivers own threads"),
    ("std::fs", "files belong to the rim"),
    ("std::net", "sockets belong to the rim"),
    ("std::io", "I/O belongs to the rim"),
    ("std::env", "settings are arguments"),
    ("std::process", "processes belong to the rim"),
    ("thread_rng", "randomness is an argument"),
    ("OsRng", "randomness is an argument"),
];

#[test]
fn pure_crates_depend_on_pure_crates_only() {
    let mut breaches = Vec::new();
    for name in pure_crates() {
        for (package, features) in dependency_closure(&name) {
            for (_, what) in IMPURE_CRATES.iter().filter(|(p, _)| matches(p, &package)) {
                breaches.push(format!("`{name}` depends on `{package}`: {what}"));
            }
            for (_, feature, what) in IMPURE_FEATURES
                .iter()
                .filter(|(p, feature, _)| *p == package && features.iter().any(|f| f == feature))
            {
                breaches.push(format!(
                    "`{name}` depends on `{package}` with feature `{feature}`: {what}"
                ));
            }
        }
    }
    assert_none("Below a pure crate everything is pure.", &breaches);
}

#[test]
fn pure_sources_hold_no_impure_word() {
    let mut breaches = Vec::new();
    for name in PURE {
        let files = rust_files(&root().join("crates").join(name).join("src"));
        assert!(!files.is_empty(), "crates/{name}/src holds Rust files");
        for file in files.iter().filter(|file| !is_test_file(file)) {
            let text = read(file);
            for (index, line) in production_part(&text).lines().enumerate() {
                for (word, why) in impure_words(line) {
                    let place = relative(file);
                    breaches.push(format!("{place}:{}: `{word}`: {why}", index + 1));
                }
            }
        }
    }
    assert_none("Pure sources only compute.", &breaches);
}

#[test]
fn the_checks_see_what_they_forbid() {
    let found = |line: &str| -> Vec<&str> { impure_words(line).map(|(word, _)| word).collect() };
    assert_eq!(found("    pub async fn run() {"), ["async"]);
    assert_eq!(found("let now = std::time::Instant::now();"), ["Instant"]);
    assert_eq!(found("use std::fs::File;"), ["std::fs"]);
    assert!(found("// an async driver waits").is_empty());
    assert!(found("let asynchronous = instantly;").is_empty());

    assert!(matches("tokio*", "tokio-util"));
    assert!(!matches("time", "timeless"));

    let line = parse_tree_line("uuid v1.29.1 default,serde,std (*)");
    let features = vec!["default".to_owned(), "serde".to_owned(), "std".to_owned()];
    assert_eq!(line, Some(("uuid".to_owned(), features)));
    let closure = dependency_closure("baton-lanes");
    let names: Vec<&str> = closure.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"alloy-primitives"), "{names:?}");
}

fn pure_crates() -> Vec<String> {
    let names: Vec<String> = members()
        .iter()
        .filter(|package| PURE.contains(&short_name(&package.name)))
        .map(|package| package.name.to_string())
        .collect();
    assert_eq!(names.len(), PURE.len(), "every pure crate exists");
    names
}

/// The crates that a crate's production code is built with, and their features, when it is built alone. `cargo
/// metadata` cannot tell: it joins the features that all crates of the workspace ask for.
fn dependency_closure(package: &str) -> Vec<(String, Vec<String>)> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args([
            "tree",
            "--package",
            package,
            "--edges",
            "normal,no-proc-macro",
        ])
        .args(["--prefix", "none", "--format", "{p} {f}"])
        .arg("--locked")
        .output()
        .expect("cargo tree starts");
    assert!(
        output.status.success(),
        "cargo tree: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(parse_tree_line)
        .collect()
}

/// Reads `name vVERSION[ (path)][ features][ (*)]`.
fn parse_tree_line(line: &str) -> Option<(String, Vec<String>)> {
    let mut words = line.split_whitespace();
    let name = words.next()?.to_owned();
    let features = words
        .skip(1)
        .filter(|word| !word.starts_with('('))
        .flat_map(|word| word.split(','))
        .map(str::to_owned)
        .collect();
    Some((name, features))
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

fn impure_words(line: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let code = line.split("//").next().unwrap_or_default().to_owned();
    IMPURE_WORDS
        .iter()
        .copied()
        .filter(move |(word, _)| holds_word(&code, word))
}

fn holds_word(code: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(start, _)| {
        !code[..start].ends_with(part_of_word)
            && !code[start + word.len()..].starts_with(part_of_word)
    })
}
