//! Plain loops, compiled for the vectors that the processor has.

use pulp::{Arch, NullaryFnOnce};

/// Runs `f` compiled for the widest vectors that this processor has; everything in it must be inlined.
///
/// `f` may not be a mere [`FnOnce`]: a closure that could be called again is called by way of a function of the compiler's then,
/// which nothing forces to be inlined. A long loop would silently stay without vectors.
#[inline(always)]
pub(crate) fn simd<R>(f: impl FnMut() -> R) -> R {
    struct Direct<F>(F);

    impl<R, F: FnMut() -> R> NullaryFnOnce for Direct<F> {
        type Output = R;

        #[inline(always)]
        fn call(mut self) -> R {
            (self.0)()
        }
    }

    Arch::new().dispatch(Direct(f))
}
