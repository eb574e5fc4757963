//! Which crate may use which: the floors of the house.

use super::Finding;
use super::workspace::{Workspace, room_of};

/// A crate, and the crates of the workspace that its library or program may use. Its tests may use all rooms above
/// its row in the table as well.
struct Room {
    name: &'static str,
    uses: &'static [&'static str],
}

/// In the order of floors: a room uses only rooms above its row.
static ROOMS: &[Room] = &[
    Room { name: "quant", uses: &[] },
    Room { name: "attention", uses: &[] },
    Room { name: "kv-cache", uses: &[] },
    Room { name: "scheduler", uses: &["kv-cache"] },
    Room { name: "simulation", uses: &["kv-cache", "scheduler"] },
    Room { name: "sampler", uses: &[] },
    Room { name: "chat", uses: &[] },
    Room { name: "gguf-loader", uses: &["quant"] },
    Room { name: "demo-model", uses: &[] },
    Room { name: "kernels", uses: &["quant"] },
    Room { name: "hip-sys", uses: &[] },
    Room { name: "hipblas-sys", uses: &["hip-sys"] },
    Room { name: "gfx-emu", uses: &[] },
    Room { name: "fake-hip", uses: &["gfx-emu", "hip-sys", "kernels"] },
    Room { name: "hip-on-cuda", uses: &["hip-sys", "hipblas-sys"] },
    Room { name: "tokenizer", uses: &["gguf-loader"] },
    Room { name: "grammar", uses: &["chat", "tokenizer"] },
    Room { name: "program", uses: &["attention", "quant"] },
    Room { name: "cpu-backend", uses: &["attention", "program", "quant"] },
    Room {
        name: "hip-backend",
        uses: &["attention", "hip-sys", "hipblas-sys", "kernels", "program", "quant", "sampler"],
    },
    Room { name: "model", uses: &["attention", "gguf-loader", "program", "quant"] },
    Room {
        name: "engine",
        uses: &[
            "chat",
            "cpu-backend",
            "gguf-loader",
            "grammar",
            "hip-backend",
            "kv-cache",
            "model",
            "program",
            "quant",
            "sampler",
            "scheduler",
            "tokenizer",
        ],
    },
    Room { name: "launch", uses: &["demo-model", "engine", "hip-backend", "program"] },
    Room {
        name: "server",
        uses: &["chat", "engine", "grammar", "kv-cache", "launch", "sampler", "scheduler", "tokenizer"],
    },
    Room {
        name: "cli",
        uses: &[
            "chat",
            "cpu-backend",
            "engine",
            "gguf-loader",
            "hip-backend",
            "launch",
            "model",
            "program",
            "quant",
            "sampler",
            "server",
            "tokenizer",
        ],
    },
    // Workspace-level tests see everything, and nothing sees them.
    Room {
        name: "tests",
        uses: &[
            "attention",
            "chat",
            "cli",
            "cpu-backend",
            "demo-model",
            "engine",
            "fake-hip",
            "gguf-loader",
            "grammar",
            "hip-backend",
            "hip-on-cuda",
            "hip-sys",
            "kernels",
            "kv-cache",
            "model",
            "program",
            "quant",
            "sampler",
            "scheduler",
            "tokenizer",
        ],
    },
    Room { name: "xtask", uses: &["gfx-emu", "gguf-loader", "kernels", "quant", "simulation", "tests"] },
];

/// Crates from outside that bring a concern with them, and the rooms whose concern that is.
static OWNED: &[(&str, &[&str])] = &[
    // HTTP.
    ("axum", &["server"]),
    ("hyper", &["server"]),
    ("tower", &["server"]),
    ("tower-http", &["server"]),
    ("hyper-util", &["server"]),
    ("reqwest", &["server"]),
    // Grammars.
    ("llguidance", &["grammar"]),
    // The terminal.
    ("clap", &["cli", "launch", "server", "tests", "xtask"]),
    ("indicatif", &["cli", "launch"]),
    ("rustyline", &["cli"]),
    ("tracing-subscriber", &["launch", "server"]),
    // The system.
    ("libc", &["cli", "cpu-backend", "fake-hip"]),
    ("libloading", &["fake-hip", "hip-on-cuda", "hip-sys", "hipblas-sys", "rccl-sys"]),
    ("memmap2", &["engine"]),
    // Text.
    ("minijinja", &["chat"]),
    ("tokenizers", &["tokenizer"]),
];

