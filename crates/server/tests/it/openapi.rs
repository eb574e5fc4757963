//! The server does what its OpenAPI document says: schemathesis makes requests of it and looks at the answers.

use std::process::Command;

use crate::harness::{Harness, MODEL};
use crate::tools::{or_skip, python, run, tests_dir};

/// Requests of each kind for each route. Named by the operator, these are random, and every border of every field is
/// tried too.
const EXAMPLES: &str = "ROCMFORGE_SCHEMATHESIS_EXAMPLES";

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

#[test]
fn answers_are_what_the_document_says() {
    let python = or_skip!(python("openapi"));
    let mut harness = Harness::with(&["--ctx-size", "256"]);
    let document = format!("{}/openapi.json", harness.url());
    let mut command = Command::new(python);
    command
        .args(["-m", "schemathesis.cli", "run", &document, "--checks", CHECKS, "--continue-on-failure", "--no-color"])
        .args(["--workers", "1", "--warnings", "off"])
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONPATH", tests_dir().join("openapi"))
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("SERVER_MODEL", MODEL);
    match std::env::var(EXAMPLES) {
        Ok(count) => command
            .args(["--phases", "examples,coverage,fuzzing,stateful", "-n", &count])
            .args(["--generation-database", "none"]),
        Err(_) => command.args(["--phases", "fuzzing,stateful", "-n", "8", "--generation-deterministic"]),
    };
    run(&mut command).unwrap_or_else(|said| panic!("{said}"));
    harness.assert_alive_and_level();
}
