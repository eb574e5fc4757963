//! `cargo xtask kernels`: code objects for each target, packed for embedding, and a table of what they need.

mod compile;
mod disasm;
mod limits;
mod object;
mod report;
pub mod test_objects;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::Args;
use rocmforge_kernels::{Archive, Digest, Module, TARGETS, module, modules};

use crate::process;
use compile::{Built, Compiler};

/// Compile the kernels ahead of time.
#[derive(Debug, Args)]
pub struct KernelArgs {
    /// Targets, separated by commas; `all` for every target that is built by default
    #[arg(long, value_delimiter = ',', default_value = "all")]
    arch: Vec<String>,
    /// Command that runs the compiler where it is installed, such as one that enters a container
    #[arg(long, value_name = "COMMAND")]
    prefix: Option<String>,
    /// Compilers at a time [default: one a core]
    #[arg(long)]
    jobs: Option<usize>,
    /// Only modules of this name; `*` stands for any text
    #[arg(long, value_name = "PATTERN")]
    module: Vec<String>,
    /// Compile instead the modules that tests execute on an emulated device, and write the committed archive of them
    #[arg(long, conflicts_with_all = ["module", "report"])]
    test_objects: bool,
    /// Fail on spills in hot modules, and write docs/kernels.md; with --module print the modules' kernels instead, with
    /// some targets print the page instead
    #[arg(long)]
    report: bool,
}

/// What was built: modules by target, in the order of the table.
pub type Results = BTreeMap<String, Vec<(&'static Module, Built)>>;

/// Compiles, packs, and reports.
pub fn run(args: &KernelArgs) -> Result<()> {
    let archs = targets(&args.arch);
    if args.test_objects {
        ensure!(archs == [test_objects::ARCH], "there are test objects of {} alone", test_objects::ARCH);
        return test_objects::renew(&Compiler::find(args.prefix.as_deref())?, args.jobs);
    }
    let wanted: Vec<&'static Module> = modules().iter().filter(|m| is_wanted(&args.module, &m.name)).collect();
    ensure!(!wanted.is_empty(), "no module is called {}", args.module.join(" or "));
    let compiler = Compiler::find(args.prefix.as_deref())?;
    eprintln!("{} modules for {} targets with {}", wanted.len(), archs.len(), compiler.version);
    let results = build_all(&compiler, &wanted, &archs, args.jobs)?;
    for (arch, built) in &results {
        pack(&compiler.version, arch, built)?;
    }
    if !args.report {
        return Ok(());
    }
    if !args.module.is_empty() {
        print!("{}", report::kernel_list(&results));
    } else if TARGETS.iter().all(|target| results.contains_key(*target)) {
        let path = process::root().join("docs/kernels.md");
        fs::write(&path, report::markdown(&compiler.version, &results))?;
        eprintln!("wrote {}", path.display());
    } else {
        print!("{}", report::markdown(&compiler.version, &results));
    }
    no_spills(&results)
}

/// The kernels of a code object: name, waves that a SIMD holds, and whether workgroups may spread over two compute units.
pub fn residency(arch: &str, object: &[u8]) -> Result<Vec<(String, u64, bool)>> {
    let waves = |kernel: &object::Kernel| limits::occupancy(arch, kernel).unwrap_or(1);
    let kernels = object::kernels(object)?.into_iter();
    Ok(kernels.map(|kernel| (kernel.name.clone(), waves(&kernel), kernel.wgp)).collect())
}

fn targets(asked: &[String]) -> Vec<String> {
    let all = TARGETS.iter().map(|target| (*target).to_owned());
    let list = asked.iter().filter(|arch| *arch != "all").cloned();
    let list: BTreeSet<String> =
        if asked.iter().any(|arch| arch == "all") { list.chain(all).collect() } else { list.collect() };
    list.into_iter().collect()
}

fn is_wanted(patterns: &[String], name: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, name))
}

/// Whether a name fits a pattern whose `*` stand for any text.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => name.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| matches(after, &rest[at..]))
        }),
    }
}

/// Compiles on several threads. A module that fails for one target is not tried for the others.
fn build_all(
    compiler: &Compiler,
    wanted: &[&'static Module],
    archs: &[String],
    jobs: Option<usize>,
) -> Result<Results> {
    let start = Instant::now();
    let jobs = jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
    let next = AtomicUsize::new(0);
    let results = Mutex::new(BTreeMap::<(usize, usize), Built>::new());
    let failed = Mutex::new(BTreeMap::<usize, String>::new());
    let told = Mutex::new(start);
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let (m, a) = (at / archs.len(), at % archs.len());
            let Some(&module) = wanted.get(m) else { return };
            if lock(&failed).contains_key(&m) {
                continue;
            }
            match compiler.build(module, &archs[a]).and_then(|built| has_its_kernels(module, built)) {
                Ok(built) => {
                    lock(&results).insert((m, a), built);
                    tell(&told, at + 1, wanted.len() * archs.len());
                }
                Err(error) => {
                    eprintln!("{} for {}:\n{error:#}\n", module.name, archs[a]);
                    lock(&failed).insert(m, module.name.clone());
                }
            }
        }
    };
    std::thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(work))));
    let results = results.into_inner().unwrap_or_else(|poison| poison.into_inner());
    let fresh = results.values().filter(|built| built.fresh).count();
    let kept = results.len() - fresh;
    eprintln!("{fresh} compiled and {kept} unchanged in {:.1} s", start.elapsed().as_secs_f64());
    let failed: Vec<String> = lock(&failed).values().cloned().collect();
    ensure!(failed.is_empty(), "{} of {} modules do not compile: {}", failed.len(), wanted.len(), failed.join(", "));
    let mut by_arch = Results::new();
    for ((m, a), built) in results {
        by_arch.entry(archs[a].clone()).or_default().push((wanted[m], built));
    }
    Ok(by_arch)
}

