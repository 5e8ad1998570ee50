//! What only real processes show: a writer killed at any point, a second process, a disk that is
//! full.
//!
//! This executable is also the child process: see `main`.

#![expect(
    clippy::print_stdout,
    reason = "a child reports to its parent, and the parent to the tester"
)]

#[path = "process/child.rs"]
mod child;
#[path = "process/kill.rs"]
mod kill;
#[path = "process/others.rs"]
mod others;

use std::path::Path;

use tokio::time::Instant;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, directory] = arguments.as_slice()
        && let Some(run) = child::role(role)
    {
        return run(Path::new(directory));
    }
    // The harness passes filters and flags; a filter that names none of the tests runs none.
    let filter = arguments
        .iter()
        .skip(1)
        .find(|argument| !argument.starts_with("--"));
    let tests: [(&str, fn()); 4] = [
        ("killed_writers_lose_nothing_they_were_told", kill::run),
        (
            "a_second_process_is_told_who_has_the_store",
            others::second_process,
        ),
        (
            "the_next_process_does_not_wait_for_a_dead_holder",
            others::dead_holder,
        ),
        ("a_full_disk_stops_the_store", others::full_disk),
    ];
    let chosen = tests
        .iter()
        .filter(|(name, _)| filter.is_none_or(|part| name.contains(part)));
    for (name, test) in chosen {
        let started = Instant::now();
        test();
        println!("test {name} ... ok ({:.1?})", started.elapsed());
    }
}
