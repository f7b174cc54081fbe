//! The generated Control module is what `control.proto` generates.
//!
//! To bring it up to date after a change of the description, run this test
//! with `UPDATE_GENERATED=1` in the environment.

use std::fs;
use std::path::{Path, PathBuf};

use protobuf_codegen::{Codegen, Customize};

fn reverse_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/reverse")
}

/// By the parser in Rust, so that nobody needs `protoc`.
fn generate(description: &Path, out: &Path) -> String {
    Codegen::new()
        .pure()
        .include(description.parent().unwrap())
        .input(description)
        .out_dir(out)
        .customize(Customize::default().gen_mod_rs(false).lite_runtime(true))
        .run()
        .unwrap();
    fs::read_to_string(out.join("control.rs")).unwrap()
}

#[test]
fn the_checked_in_module_is_current() {
    let out = tempfile::tempdir().unwrap();
    let fresh = generate(&reverse_dir().join("control.proto"), out.path());
    assert!(fresh.contains("pub struct Control"), "{fresh}");

    let checked_in = reverse_dir().join("control_proto.rs");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&checked_in, &fresh).unwrap();
    }
    assert!(
        fresh == fs::read_to_string(&checked_in).unwrap(),
        "control_proto.rs does not belong to control.proto; see the top of this file"
    );
}

#[test]
fn another_description_gives_another_module() {
    let dir = tempfile::tempdir().unwrap();
    let changed = fs::read_to_string(reverse_dir().join("control.proto"))
        .unwrap()
        .replace("random = 99", "random = 98");
    let description = dir.path().join("control.proto");
    fs::write(&description, changed).unwrap();
    let fresh = generate(&description, dir.path());
    let checked_in = fs::read_to_string(reverse_dir().join("control_proto.rs")).unwrap();
    assert_ne!(fresh, checked_in);
}
