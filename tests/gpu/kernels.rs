//! What each kernel costs on this device, at the shapes of Llama with 8 billion weights.
//!
//! Launches are recorded as a graph, as decoding replays them, and events before and after it keep the time; so a row
//! contains what lies between two kernels of a graph, and [`rows`] shows how much that is. Weights and caches rotate
//! through more memory than a cache holds.

mod attention;
mod bench;
mod data;
mod products;
mod rows;
mod sample;

use clap::{Args, ValueEnum};
use rocmforge_quant::GgmlType;

use crate::report::Report;
use bench::Bench;

/// What is timed, and how.
#[derive(Debug, Args)]
pub struct Options {
    /// Groups of kernels; all without it
    #[arg(long, value_enum, value_delimiter = ',', value_name = "GROUP,...")]
    only: Vec<Group>,
    /// Types of weights
    #[arg(long, value_delimiter = ',', value_name = "TYPE,...", default_value = "q4_0,q4_k,q6_k,q8_0,f16")]
    types: Vec<GgmlType>,
    /// The device's memory bandwidth, to print shares of it; otherwise what the driver says, if it does
    #[arg(long, value_name = "GB/S")]
    bandwidth: Option<f64>,
    /// Weights or cache between two uses of the same: several times the device's largest cache
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    rotate: usize,
    /// Measurements of each kernel, of which the median is printed
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Least duration of one measurement
    #[arg(long, value_name = "MS", default_value_t = 10.0)]
    millis: f32,
    /// Tiny shapes: shows that everything runs, and no speed
    #[arg(long)]
    tiny: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    Rows,
    Matvec,
    Attention,
    Sample,
    Gemm,
}

impl Options {
    fn wants(&self, group: Group) -> bool {
        self.only.is_empty() || self.only.contains(&group)
    }

    /// One of two sizes.
    fn size<T>(&self, usual: T, tiny: T) -> T {
        if self.tiny { tiny } else { usual }
    }
}

/// A group's rows of the table.
type Rows = fn(&mut Bench, &Options) -> bench::Outcome;

/// In the order of use: what matters most for decoding first.
const GROUPS: [(Group, Rows); 5] = [
    (Group::Rows, rows::run),
    (Group::Matvec, products::matvec),
    (Group::Attention, attention::run),
    (Group::Sample, sample::run),
    (Group::Gemm, products::gemm),
];

/// Prints the table.
pub fn run(options: &Options, report: &mut Report) {
    let mut bench = match Bench::open(options) {
        Ok(bench) => bench,
        Err(error) => return report.check("kernels", Err(error.to_string())),
    };
    for (group, rows) in GROUPS {
        if options.wants(group)
            && let Err(error) = rows(&mut bench, options)
        {
            bench.note(&format!("{group:?}"), "", &*error);
        }
    }
    bench.finish(report);
}
