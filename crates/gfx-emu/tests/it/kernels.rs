//! Kernels as a compiler makes them, against results computed here, in every order of waves and workgroups.

mod atomics;
mod calls;
mod convert;
mod math;
mod mistakes;
mod reduce;
mod tiles;

use bytemuck::{AnyBitPattern, NoUninit, cast_slice};
use gfx_emu::{Dispatch, LaunchError, Memory, Options, Order, Program, kernarg_from_args, launch};

/// The bytes of `tests/kernels/NAME.co`.
macro_rules! object {
    ($name:literal) => {
        include_bytes!(concat!("../../kernels/", $name, ".co")).as_slice()
    };
}
use object;

/// How each kernel is run: the order, and the threads that share the grid.
const WAYS: [(Order, usize); 7] = [
    (Order::Forward, 1),
    (Order::Reverse, 1),
    (Order::Random(1), 1),
    (Order::Random(2), 1),
    (Order::Forward, 3),
    (Order::Reverse, 3),
    (Order::Random(3), 3),
];

/// An argument of a kernel.
enum Arg {
    /// A buffer that holds these bytes.
    Buffer(Vec<u8>),
    /// A buffer of so many bytes that nobody wrote.
    Empty(usize),
    /// A value in place.
    Value(Vec<u8>),
}

/// A buffer that holds values.
fn buffer<T: NoUninit>(values: &[T]) -> Arg {
    Arg::Buffer(cast_slice(values).to_vec())
}

/// A buffer for so many results.
fn room<T>(count: usize) -> Arg {
    Arg::Empty(count * size_of::<T>())
}

fn value<T: NoUninit>(value: T) -> Arg {
    Arg::Value(bytemuck::bytes_of(&value).to_vec())
}

/// What the buffers of a launch hold behind it, by argument; values hold nothing.
struct Results(Vec<Vec<u8>>);

impl Results {
    fn of<T: AnyBitPattern>(&self, argument: usize) -> Vec<T> {
        self.0[argument].chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect()
    }
}

/// A grid of `blocks` blocks of `items` items.
fn line(blocks: u32, items: u32) -> Dispatch {
    Dispatch { grid: [blocks, 1, 1], block: [items, 1, 1], dynamic_lds: 0 }
}

/// One launch with buffers made for it.
fn launch_once(
    object: &[u8],
    kernel: &str,
    dispatch: &Dispatch,
    args: &[Arg],
    options: &Options,
) -> Result<Results, LaunchError> {
    let program = Program::load(object, "gfx1100").unwrap();
    let kernel = program.kernel(kernel).unwrap();
    let memory = Memory::new();
    let place = |(index, arg): (usize, &Arg)| match arg {
        Arg::Buffer(bytes) => memory.allocate_from(bytes, &format!("argument {index}")).to_le_bytes().to_vec(),
        Arg::Empty(bytes) => memory.allocate(*bytes, &format!("argument {index}")).to_le_bytes().to_vec(),
        Arg::Value(bytes) => bytes.clone(),
    };
    let places: Vec<Vec<u8>> = args.iter().enumerate().map(place).collect();
    let slices: Vec<&[u8]> = places.iter().map(Vec::as_slice).collect();
    launch(&program, kernel, dispatch, &kernarg_from_args(kernel, &slices).unwrap(), &memory, options)?;
    let held = |(place, arg): (&Vec<u8>, &Arg)| {
        let bytes = match arg {
            Arg::Buffer(bytes) => bytes.len(),
            Arg::Empty(bytes) => *bytes,
            Arg::Value(_) => return Vec::new(),
        };
        memory.read(u64::from_le_bytes(place.as_slice().try_into().unwrap()), bytes).unwrap()
    };
    Ok(Results(places.iter().zip(args).map(held).collect()))
}

/// Results of a kernel, which are the same in all [`WAYS`].
fn results(object: &[u8], kernel: &str, dispatch: &Dispatch, args: &[Arg]) -> Results {
    let mut all = WAYS.iter().map(|(order, threads)| {
        let options = Options { order: *order, threads: *threads, ..Options::default() };
        launch_once(object, kernel, dispatch, args, &options).unwrap_or_else(|error| panic!("{error}"))
    });
    let first = all.next().unwrap();
    for (other, way) in all.zip(&WAYS[1..]) {
        assert!(other.0 == first.0, "{kernel}: results differ in {way:?}");
    }
    first
}

/// Numbers without a pattern, the same for the same seed.
fn random(count: usize, seed: u64) -> Vec<u64> {
    let mut state = seed.wrapping_mul(0x5851_f42d_4c95_7f2d);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (state ^ state >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^ mixed >> 29
    };
    (0..count).map(|_| next()).collect()
}

/// The same, of 32 bits.
fn random32(count: usize, seed: u64) -> Vec<u32> {
    random(count, seed).into_iter().map(|bits| (bits >> 32) as u32).collect()
}

/// Numbers from `low` to `high`.
fn between(count: usize, seed: u64, low: f64, high: f64) -> Vec<f64> {
    let of = |bits: u64| low + (bits >> 11) as f64 / (1u64 << 53) as f64 * (high - low);
    random(count, seed).into_iter().map(of).collect()
}
