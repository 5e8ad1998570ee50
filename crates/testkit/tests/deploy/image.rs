//! The Dockerfile.

use crate::tools::{deploy, read, root, run, wheel};

#[test]
fn the_dockerfile_follows_the_rules_for_them() {
    run(wheel("hadolint")
        .args(["--failure-threshold", "info"])
        .arg(deploy("Dockerfile")));
}

#[test]
fn the_image_is_built_from_the_lock_file_and_runs_without_rights() {
    let text = read(&deploy("Dockerfile"));
    let runtime = text.rsplit("\nFROM ").next().unwrap();
    for line in [
        "USER 65532:65532",
        "STOPSIGNAL SIGTERM",
        "ENTRYPOINT [\"baton\"]",
        "EXPOSE 8080 8081",
        "    CMD [\"baton\", \"health\"]",
    ] {
        assert!(runtime.lines().any(|found| found == line), "{line}");
    }
    assert!(text.contains("cargo build --locked --profile dist -p baton"));
    for label in ["title", "version", "revision", "licenses"] {
        assert!(
            runtime.contains(&format!("org.opencontainers.image.{label}=")),
            "{label}"
        );
    }
}

#[test]
fn versions_are_the_workspaces() {
    let manifest: toml::Table = read(&root().join("Cargo.toml")).parse().unwrap();
    let package = &manifest["workspace"]["package"];
    let (version, rust) = (
        package["version"].as_str().unwrap(),
        package["rust-version"].as_str().unwrap(),
    );
    assert!(manifest["profile"].get("dist").is_some());
    let dockerfile = read(&deploy("Dockerfile"));
    assert!(
        dockerfile.contains(&format!("ARG VERSION={version}\n")),
        "{version}"
    );
    assert!(dockerfile.contains(&format!("FROM rust:{rust}-")), "{rust}");
    let chart = crate::tools::yaml(&deploy("helm/baton/Chart.yaml"));
    assert_eq!(chart["appVersion"], version);
}

/// What the build reads and Docker is not given would be missed only when an image is built.
#[test]
fn the_build_is_given_what_it_reads_from_outside_its_crates() {
    let ignored = read(&root().join(".dockerignore"));
    let given: Vec<&str> = ignored
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    for needed in ["Cargo.toml", "Cargo.lock", "crates"] {
        assert!(given.contains(&needed), "{needed}");
    }
    let source = read(&root().join("crates/testkit/src/nginx.rs"));
    let included = source
        .split("include_str!(\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap();
    assert!(
        given.contains(&included.trim_start_matches("../")),
        "{included}"
    );
}
