//! What the tiles of all instruction sets share: loops that the compiler must not spoil.

/// Rows that one base pointer and the offsets 0, 1, 2, 3 and 4 rows reach: the processor adds
/// once, twice and four times a register by itself, and three rows are one register more.
pub(super) const PER_BASE: usize = 5;

/// Enough base pointers for the tile with most rows.
pub(super) const BASES: usize = 6;

/// Hides how a number came about. Otherwise the compiler makes each row's address from the row
/// before, and that chain of additions takes longer than the arithmetic.
#[inline(always)]
pub(super) fn opaque(x: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        let mut x = x;
        // SAFETY: no instruction at all.
        unsafe { std::arch::asm!("/* {0} */", inout(reg) x, options(pure, nomem, nostack, preserves_flags)) };
        x
    }
    #[cfg(not(target_arch = "x86_64"))]
    x
}

/// As [`opaque`], for a pointer.
#[inline(always)]
pub(super) fn opaque_pointer(p: *const f32) -> *const f32 {
    #[cfg(target_arch = "x86_64")]
    {
        let mut p = p;
        // SAFETY: no instruction at all.
        unsafe {
            std::arch::asm!("/* {0} */", inout(reg) p, options(pure, readonly, nostack, preserves_flags))
        };
        p
    }
    #[cfg(not(target_arch = "x86_64"))]
    p
}

/// A body once for every number of a row, written out: the compiler keeps `acc` in registers only
/// where it knows every index, and it unrolls no long loop.
macro_rules! each_row {
    ($r:ident, $body:block) => {
        each_row!(@ $r, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27)
    };
    (@ $r:ident, $body:block, $($n:literal)*) => { $( { const $r: usize = $n; $body } )* };
}

/// The loops over taps and k: adds all products of A and B to `acc`.
macro_rules! add_products {
    ($t:ident, $a:ident, $b:ident, $acc:ident, $load:ident, $zero:expr, $splat:expr, $fma:expr) => {
        let row = super::rows::opaque($t.a_row * size_of::<f32>());
        let row3 = super::rows::opaque($t.a_row * 3 * size_of::<f32>());
        let [(n1, a1, b1), (n2, a2, b2)] = $t.taps;
        for i1 in 0..n1 {
            for i2 in 0..n2 {
                let first = $a.wrapping_add(i1 * a1 + i2 * a2);
                let mut bases: [*const f32; super::rows::BASES] =
                    std::array::from_fn(|i| first.wrapping_add(i * super::rows::PER_BASE * $t.a_row));
                let mut b = $b.add(i1 * b1 + i2 * b2);
                // The products of one tap for some rows.
                macro_rules! rows {
                    ($range:expr) => {
                        for _ in 0..$t.k {
                            let mut bv = [$zero(); NV];
                            for (v, x) in bv.iter_mut().enumerate() {
                                *x = $load(v, b);
                            }
                            each_row!(ROW, {
                                if $range.contains(&ROW) {
                                    let base = bases[ROW / super::rows::PER_BASE];
                                    let x = $splat(*match ROW % super::rows::PER_BASE {
                                        3 => base.wrapping_byte_add(row3),
                                        offset => base.wrapping_byte_add(offset * row),
                                    });
                                    for (sum, b) in $acc[ROW].iter_mut().zip(&bv) {
                                        *sum = $fma(x, *b, *sum);
                                    }
                                }
                            });
                            for base in &mut bases {
                                *base = super::rows::opaque_pointer(base.wrapping_add($t.a_k));
                            }
                            b = b.wrapping_add($t.b_k);
                        }
                    };
                }
                let [before, after] = $t.edges;
                match (before.saturating_sub(i2), after.saturating_sub(n2 - 1 - i2)) {
                    (0, 0) => rows!((0..MR)),
                    (1, 0) => rows!((1..MR)),
                    (2, 0) => rows!((2..MR)),
                    (0, 1) => rows!((0..MR - 1)),
                    (0, 2) => rows!((0..MR.saturating_sub(2))),
                    _ => rows!((1..MR - 1)),
                }
            }
        }
    };
}

/// `tile::<MR, NV>` for all MR up to a number, by NV.
macro_rules! sets {
    ($($nv:literal: $most:ident),*) => { [$( sets!(@$most $nv) ),*] };
    (@four $nv:literal) => { sets!(@list $nv 1 2 3 4) };
    (@six $nv:literal) => { sets!(@list $nv 1 2 3 4 5 6) };
    (@nine $nv:literal) => { sets!(@list $nv 1 2 3 4 5 6 7 8 9) };
    (@ten $nv:literal) => { sets!(@list $nv 1 2 3 4 5 6 7 8 9 10) };
    (@fourteen $nv:literal) => { sets!(@list $nv 1 2 3 4 5 6 7 8 9 10 11 12 13 14) };
    (@twenty_eight $nv:literal) => {
        sets!(@list $nv 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28)
    };
    (@list $nv:literal $($mr:literal)*) => { &[$( tile::<$mr, $nv> as super::TileFn ),*] };
}
