//! The tables of the README are those of the code. `UPDATE_EXPECT=1` rewrites them.

use rocmforge_sampler::{PARAMS, STAGES};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

fn params_table() -> String {
    let mut table = String::from("| parameter | default | allowed | what it does |\n|---|---|---|---|\n");
    for row in PARAMS {
        let cells = [row.name, &row.default_text(), &row.allowed(), row.meaning];
        table += &format!("| `{}` | {} | {} | {} |\n", cells[0], cells[1], cells[2], cells[3]);
    }
    table
}

fn stages_table() -> String {
    let mut table = String::from("| stage | kind | definition | source |\n|---|---|---|---|\n");
    for stage in STAGES {
        let definition = stage.definition.replace('|', "\\|");
        let linked = |word: &str| match word.starts_with("https://") {
            true => format!("<{word}>"),
            false => word.to_owned(),
        };
        let source: Vec<String> = stage.source.split(' ').map(linked).collect();
        let (name, kind) = (stage.name, stage.kind);
        table += &format!("| {name} | {kind:?} | `{definition}` | {} |\n", source.join(" "));
    }
    table
}

fn check(marker: &str, table: &str) {
    let text = std::fs::read_to_string(README).unwrap();
    let (begin, end) = (format!("<!-- begin {marker} -->\n"), format!("<!-- end {marker} -->"));
    let (head, rest) = text.split_once(&begin).expect("the marker that begins the table");
    let (found, tail) = rest.split_once(&end).expect("the marker that ends the table");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(README, format!("{head}{begin}{table}{end}{tail}")).unwrap();
        return;
    }
    assert_eq!(found, table, "run this test with UPDATE_EXPECT=1");
}

/// One test for both, because both may write the file.
#[test]
fn tables_are_current() {
    check("parameters", &params_table());
    check("stages", &stages_table());
}

#[test]
fn stages_and_parameters_name_each_other() {
    let read: Vec<&str> = STAGES.iter().flat_map(|stage| stage.params).copied().collect();
    for name in &read {
        assert!(PARAMS.iter().any(|row| row.name == *name), "no parameter `{name}`");
    }
    // These are read by all truncating stages, by the draw, and by the report.
    let elsewhere = ["min_keep", "seed", "logprobs"];
    for row in PARAMS {
        assert!(read.contains(&row.name) != elsewhere.contains(&row.name), "{}", row.name);
    }
}
