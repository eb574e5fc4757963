//! Embeds the kernel sources, and the code objects that were built, as they lie beside this file.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    // The folder as a whole: new files count, and so do the objects that git ignores.
    println!("cargo::rerun-if-changed=.");
    fs::write(out.join("embedded.rs"), generate(&root)?)
}

fn generate(root: &Path) -> io::Result<String> {
    let mut code = String::from("static SOURCES: &[Source] = &[\n");
    for path in files(root, &["hip", "h"])? {
        let name = unix_name(path.strip_prefix(root).unwrap_or(&path));
        // Writing into a String cannot fail.
        let _ = writeln!(code, "    Source {{ path: {name:?}, text: include_str!({path:?}) }},");
    }
    code.push_str("];\nstatic OBJECTS: &[(&str, &[u8])] = &[\n");
    let objects = root.join("objects");
    for path in if objects.is_dir() { files(&objects, &["bin"])? } else { Vec::new() } {
        let arch = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let _ = writeln!(code, "    ({arch:?}, include_bytes!({path:?})),");
    }
    code.push_str("];\n");
    Ok(code)
}

/// All files below `folder` with one of the extensions, sorted, so that the same files give the same program.
fn files(folder: &Path, extensions: &[&str]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| extensions.iter().any(|x| e == *x)) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn unix_name(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}
