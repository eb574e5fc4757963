//! What the rows of the tables are written with.

/// Semantics of a lane-wise float instruction: `lanes!(|e, a: f32, b: f32| -> f32 { e.add(a, b) })`.
///
/// `e` is the arithmetic: the body is compiled for plain arithmetic on any processor, on one with AVX2 and FMA, and
/// for any rounding mode. Sources are the types of [`Operand`](super::operand::Operand), results those of
/// [`Output`](super::operand::Output).
macro_rules! lanes {
    (|$e:ident $(, $a:ident: $t:ty)*| -> $r:ty $body:block) => {
        $crate::isa::macros::lanes!(@with |$e, _i $(, $a: $t)*| -> $r $body)
    };
    (@with |$e:ident, $i:ident $(, $a:ident: $t:ty)*| -> $r:ty $body:block) => {{
        #[inline(always)]
        fn lane<A: $crate::arith::Arith>($e: A, $i: &$crate::isa::Inst $(, $a: $t)*) -> $r {
            let _ = $e;
            $body
        }
        #[inline(always)]
        fn all<A: $crate::arith::Arith>(e: A, wave: &mut $crate::wave::Wave, inst: &$crate::isa::Inst) {
            for half in 0..wave.halves {
                let mut n = 0;
                $(
                    let $a = <$t as $crate::isa::operand::Operand>::read(wave, inst, n, half);
                    n += 1;
                )*
                let _ = n;
                let mut values = [<$r as $crate::isa::operand::Output>::ZERO; $crate::wave::LANES];
                for (l, value) in values.iter_mut().enumerate() {
                    *value = lane(e, inst $(, $a[l])*);
                }
                <$r as $crate::isa::operand::Output>::write(e, wave, inst, half, &values);
            }
        }
        fn base(wave: &mut $crate::wave::Wave, inst: &$crate::isa::Inst) {
            all($crate::arith::Fast, wave, inst);
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt")]
        fn fast(wave: &mut $crate::wave::Wave, inst: &$crate::isa::Inst) {
            all($crate::arith::Fast, wave, inst);
        }
        #[cfg(not(target_arch = "x86_64"))]
        fn fast(wave: &mut $crate::wave::Wave, inst: &$crate::isa::Inst) {
            all($crate::arith::Fast, wave, inst);
        }
        fn exact(wave: &mut $crate::wave::Wave, inst: &$crate::isa::Inst) {
            let arith = $crate::arith::Exact { mode: wave.mode };
            all(arith, wave, inst);
        }
        $crate::isa::row::Semantics {
            exec: $crate::isa::row::Exec::Lanes { base, fast, exact },
            dst: <$r as $crate::isa::operand::Output>::KIND,
            carries: <$r as $crate::isa::operand::Output>::CARRIES,
            src: &[$(<$t as $crate::isa::operand::Operand>::KIND),*],
        }
    }};
}
pub(crate) use lanes;

/// Semantics of a lane-wise integer instruction, which no rounding mode changes:
/// `ints!(|i, a: u32, b: u32| -> u32 { a & b })`; `i` is the instruction, for those with flags such as `clamp`.
macro_rules! ints {
    (|$i:ident $(, $a:ident: $t:ty)*| -> $r:ty $body:block) => {{
        #[inline(always)]
        fn lane($i: &$crate::isa::Inst $(, $a: $t)*) -> $r {
            let _ = $i;
            $body
        }
        #[inline(always)]
        fn all(wave: &mut $crate::wave::Wave, inst: &$crate::isa::Inst) {
            for half in 0..wave.halves {
                let mut n = 0;
                $(
                    let $a = <$t as $crate::isa::operand::Operand>::read(wave, inst, n, half);
                    n += 1;
                )*
                let _ = n;
                let mut values = [<$r as $crate::isa::operand::Output>::ZERO; $crate::wave::LANES];
                for (l, value) in values.iter_mut().enumerate() {
                    *value = lane(inst $(, $a[l])*);
                }
                <$r as $crate::isa::operand::Output>::write($crate::arith::Fast, wave, inst, half, &values);
            }
        }
        fn base(wave: &mut $crate::wave::Wave, inst: &$crate::isa::Inst) {
            all(wave, inst);
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt")]
        fn fast(wave: &mut $crate::wave::Wave, inst: &$crate::isa::Inst) {
            all(wave, inst);
        }
        #[cfg(not(target_arch = "x86_64"))]
        fn fast(wave: &mut $crate::wave::Wave, inst: &$crate::isa::Inst) {
            all(wave, inst);
        }
        $crate::isa::row::Semantics {
            exec: $crate::isa::row::Exec::Lanes { base, fast, exact: base },
            dst: <$r as $crate::isa::operand::Output>::KIND,
            carries: <$r as $crate::isa::operand::Output>::CARRIES,
            src: &[$(<$t as $crate::isa::operand::Operand>::KIND),*],
        }
    }};
}
pub(crate) use ints;

/// Semantics of a scalar instruction: `scalar!(|w, a: u32, b: u32| -> u32 { a & b })`; `w` is the wave, whose condition
/// code the body sets.
macro_rules! scalar {
    (|$w:ident $(, $a:ident: $t:ty)*| -> $r:ty $body:block) => {{
        fn run($w: &mut $crate::wave::Wave, inst: &$crate::isa::Inst) {
            let mut n = 0;
            $(
                let $a = <$t as $crate::isa::operand::ScalarOperand>::read($w, inst, n);
                n += 1;
            )*
            let _ = n;
            let value: $r = $body;
            $crate::isa::operand::ScalarOutput::store(value, $w, inst);
        }
        $crate::isa::row::Semantics {
            exec: $crate::isa::row::Exec::Wave(run),
            dst: <$r as $crate::isa::operand::ScalarOutput>::KIND,
            carries: false,
            src: &[$(<$t as $crate::isa::operand::ScalarOperand>::KIND),*],
        }
    }};
}
pub(crate) use scalar;

/// Semantics of what is written by hand over the wave's registers: `wave!(B32, [B32, S(1)], function)`.
macro_rules! wave {
    ($dst:expr, [$($src:expr),*], $run:expr) => {
        $crate::isa::row::Semantics {
            exec: $crate::isa::row::Exec::Wave($run),
            dst: $dst,
            carries: false,
            src: &[$($src),*],
        }
    };
}
pub(crate) use wave;

/// Semantics of what looks across lanes: `across!(B32, [B32], function, definedness)`.
macro_rules! across {
    ($dst:expr, [$($src:expr),*], $run:expr, $define:expr) => {
        $crate::isa::row::Semantics {
            exec: $crate::isa::row::Exec::Across { run: $run, define: $define },
            dst: $dst,
            carries: false,
            src: &[$($src),*],
        }
    };
}
pub(crate) use across;

/// Semantics of what touches memory or the flow of the program: `core!(V(4), [B64, None], function)`.
macro_rules! core {
    ($dst:expr, [$($src:expr),*], $run:expr) => {
        $crate::isa::row::Semantics {
            exec: $crate::isa::row::Exec::Core($run),
            dst: $dst,
            carries: false,
            src: &[$($src),*],
        }
    };
}
pub(crate) use core;
