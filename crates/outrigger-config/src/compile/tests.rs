use super::*;
use crate::load::load;
use std::path::{Path, PathBuf};

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/samples")
}

#[test]
fn the_samples_load_and_compile_without_a_remark() {
    let loaded = load(&[samples()]);
    assert_eq!(loaded.diagnostics, []);
    let compiled = compile(&loaded.objects, "default");
    assert_eq!(compiled.diagnostics, []);
}
