//! The committed generated code is what the `.proto` files say.
//!
//! Building needs no protoc: this test compiles the files with protox and compares. After a change to one of them,
//! run it with `LICTOR_REGENERATE=1` and commit what it wrote.

use std::{fs, path::Path};

use prost::Message;

/// A package's file that has all others of it, and the code made from them.
const PACKAGES: [(&str, &str); 2] =
    [("lictor/internal/v1/registry.proto", "lictor.internal.v1.rs"), ("lictor/v1/registry.proto", PUBLIC)];
/// The package whose descriptors are told by reflection, and these.
const PUBLIC: &str = "lictor.v1.rs";
const PUBLIC_DESCRIPTORS: &str = "lictor.v1.binpb";

#[test]
fn generated_code_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir().unwrap();
    let mut made = Vec::new();
    for (file, package) in PACKAGES {
        let descriptors = protox::compile([file], [root.join("proto")]).unwrap();
        if package == PUBLIC {
            made.push((PUBLIC_DESCRIPTORS, descriptors.encode_to_vec()));
        }
        tonic_prost_build::configure()
            .out_dir(directory.path())
            .emit_rerun_if_changed(false)
            .bytes(".")
            .btree_map(".")
            .compile_fds(descriptors)
            .unwrap();
        made.push((package, fs::read(directory.path().join(package)).unwrap()));
    }
    for (name, generated) in made {
        let committed = root.join("src/generated").join(name);
        if std::env::var_os("LICTOR_REGENERATE").is_some() {
            fs::write(&committed, &generated).unwrap();
        }
        let same = fs::read(&committed).is_ok_and(|present| present == generated);
        assert!(same, "{} is stale: run this test with LICTOR_REGENERATE=1 and commit it", committed.display());
    }
}
