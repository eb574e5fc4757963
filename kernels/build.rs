//! Embeds the kernel sources, and the code objects that were built, as they lie beside this file.
//!
//! `ROCMFORGE_EMBED_KERNELS` names the targets whose objects are embedded, separated by commas, or says `none`; without
//! it all are.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

const VARIABLE: &str = "ROCMFORGE_EMBED_KERNELS";

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    // The folder as a whole: new files count, and so do the objects that git ignores.
    println!("cargo::rerun-if-changed=.");
    println!("cargo::rerun-if-env-changed={VARIABLE}");
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
    for path in wanted(objects(root)?)? {
        let _ = writeln!(code, "    ({:?}, include_bytes!({path:?})),", arch(&path));
    }
    code.push_str("];\n");
    Ok(code)
}

fn objects(root: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = root.join("objects");
    if folder.is_dir() { files(&folder, &["bin"]) } else { Ok(Vec::new()) }
}

/// The target that an archive is for.
fn arch(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Those that the variable asks for. One that nobody has built is an error: a program without it would compile kernels
/// at its first start, and nobody would know why.
fn wanted(objects: Vec<PathBuf>) -> io::Result<Vec<PathBuf>> {
    let Ok(list) = env::var(VARIABLE) else { return Ok(objects) };
    let names: Vec<&str> = list.split(',').map(str::trim).filter(|name| !["", "none"].contains(name)).collect();
    if let Some(absent) = names.iter().find(|name| objects.iter().all(|path| arch(path) != **name)) {
        let text = format!("{VARIABLE} names {absent}, for which `cargo xtask kernels --arch {absent}` was not run");
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    Ok(objects.into_iter().filter(|path| names.contains(&arch(path).as_str())).collect())
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
