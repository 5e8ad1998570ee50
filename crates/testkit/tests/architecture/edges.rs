//! Which crate may use which, and what every crate must have.

use cargo_metadata::{DependencyKind, Package};

use crate::assert_none;
use crate::workspace::{members, read, relative, root, short_name};

/// For each crate, from the bottom up: the crates that its production code may use. Arrows only point to rows above.
const ALLOWED: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("lanes", &["model"]),
    ("pocket", &["model"]),
    ("coord", &["model"]),
    ("coord-local", &["model", "coord"]),
    ("coord-redis", &["model", "coord"]),
    ("vault", &["model"]),
    ("chain", &["model"]),
    ("edge", &["model"]),
    (
        "engine",
        &["model", "lanes", "coord", "vault", "chain", "edge"],
    ),
    (
        "testkit",
        &[
            "model",
            "lanes",
            "coord",
            "coord-local",
            "vault",
            "chain",
            "edge",
            "engine",
        ],
    ),
    (
        "sim",
        &["model", "lanes", "coord", "vault", "chain", "engine"],
    ),
    // `testkit` only for `baton demo` and `baton bench`: anvil, and the proxy before it.
    (
        "baton",
        &[
            "model",
            "lanes",
            "coord",
            "coord-local",
            "coord-redis",
            "vault",
            "chain",
            "edge",
            "engine",
            "testkit",
        ],
    ),
];

/// Crates that any crate's tests may use: development support, and the embedded store as the real backend at hand.
const TEST_SUPPORT: &[&str] = &["testkit", "coord-local", "coord"];

#[test]
fn crates_use_only_what_the_table_allows() {
    let mut breaches = Vec::new();
    for package in members() {
        let user = short_name(&package.name);
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == user) else {
            breaches.push(format!("crate `{user}` has no row in ALLOWED (edges.rs)"));
            continue;
        };
        for (used, kind) in workspace_dependencies(package) {
            let fine = allowed.contains(&used.as_str())
                || (kind == DependencyKind::Development
                    && (TEST_SUPPORT.contains(&used.as_str()) || used == user));
            if !fine {
                breaches.push(format!(
                    "`{user}` must not use `{used}` ({kind} dependency)"
                ));
            }
        }
    }
    assert_none("Arrows between crates point downward.", &breaches);
}

#[test]
fn the_table_lists_only_crates_that_exist_and_points_downward() {
    let existing: Vec<&str> = members().iter().map(|p| short_name(&p.name)).collect();
    let mut breaches = Vec::new();
    for (row, (name, allowed)) in ALLOWED.iter().enumerate() {
        if !existing.contains(name) {
            breaches.push(format!("`{name}` has a row but no crate"));
        }
        for used in *allowed {
            if !ALLOWED[..row].iter().any(|(above, _)| above == used) {
                breaches.push(format!("`{name}` may use `{used}`, which is not above it"));
            }
        }
    }
    assert_none("The table of edges is in order.", &breaches);
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    let breaches: Vec<String> = members()
        .into_iter()
        .filter(|package| {
            let manifest: toml::Table = read(package.manifest_path.as_std_path())
                .parse()
                .expect("a manifest is TOML");
            manifest
                .get("lints")
                .and_then(|lints| lints.get("workspace"))
                .and_then(toml::Value::as_bool)
                != Some(true)
        })
        .map(|package| {
            format!(
                "{}: add `[lints] workspace = true`",
                relative(package.manifest_path.as_std_path())
            )
        })
        .collect();
    assert_none("Lints are set once, for all crates.", &breaches);
}

#[test]
fn every_crate_has_its_entry_in_the_architecture_page() {
    let page = read(&root().join("ARCHITECTURE.md"));
    let breaches: Vec<String> = members()
        .into_iter()
        .map(|package| format!("### `{}`", short_name(&package.name)))
        .filter(|heading| !page.lines().any(|line| line.starts_with(heading)))
        .map(|heading| format!("ARCHITECTURE.md has no section \"{heading}\""))
        .collect();
    assert_none(
        "The architecture page says of every crate what it does and must not know.",
        &breaches,
    );
}

#[test]
fn every_package_comes_from_crates_io() {
    let lock: toml::Table = read(&root().join("Cargo.lock"))
        .parse()
        .expect("the lock file is TOML");
    let packages = lock["package"].as_array().expect("a list of packages");
    let breaches: Vec<String> = packages
        .iter()
        .filter_map(|package| {
            let source = package.get("source")?.as_str()?;
            let known = source == "registry+https://github.com/rust-lang/crates.io-index";
            (!known).then(|| format!("{:?} comes from {source}", package["name"]))
        })
        .collect();
    assert!(packages.len() > members().len(), "the lock file was read");
    assert_none("Sources of packages are known.", &breaches);
}

fn workspace_dependencies(package: &Package) -> Vec<(String, DependencyKind)> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.path.is_some())
        .map(|dependency| (short_name(&dependency.name).to_owned(), dependency.kind))
        .collect()
}
