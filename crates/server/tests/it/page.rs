//! The chat page in headless Chromium.

use std::process::Command;

use crate::server::Server;
use crate::tools::{chromium, node_packages, or_skip, run, tests_dir};

#[test]
fn the_chat_page_works_in_chromium() {
    let chromium = or_skip!(chromium());
    let packages = or_skip!(node_packages());
    let server = Server::start(&[]);
    let mut command = Command::new("node");
    command
        .args(["--test", "page.test.mjs"])
        .current_dir(tests_dir().join("page"))
        .env("CHROMIUM", chromium)
        .env("PLAYWRIGHT", packages)
        .env("PAGE_URL", server.url());
    run(&mut command).unwrap_or_else(|said| panic!("{said}"));
}
