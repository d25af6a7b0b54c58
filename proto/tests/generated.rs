//! The committed generated code is what the `.proto` files say.
//!
//! Building needs no protoc: this test compiles the files with protox and compares. After a change to one of them,
//! run it with `LICTOR_REGENERATE=1` and commit what it wrote.

use std::{fs, path::Path};

const PACKAGES: [(&str, &[&str]); 1] = [("lictor.internal.v1.rs", &["registry.proto"])];

#[test]
fn generated_code_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir().unwrap();
    for (_, files) in PACKAGES {
        let files = files.iter().map(|file| format!("lictor/internal/v1/{file}"));
        let descriptors = protox::compile(files, [root.join("proto")]).unwrap();
        tonic_prost_build::configure()
            .out_dir(directory.path())
            .emit_rerun_if_changed(false)
            .bytes(".")
            .btree_map(".")
            .compile_fds(descriptors)
            .unwrap();
    }
    for (package, _) in PACKAGES {
        let committed = root.join("src/generated").join(package);
        let generated = fs::read_to_string(directory.path().join(package)).unwrap();
        if std::env::var_os("LICTOR_REGENERATE").is_some() {
            fs::write(&committed, &generated).unwrap();
        }
        let same = fs::read_to_string(&committed).is_ok_and(|present| present == generated);
        assert!(same, "{} is stale: run this test with LICTOR_REGENERATE=1 and commit it", committed.display());
    }
}
