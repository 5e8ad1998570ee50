//! The rules of Baton's architecture that a machine can hold. Each test names every breach it finds, with its place.

mod edges;
mod purity;
mod sources;
mod workspace;

/// Fails with all breaches at once, so that one run shows all there is to mend.
fn assert_none(rule: &str, breaches: &[String]) {
    assert!(
        breaches.is_empty(),
        "{rule}\n{} breach(es):\n  {}\n",
        breaches.len(),
        breaches.join("\n  ")
    );
}
