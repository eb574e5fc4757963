//! What kernels executed, as the emulator writes it down, and differences of it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Defines a struct of numbers with arithmetic over all of them.
macro_rules! figures {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What one or several launches of a kernel executed.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Figures {
            $($(#[$doc])* pub $name: i64,)*
        }

        impl Figures {
            /// Adds a multiple of others.
            fn add(&mut self, other: &Self, times: i64) {
                $(self.$name += other.$name * times;)*
            }

            /// A line of the emulator: each figure by its name, those of instructions in an object of their own.
            fn parse(line: &Value) -> Result<Self> {
                let figure = |name: &str| {
                    let found = line["instructions"].get(name).or_else(|| line.get(name)).and_then(Value::as_i64);
                    found.with_context(|| format!("a launch without `{name}`"))
                };
                Ok(Self { $($name: figure(stringify!($name))?,)* })
            }
        }
    };
}

figures! {
    workgroups,
    waves,
    /// Instructions of waves by kind, as the emulator has them.
    scalar,
    scalar_memory,
    control,
    vector,
    transcendental,
    dot,
    matrix,
    lds,
    load,
    store,
    atomic,
    scratch,
    loaded_bytes,
    stored_bytes,
    /// Lines of 128 bytes, counted anew for each instruction.
    loaded_lines,
    stored_lines,
    scalar_bytes,
    lds_accesses,
    /// Cycles of LDS beyond one an access.
    lds_conflicts,
}

/// What makes launches alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    pub module: String,
    pub kernel: String,
    /// Workgroups.
    pub grid: [u32; 3],
    /// Lanes of a workgroup.
    pub block: [u32; 3],
    /// LDS of a workgroup that the launch asked for, bytes.
    pub dynamic_lds: u64,
}

/// Launches that are alike, together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    pub launches: i64,
    #[serde(flatten)]
    pub figures: Figures,
}

/// All launches of a step, or of a part of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Launches(pub BTreeMap<Key, Sum>);

impl Launches {
    /// Lines as the emulator writes them, one a launch.
    ///
    /// # Errors
    /// A line that is not JSON, or lacks something.
    pub fn parse(lines: &[Value]) -> Result<Self> {
        let mut all = Self::default();
        for line in lines {
            let text = |name: &str| line[name].as_str().map(str::to_owned).with_context(|| format!("no `{name}`"));
            let key = Key {
                module: text("module")?,
                kernel: text("kernel")?,
                grid: serde_json::from_value(line["grid"].clone()).context("grid")?,
                block: serde_json::from_value(line["block"].clone()).context("block")?,
                dynamic_lds: line["dynamic_lds"].as_u64().context("no `dynamic_lds`")?,
            };
            let sum = all.0.entry(key).or_default();
            sum.launches += 1;
            sum.figures.add(&Figures::parse(line)?, 1);
        }
        Ok(all)
    }

    /// Adds a multiple of others; what then was launched no times is left out.
    pub fn plus(mut self, other: &Self, times: i64) -> Self {
        for (key, more) in &other.0 {
            let sum = self.0.entry(key.clone()).or_default();
            sum.launches += more.launches * times;
            sum.figures.add(&more.figures, times);
        }
        self.0.retain(|_, sum| sum.launches != 0);
        self
    }

    /// That a difference is one of things that were there.
    ///
    /// # Errors
    /// A kernel that was launched fewer than no times.
    pub fn checked(self) -> Result<Self> {
        for (key, sum) in &self.0 {
            ensure!(sum.launches > 0, "{} of {} runs less often in a longer model", key.kernel, key.module);
        }
        Ok(self)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    /// A launch as the emulator writes it down.
    pub fn line(module: &str, kernel: &str, workgroups: u32, vector: i64) -> Value {
        json!({
            "module": module, "kernel": kernel, "grid": [workgroups, 1, 1], "block": [64, 1, 1], "dynamic_lds": 0,
            "workgroups": workgroups, "waves": 2 * workgroups,
            "instructions": {
                "scalar": 10, "scalar_memory": 2, "control": 5, "vector": vector, "transcendental": 1, "dot": 8,
                "matrix": 0, "lds": 4, "load": 6, "store": 1, "atomic": 0, "scratch": 0,
            },
            "loaded_bytes": 4096, "stored_bytes": 64, "loaded_lines": 32, "stored_lines": 1, "scalar_bytes": 64,
            "lds_accesses": 4, "lds_conflicts": 0,
        })
    }

    #[test]
    fn launches_that_are_alike_are_added() {
        let all = Launches::parse(&[line("a", "k", 3, 100), line("a", "k", 3, 50), line("a", "k", 4, 7)]).unwrap();
        let sums: Vec<_> = all.0.values().map(|sum| (sum.launches, sum.figures.vector, sum.figures.waves)).collect();
        assert_eq!(sums, [(2, 150, 12), (1, 7, 8)]);
    }

    #[test]
    fn differences_leave_out_what_both_have() {
        let (short, long) = ([line("a", "k", 3, 9)], [line("a", "k", 3, 9), line("a", "l", 3, 9)]);
        let [short, long] = [&short[..], &long[..]].map(|lines| Launches::parse(lines).unwrap());
        let more = long.clone().plus(&short, -1).checked().unwrap();
        assert_eq!(more.0.keys().map(|key| key.kernel.as_str()).collect::<Vec<_>>(), ["l"]);
        let error = short.plus(&long, -1).checked().unwrap_err().to_string();
        assert_eq!(error, "l of a runs less often in a longer model");
    }

    #[test]
    fn a_line_without_a_figure_is_an_error_that_names_it() {
        let mut spoilt = line("a", "k", 1, 1);
        spoilt["instructions"].as_object_mut().unwrap().remove("matrix");
        assert_eq!(Launches::parse(&[spoilt]).unwrap_err().to_string(), "a launch without `matrix`");
    }
}
