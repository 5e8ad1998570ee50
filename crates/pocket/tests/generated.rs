//! The checked-in message types are what the `.proto` files say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use prost_build::{Config, Module};
use protox::prost_reflect::prost_types::FileDescriptorSet;
use protox::prost_reflect::prost_types::field_descriptor_proto::Label;

/// Fields that gogoproto keeps as values: always on the wire. In proto2's words they are required, and that is what
/// makes prost treat them so; a missing one is still read as the empty message.
const NON_NULL: &[(&str, &str)] = &[("RelayRequest", "meta"), ("RelayResponse", "meta")];

#[test]
fn checked_in_types_are_up_to_date() {
    let folder = root().join("src/message/generated");
    let fresh = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("generated");
    std::fs::create_dir_all(&fresh).unwrap();
    let mut stale = Vec::new();
    let generated = generate();
    for (name, text) in &generated {
        let kept = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        if kept != *text {
            std::fs::write(fresh.join(name), text).unwrap();
            stale.push(name);
        }
    }
    assert!(
        stale.is_empty(),
        "{stale:?} are not what the .proto files say; copy them from {} to {}",
        fresh.display(),
        folder.display()
    );
    let kept: Vec<String> = files(&folder).into_iter().map(|(name, _)| name).collect();
    let expected: Vec<String> = generated.into_keys().collect();
    assert_eq!(kept, expected, "nothing else is kept beside them");
}

/// The generated sources, by file name.
fn generate() -> BTreeMap<String, String> {
    let protos = root().join("proto");
    let names: Vec<PathBuf> = files(&protos).into_iter().map(|(_, path)| path).collect();
    assert!(names.len() > 8, "the .proto files were found");
    let mut set = protox::compile(&names, [&protos]).expect("the .proto files are right");
    require(&mut set);
    let requests = set
        .file
        .into_iter()
        .map(|file| (Module::from_protobuf_package_name(file.package()), file))
        .collect();
    let mut config = Config::new();
    config.btree_map(["."]);
    config
        .generate(requests)
        .expect("prost takes what protox made")
        .into_iter()
        .map(|(module, text)| {
            let head =
                "// Generated from crates/pocket/proto by prost-build; see tests/generated.rs.\n";
            (module.to_file_name_or("_"), format!("{head}{text}"))
        })
        .collect()
}

fn require(set: &mut FileDescriptorSet) {
    let mut required = 0;
    for message in set.file.iter_mut().flat_map(|file| &mut file.message_type) {
        let name = message.name().to_owned();
        for field in &mut message.field {
            if NON_NULL.contains(&(name.as_str(), field.name())) {
                field.set_label(Label::Required);
                required += 1;
            }
        }
    }
    assert_eq!(required, NON_NULL.len(), "every listed field exists");
}

/// All files below a folder, in order.
fn files(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder exists") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let name = path
                .file_name()
                .expect("a file has a name")
                .to_string_lossy()
                .into_owned();
            found.push((name, path));
        }
    }
    found.sort();
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
