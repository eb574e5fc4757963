//! Plain Rust: arrays, which compilers turn into the vectors of any processor.

use half::f16;

use super::{Kernel, LANES, Lanes};

/// Works everywhere.
#[derive(Clone, Copy)]
pub(super) struct Scalar;

type Row = [f32; LANES];

/// One result a lane. A macro and no function with a closure: it must be inlined even in debug builds.
macro_rules! lanes {
    ($i:ident => $e:expr) => {{
        let mut row: Row = [0.0; LANES];
        let mut $i = 0;
        while $i < LANES {
            row[$i] = $e;
            $i += 1;
        }
        row
    }};
}

/// `a * b + c` without calling the C library, which fuses in software where the processor does not.
#[inline(always)]
fn fused(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_feature = "fma", target_arch = "aarch64", target_arch = "riscv64")) {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

/// A half-precision number, without a branch: its exponent and fraction, moved into place, are the number times 2^-112.
#[inline(always)]
fn widened(half: u16) -> f32 {
    let rest = u32::from(half & 0x7fff) << 13;
    let finite = (f32::from_bits(rest) * f32::from_bits(0x7780_0000)).to_bits();
    let bits = if half & 0x7c00 == 0x7c00 { rest | 0x7f80_0000 } else { finite };
    f32::from_bits(bits | u32::from(half & 0x8000) << 16)
}

#[inline(always)]
fn two_to(n: i32) -> f32 {
    f32::from_bits(((n + 127) as u32) << 23)
}

/// Halves are combined until one lane is left.
#[inline(always)]
fn fold(mut a: Row, f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            a[i] = f(a[i], a[i + half]);
        }
        half /= 2;
    }
    a[0]
}

macro_rules! each {
    ($($name:ident($($a:ident: $t:ty),*) $(-> $r:ty)? { $e:expr })*) => {$(
        #[inline(always)]
        unsafe fn $name($($a: $t),*) $(-> $r)? {
            // SAFETY: the caller has checked the pointers.
            #[allow(unused_unsafe, reason = "only some methods read memory")]
            unsafe { $e }
        }
    )*};
}

impl Lanes for Scalar {
    type V = Row;
    const WIDE: bool = false;
    const ROWS: usize = 2;

    #[inline(never)]
    unsafe fn call<K: Kernel>(kernel: K) -> K::Output {
        // SAFETY: the caller has checked the instructions.
        unsafe { kernel.run::<Self>() }
    }

    each! {
        splat(x: f32) -> Row { [x; LANES] }
        load(at: *const f32) -> Row { at.cast::<Row>().read_unaligned() }
        load_part(at: *const f32, count: usize) -> Row { lanes!(i => if i < count { at.add(i).read_unaligned() } else { 0.0 }) }
        store(at: *mut f32, v: Row) { at.cast::<Row>().write_unaligned(v) }
        store_part(at: *mut f32, count: usize, v: Row) {
            for (i, x) in v.iter().enumerate().take(count) {
                at.add(i).write_unaligned(*x);
            }
        }
        load_half(at: *const u16) -> Row { lanes!(i => widened(at.add(i).read_unaligned())) }
        store_half(at: *mut u16, v: Row) {
            for (i, x) in v.iter().enumerate() {
                at.add(i).write_unaligned(f16::from_f32(*x).to_bits());
            }
        }
        load_bytes(at: *const i8) -> Row { lanes!(i => f32::from(at.add(i).read())) }
        add(a: Row, b: Row) -> Row { lanes!(i => a[i] + b[i]) }
        sub(a: Row, b: Row) -> Row { lanes!(i => a[i] - b[i]) }
        mul(a: Row, b: Row) -> Row { lanes!(i => a[i] * b[i]) }
        div(a: Row, b: Row) -> Row { lanes!(i => a[i] / b[i]) }
        fma(a: Row, b: Row, c: Row) -> Row { lanes!(i => fused(a[i], b[i], c[i])) }
        min(a: Row, b: Row) -> Row { lanes!(i => if a[i] < b[i] { a[i] } else { b[i] }) }
        max(a: Row, b: Row) -> Row { lanes!(i => if a[i] > b[i] { a[i] } else { b[i] }) }
        round(a: Row) -> Row { lanes!(i => a[i].round_ties_even()) }
        scale2(a: Row, n: Row) -> Row {
            lanes!(i => {
                let n = n[i] as i32;
                a[i] * two_to(n >> 1) * two_to(n - (n >> 1))
            })
        }
        abs(a: Row) -> Row { lanes!(i => a[i].abs()) }
        with_sign(a: Row, sign: Row) -> Row { lanes!(i => a[i].copysign(sign[i])) }
        if_less(a: Row, b: Row, x: Row, y: Row) -> Row { lanes!(i => if a[i] < b[i] { x[i] } else { y[i] }) }
        within(from: usize, to: usize, x: Row, y: Row) -> Row { lanes!(i => if from <= i && i < to { x[i] } else { y[i] }) }
        swap_pairs(a: Row) -> Row { lanes!(i => a[i ^ 1]) }
        sum(a: Row) -> f32 { fold(a, |x, y| x + y) }
        largest(a: Row) -> f32 { fold(a, |x, y| if x > y { x } else { y }) }
        prefetch(_at: *const u8) { () }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_widened_exactly() {
        for bits in 0..=u16::MAX {
            let (found, expected) = (widened(bits), f16::from_bits(bits).to_f32());
            assert!(found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan()), "{bits:#x}");
        }
    }
}
