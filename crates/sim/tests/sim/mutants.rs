//! The mistakes that the simulator has to find still fit the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use baton_sim::MUTANTS;

#[test]
fn every_mistake_can_be_made_in_exactly_one_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut names = BTreeSet::new();
    let mut breaches = Vec::new();
    for mutant in MUTANTS {
        let text = fs::read_to_string(root.join(mutant.file)).unwrap();
        let places = text.matches(mutant.find).count();
        if places != 1 {
            let (name, file) = (mutant.name, mutant.file);
            breaches.push(format!("{name}: its text stands in {file} {places} times"));
        }
        assert!(names.insert(mutant.name), "{} is there twice", mutant.name);
        assert_ne!(
            mutant.find, mutant.replace,
            "{} changes nothing",
            mutant.name
        );
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
    assert!(MUTANTS.len() >= 15, "at least fifteen mistakes are made");
}