/// Says now and then how far it is.
fn tell(told: &Mutex<Instant>, done: usize, all: usize) {
    let mut told = lock(told);
    if told.elapsed() >= Duration::from_secs(10) {
        eprintln!("  {done} of {all}");
        *told = Instant::now();
    }
}

/// A lock that a panic cannot take away: what it guards is only inserted into.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
}

/// The object has exactly the kernels that the table names.
fn has_its_kernels(module: &Module, built: Built) -> Result<Built> {
    let found: BTreeSet<&str> = built.kernels.iter().map(|k| k.name.as_str()).collect();
    let named: BTreeSet<&str> = module.kernels.iter().map(String::as_str).collect();
    let list = |names: Vec<&&str>| names.iter().map(|name| **name).collect::<Vec<_>>().join(", ");
    let (missing, extra) = (list(named.difference(&found).collect()), list(found.difference(&named).collect()));
    if missing.is_empty() && extra.is_empty() {
        return Ok(built);
    }
    let mut faults = Vec::new();
    if !missing.is_empty() {
        faults.push(format!("named in the table and not in the object: {missing}"));
    }
    if !extra.is_empty() {
        faults.push(format!("in the object and not in the table: {extra}"));
    }
    bail!("kernels {}", faults.join("; "))
}

/// Where the code objects of a target are.
pub fn archive_path(arch: &str) -> PathBuf {
    process::root().join(format!("kernels/objects/{arch}.bin"))
}

/// Writes the archive of a target. Objects of modules that were not built now are taken over if they are up to date.
fn pack(compiler: &str, arch: &str, built: &[(&'static Module, Built)]) -> Result<()> {
    let path = archive_path(arch);
    let before = fs::read(&path).unwrap_or_default();
    let mut objects: Vec<(String, Digest, Vec<u8>)> =
        built.iter().map(|(module, built)| (module.name.clone(), module.hash(), built.object.clone())).collect();
    let names: BTreeSet<String> = objects.iter().map(|(name, ..)| name.clone()).collect();
    if let Ok(archive) = Archive::read(&before) {
        for entry in archive.entries.iter().filter(|entry| !names.contains(&entry.name)) {
            if module(&entry.name).is_some_and(|module| module.hash() == entry.hash) {
                objects.push((entry.name.clone(), entry.hash, archive.unpack(entry)?.into_owned()));
            }
        }
    }
    let (count, unpacked) = (objects.len(), objects.iter().map(|(.., object)| object.len()).sum::<usize>());
    let bytes = Archive::write(compiler, objects);
    eprintln!("{arch}: {count} modules, {} of {}", report::bytes(bytes.len()), report::bytes(unpacked));
    if bytes != before {
        let new = path.with_extension(format!("{}.new", std::process::id()));
        fs::write(&new, bytes)?;
        fs::rename(new, path)?;
    }
    Ok(())
}

/// Hot kernels keep everything in registers.
fn no_spills(results: &Results) -> Result<()> {
    let mut spills = Vec::new();
    for (arch, built) in results {
        for (module, built) in built.iter().filter(|(module, _)| module.hot) {
            let kernels = built.kernels.iter().filter(|kernel| kernel.spills());
            spills.extend(kernels.map(|kernel| format!("{arch}: {} in {}", kernel.name, module.name)));
        }
    }
    ensure!(spills.is_empty(), "{} hot kernels spill registers:\n{}", spills.len(), spills.join("\n"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::object::Kernel;
    use super::*;

    fn built(kernels: &[&str]) -> Built {
        let kernels = kernels.iter().map(|name| Kernel { name: (*name).into(), ..Kernel::default() }).collect();
        Built { object: Vec::new(), kernels, fresh: true }
    }

    #[test]
    fn patterns_match_whole_names() {
        assert!(matches("matvec/*", "matvec/q4_0") && matches("*/q4_*", "gemm/q4_k") && matches("*", ""));
        assert!(!matches("matvec", "matvec/q4_0") && !matches("*/q4", "gemm/q4_k") && !matches("a*b", "a"));
    }

    #[test]
    fn all_means_every_target() {
        assert_eq!(targets(&["all".into()]).len(), TARGETS.len());
        assert_eq!(targets(&["gfx906".into(), "all".into()]).len(), TARGETS.len() + 1);
        assert_eq!(targets(&["gfx942".into(), "gfx942".into()]), ["gfx942"]);
    }

    #[test]
    fn a_kernel_more_or_less_is_an_error() {
        let Some(module) = modules().first() else { return };
        let names: Vec<&str> = module.kernels.iter().map(String::as_str).collect();
        assert!(has_its_kernels(module, built(&names)).is_ok());
        let fault = |names: &[&str]| has_its_kernels(module, built(names)).unwrap_err().to_string();
        assert!(fault(&names[1..]).contains(&format!("not in the object: {}", names[0])));
        assert!(fault(&[&names[..], &["stray"]].concat()).contains("not in the table: stray"));
    }

    #[test]
    fn a_spill_in_a_hot_module_has_a_name() {
        let Some(module) = modules().iter().find(|module| module.hot) else { return };
        let mut spilling = built(&["greedy"]);
        spilling.kernels[0].vgpr_spills = 3;
        let results = Results::from([("gfx1100".into(), vec![(module, spilling)])]);
        let error = no_spills(&results).unwrap_err().to_string();
        assert!(error.contains(&format!("gfx1100: greedy in {}", module.name)), "{error}");
        assert!(no_spills(&Results::from([("gfx1100".into(), vec![(module, built(&["modest"]))])])).is_ok());
    }
}
