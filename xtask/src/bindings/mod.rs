//! `cargo xtask bindings`: the raw bindings of `hip-sys` and `hipblas-sys`, from the libraries' headers.

mod ast;
mod ctype;
mod emit;
mod list;

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::process;
use ast::{Clang, Declared, Headers};
use emit::Layout;
use list::{GROUPS, Group};

/// Options of `bindings`.
#[derive(Debug, Args)]
pub struct BindingsArgs {
    /// Words before the compiler's name, for headers in a container or another root
    #[arg(long, value_name = "COMMAND", default_value = "")]
    prefix: String,
    /// The compiler, clang 17 or later
    #[arg(long, value_name = "PROGRAM", default_value = "clang")]
    clang: String,
    /// A folder of headers
    #[arg(long, value_name = "DIR")]
    include: Vec<String>,
    /// Only this group: hip or hipblas
    #[arg(long, value_name = "GROUP")]
    only: Option<String>,
    /// Write nothing; fail where the committed files differ
    #[arg(long)]
    check: bool,
}

/// Generates or checks the bindings.
pub fn run(args: &BindingsArgs) -> Result<()> {
    let clang = Clang { prefix: ast::words(&args.prefix)?, program: args.clang.clone(), include: args.include.clone() };
    for group in GROUPS.iter().filter(|group| args.only.as_deref().is_none_or(|only| only == group.name)) {
        let files = generate(group, &clang).with_context(|| format!("bindings of {}", group.name))?;
        for (name, text) in files {
            deliver(&format!("{}/{name}.rs", group.folder), &text, args.check)?;
        }
    }
    Ok(())
}

/// Names and texts of a group's files.
fn generate(group: &Group, clang: &Clang) -> Result<Vec<(String, String)>> {
    let headers = clang.headers(group.headers)?;
    let expressions: Vec<String> = group.version.iter().chain(group.constants).map(|name| name.to_string()).collect();
    let values = clang.evaluate(group.headers, &expressions)?;
    let (version, constants) = values.split_at(group.version.len());
    let layouts = layouts(group, &headers, clang)?;
    clang.check(group.headers, &emit::c_assertions(&layouts))?;
    let mut files = vec![("types".to_string(), emit::types_file(group, &headers, version, constants, &layouts)?)];
    if !layouts.is_empty() {
        files.push(("layouts".to_string(), emit::layouts_file(group, &headers, version, &layouts)?));
    }
    for (name, table) in group.tables {
        files.push(((*name).to_string(), emit::table_file(group, table, &headers, version)?));
    }
    files.iter_mut().try_for_each(|(_, text)| rustfmt(text).map(|formatted| *text = formatted))?;
    Ok(files)
}

/// Layouts of the structs that the group asserts, and sizes of the structs of bit fields inside them.
fn layouts(group: &Group, headers: &Headers, clang: &Clang) -> Result<Vec<Layout>> {
    let mut names: Vec<String> = group.layouts.iter().map(|name| (*name).to_string()).collect();
    for outer in group.layouts {
        if let Declared::Struct(fields) = headers.declared(outer)? {
            let inner = fields.iter().filter(|(_, c)| !c.contains('*')).filter_map(|(_, c)| ctype::named(c));
            names.extend(inner.filter(|name| matches!(headers.declared(name), Ok(Declared::Opaque))));
        }
    }
    names.sort();
    names.dedup();
    names.iter().map(|name| layout(name, group, headers, clang)).collect()
}

fn layout(name: &str, group: &Group, headers: &Headers, clang: &Clang) -> Result<Layout> {
    let fields = match headers.declared(name)? {
        Declared::Struct(fields) => fields.iter().map(|(field, _)| field.clone()).collect(),
        _ => Vec::new(),
    };
    let mut expressions = vec![format!("sizeof({name})"), format!("_Alignof({name})")];
    expressions.extend(fields.iter().map(|field| format!("offsetof({name}, {field})")));
    let values = clang.evaluate(group.headers, &expressions)?;
    let offsets = values.iter().skip(2).copied();
    Ok(Layout {
        name: name.into(),
        size: values[0],
        align: values[1],
        fields: fields.into_iter().zip(offsets).collect(),
    })
}

fn rustfmt(text: &str) -> Result<String> {
    let file = std::env::temp_dir().join(format!("rocmforge-bindings-{}.rs", std::process::id()));
    fs::write(&file, text)?;
    let config = process::root().join("rustfmt.toml");
    let result = process::stdout_of(
        Command::new("rustfmt").args(["--edition", "2024", "--emit", "files", "--config-path"]).arg(config).arg(&file),
    );
    let formatted = result.and_then(|_| Ok(fs::read_to_string(&file)?));
    fs::remove_file(&file).context("the formatted file")?;
    formatted
}

fn deliver(path: &str, text: &str, check: bool) -> Result<()> {
    let file = process::root().join(path);
    if check {
        let committed = fs::read_to_string(&file).with_context(|| path.to_string())?;
        ensure!(committed == text, "{path} is not what these headers give; `cargo xtask bindings` writes it");
        println!("{path}: as generated");
        return Ok(());
    }
    fs::create_dir_all(file.parent().context("a folder")?)?;
    fs::write(&file, text).with_context(|| path.to_string())?;
    println!("{path}: written");
    Ok(())
}
