//! Compiles kernel modules through hipRTC, which needs no device:
//! `compile_kernels LIBHIPRTC ARCH[,ARCH...] [NAME-PREFIX]`.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rocmforge_hip_backend::library::{compile, rtc_version};
use rocmforge_kernels::{Module, modules};

/// What came of one target.
#[derive(Default)]
struct Outcome {
    compiled: usize,
    bytes: usize,
    longest: Duration,
    errors: Vec<String>,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(library), Some(archs)) = (args.next(), args.next()) else {
        return Err("usage: compile_kernels LIBHIPRTC ARCH[,ARCH...] [NAME-PREFIX]".into());
    };
    let prefix = args.next().unwrap_or_default();
    let rtc = hip_sys::Rtc::open_path(library)?;
    println!("hipRTC: {}", rtc_version(&rtc));
    let wanted: Vec<&Module> = modules().iter().filter(|module| module.name.starts_with(&prefix)).collect();
    let mut failures = 0;
    for arch in archs.split(',') {
        let start = Instant::now();
        let outcome = compile_all(&rtc, &wanted, arch);
        println!(
            "{arch}: {} of {} modules, {:.1} MB, {:.1} s, the longest {:.1} s",
            outcome.compiled,
            wanted.len(),
            outcome.bytes as f64 / 1e6,
            start.elapsed().as_secs_f64(),
            outcome.longest.as_secs_f64()
        );
        outcome.errors.iter().for_each(|error| println!("{error}\n"));
        failures += outcome.errors.len();
    }
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Compiles on all processors at a time, as loading a model does.
fn compile_all(rtc: &hip_sys::Rtc, wanted: &[&Module], arch: &str) -> Outcome {
    let outcome = Mutex::new(Outcome::default());
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(module) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
            let start = Instant::now();
            let result = compile(rtc, module, arch, &[]);
            let mut outcome = outcome.lock().unwrap_or_else(|poison| poison.into_inner());
            outcome.longest = outcome.longest.max(start.elapsed());
            match result {
                Ok(object) => {
                    outcome.compiled += 1;
                    outcome.bytes += object.len();
                }
                Err(error) => outcome.errors.push(error.to_string()),
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    outcome.into_inner().unwrap_or_else(|poison| poison.into_inner())
}
