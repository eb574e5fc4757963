//! The chat page in headless Chromium.

use std::process::Command;

use crate::harness::Harness;
use crate::tools::{chromium, node_packages, or_skip, run, tests_dir};

#[test]
fn the_chat_page_works_in_chromium() {
    let chromium = or_skip!(chromium());
    let packages = or_skip!(node_packages());
    let harness = Harness::start();
    let mut command = Command::new("node");
    command
        .args(["--test", "page.test.mjs"])
        .current_dir(tests_dir().join("page"))
        .env("CHROMIUM", chromium)
        .env("PLAYWRIGHT", packages)
        .env("PAGE_URL", harness.url());
    run(&mut command).unwrap_or_else(|said| panic!("{said}"));
    harness.assert_level();
}

#[test]
fn the_page_may_load_nothing_from_elsewhere() {
    let harness = Harness::with(&["--api-key", "key"]);
    let page = harness.get("/");
    assert_eq!(page.status, 200, "the page needs no key, since a key is entered there");
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let files: Vec<String> =
        page.text().split('"').filter(|text| text.starts_with("page/")).map(str::to_owned).collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let reply = harness.get(&format!("/{file}"));
        assert_eq!(reply.status, 200, "{file}");
        assert!(!reply.text().replace("http://www.w3.org/2000/svg", "").contains("://www."), "{file}");
    }
    assert_eq!(harness.get("/v1/models").status, 401);
}
