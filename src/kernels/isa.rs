//! Which vector instructions to use: chosen once, at the first call.

use std::sync::OnceLock;

/// Instruction sets with kernels of their own, from the plainest to the widest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Plain Rust, vectorised by the compiler for the build's target.
    Portable,
    Neon,
    Avx2,
    Avx512,
}

impl Isa {
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Neon => "neon",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }

    /// Whether this machine can run it.
    pub fn available(self) -> bool {
        match self {
            Isa::Portable => true,
            Isa::Neon => cfg!(target_arch = "aarch64"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                Isa::Avx2.available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    pub const ALL: [Isa; 4] = [Isa::Portable, Isa::Neon, Isa::Avx2, Isa::Avx512];
}

/// The instruction set in use: the widest there is, or what `NNTRAIN_ISA` names if it is available.
pub fn isa() -> Isa {
    static CHOICE: OnceLock<Isa> = OnceLock::new();
    *CHOICE.get_or_init(|| {
        let wanted = std::env::var("NNTRAIN_ISA").unwrap_or_default();
        let available = || Isa::ALL.into_iter().rev().filter(|i| i.available());
        available().find(|i| i.name() == wanted).or_else(|| available().next()).unwrap_or(Isa::Portable)
    })
}

/// Compiles a function over slices once per instruction set and calls the one in use.
///
/// The body is plain Rust; inside a function with `#[target_feature]` the compiler vectorises it
/// with those instructions. It must not sum across elements, and multiplies and adds at once only by
/// `FUSED` (`kernels/math.rs`), which the body finds there: then all sets that can give the same bits.
#[macro_export]
macro_rules! simd {
    ($(#[$meta:meta])* $vis:vis fn $name:ident $(<$($generic:ident: $bound:path),+>)? ($($arg:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        #[allow(unsafe_code)]
        $vis fn $name $(<$($generic: $bound),+>)? ($($arg: $type),*) {
            #[allow(clippy::too_many_arguments)]
            #[inline(always)]
            fn body<const FUSED: bool $($(, $generic: $bound)+)?> ($($arg: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[allow(clippy::too_many_arguments)]
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn avx512 $(<$($generic: $bound),+>)? ($($arg: $type),*) { body::<true $($(, $generic)+)?>($($arg),*) }
                #[allow(clippy::too_many_arguments)]
                #[target_feature(enable = "avx2,fma")]
                fn avx2 $(<$($generic: $bound),+>)? ($($arg: $type),*) { body::<true $($(, $generic)+)?>($($arg),*) }
                match $crate::kernels::isa::isa() {
                    // SAFETY: `isa` returns only what the machine has.
                    $crate::kernels::isa::Isa::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::kernels::isa::Isa::Avx2 => return unsafe { avx2($($arg),*) },
                    _ => {}
                }
            }
            body::<{ cfg!(target_arch = "aarch64") } $($(, $generic)+)?>($($arg),*)
        }
    };
}
