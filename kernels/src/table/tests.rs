use std::collections::BTreeSet;

use super::*;

/// Whether `name` stands in `text` as a whole word.
fn has_word(text: &str, name: &str) -> bool {
    let part_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(name)
        .any(|(at, _)| !text[..at].ends_with(part_of_word) && !text[at + name.len()..].starts_with(part_of_word))
}

#[test]
fn names_are_unique() {
    let mut seen = BTreeSet::new();
    for module in modules() {
        assert!(seen.insert(&module.name), "two modules are called {}", module.name);
        let kernels: BTreeSet<_> = module.kernels.iter().collect();
        assert_eq!(kernels.len(), module.kernels.len(), "{}: a kernel stands twice", module.name);
        assert!(!kernels.is_empty(), "{}: no kernels", module.name);
    }
}

#[test]
fn names_are_family_and_variant() {
    for module in modules() {
        let parts: Vec<_> = module.name.split('/').collect();
        let plain = |part: &&str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        assert!(parts.len() == 2 && parts.iter().all(plain), "{:?} is not family/variant", module.name);
    }
}

#[test]
fn files_and_everything_they_include_exist() {
    for module in modules() {
        assert!(module.source().is_some(), "{}: no file {}", module.name, module.file);
        assert_eq!(module.closure(Reader::Gpu).missing, [""; 0], "{}", module.name);
    }
}

#[test]
fn each_kernel_is_in_its_source_and_exported() {
    for module in modules() {
        let text: String = module.files().iter().map(|s| s.text).collect();
        for kernel in &module.kernels {
            assert!(has_word(&text, kernel), "{}: {kernel} does not occur in {}", module.name, module.file);
        }
        assert!(has_word(&text, "RF_EXPORT"), "{}: nothing is exported", module.name);
    }
}

#[test]
fn every_source_is_in_a_module() {
    let used: BTreeSet<_> = modules().iter().map(|m| m.file).collect();
    for source in sources().iter().filter(|s| s.path.ends_with(".hip")) {
        assert!(used.contains(source.path), "{} is in no row of kernels/src/table", source.path);
    }
}

#[test]
fn every_weight_type_can_be_embedded_and_multiplied() {
    for family in ["embed", "matvec", "gemm"] {
        let modules: BTreeSet<_> = modules().iter().map(|m| m.name.as_str()).collect();
        if !modules.iter().any(|name| name.starts_with(family)) {
            continue;
        }
        for ty in weight_types() {
            let name = format!("{family}/{}", type_slug(ty));
            assert!(modules.contains(name.as_str()), "no module {name}");
        }
    }
}

#[test]
fn a_type_is_told_three_ways() {
    let module = Module::of_type("matvec", "matvec/matvec.hip", GgmlType::IQ2_XXS).kernels(["k"]).hot();
    assert_eq!(module.name, "matvec/iq2_xxs");
    assert_eq!(module.family(), "matvec");
    assert!(module.hot);
    let wanted = ["-DRF_TYPE=IQ2_XXS", "-DRF_TYPE_IQ2_XXS=1", "-DRF_TYPE_HEADER=\"rf/quant/iq2_xxs.h\""];
    assert_eq!(module.options()[COMPILE_OPTIONS.len()..], wanted);
}

#[test]
fn the_hash_depends_on_the_defines() {
    let plain = Module::new("norm/norm", "norm/norm.hip");
    assert_eq!(plain.hash(), plain.clone().hash());
    assert_ne!(plain.hash(), plain.clone().define("X", 1).hash());
}

#[test]
fn weights_are_numbers_with_a_point() {
    let types: Vec<_> = weight_types().map(type_slug).collect();
    assert!(types.contains(&"bf16".to_owned()) && types.contains(&"q1_0".to_owned()));
    assert!(!types.iter().any(|t| t.starts_with('i') && !t.starts_with("iq")));
}