fn position(room: &str) -> Option<usize> {
    ROOMS.iter().position(|r| r.name == room)
}

/// Every edge between packages of the workspace is in the table.
pub fn between_rooms(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let Some(at) = position(package.room()) else {
            findings.push(Finding::new(&package.name, "has no row in ROOMS of xtask/src/tidy/edges.rs"));
            continue;
        };
        for dependency in &package.dependencies {
            let is_ours = workspace.packages.iter().any(|p| p.name == dependency.name);
            let room = room_of(&dependency.name);
            let in_tests = dependency.dev && position(room).is_some_and(|below| below < at);
            if is_ours && !in_tests && !ROOMS[at].uses.contains(&room) {
                let how = if dependency.dev { "its tests use" } else { "uses" };
                findings.push(Finding::new(&package.name, format!("{how} `{room}`, which is no room below it")));
            }
        }
    }
    findings
}

/// Crates from outside are used only by the rooms that own their concern; tests may use any.
pub fn owned_crates(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        for dependency in package.dependencies.iter().filter(|d| !d.dev) {
            let owners = OWNED.iter().find(|(name, _)| *name == dependency.name).map(|(_, owners)| *owners);
            if let Some(owners) = owners
                && !owners.contains(&package.room())
            {
                let message = format!("uses `{}`, which belongs to {}", dependency.name, owners.join(", "));
                findings.push(Finding::new(&package.name, message));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::workspace::fake::{found, library};
    use super::*;

    fn workspace(packages: &[(&str, &[&str])]) -> Workspace {
        let packages = packages.iter().map(|(room, uses)| library(room, uses)).collect();
        Workspace { packages, ..Workspace::default() }
    }

    #[test]
    fn the_table_is_in_floor_order() {
        for (at, room) in ROOMS.iter().enumerate() {
            for used in room.uses {
                assert!(position(used).is_some_and(|below| below < at), "{} uses {used}", room.name);
            }
        }
    }

    #[test]
    fn an_edge_upwards_is_found() {
        let good = workspace(&[("quant", &["half"]), ("gguf-loader", &["rocmforge-quant"])]);
        assert!(between_rooms(&good).is_empty());
        let bad = workspace(&[("quant", &["rocmforge-gguf-loader"]), ("gguf-loader", &[])]);
        assert_eq!(found(between_rooms(&bad)), ["rocmforge-quant: uses `gguf-loader`, which is no room below it"]);
    }

    #[test]
    fn tests_may_use_what_is_lower_and_no_more() {
        let rooms = |dev| workspace(&[("kv-cache", &[]), ("sampler", &[dev]), ("chat", &[])]);
        assert!(between_rooms(&rooms("dev:rocmforge-kv-cache")).is_empty());
        assert_eq!(between_rooms(&rooms("dev:rocmforge-chat")).len(), 1);
        assert_eq!(between_rooms(&rooms("rocmforge-kv-cache")).len(), 1);
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        assert_eq!(between_rooms(&workspace(&[("attic", &[])])).len(), 1);
    }

    #[test]
    fn http_in_the_engine_is_found() {
        let bad = workspace(&[("engine", &["axum", "dev:clap"])]);
        assert_eq!(found(owned_crates(&bad)), ["rocmforge-engine: uses `axum`, which belongs to server"]);
        assert!(owned_crates(&workspace(&[("cli", &["clap", "rustyline"])])).is_empty());
    }
}
