//! The factor of the losses that keeps gradients within the range of f16 (Micikevicius et al. 2018), moved as by PyTorch's
//! `GradScaler`: halved where a gradient is not finite, in a step that is then left out, and doubled after so many good steps.

use serde::{Deserialize, Serialize};

/// Good steps after which the factor is doubled.
const INTERVAL: u32 = 2000;

/// The loss scale with what moves it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// The factor.
    pub scale: f64,
    /// Good steps since it was moved.
    pub good: u32,
    /// Steps that were left out.
    pub skipped: u64,
}

impl Default for LossScale {
    fn default() -> Self {
        Self { scale: 65536.0, good: 0, skipped: 0 }
    }
}

impl LossScale {
    /// Takes note of a step that was done.
    pub(super) fn done(&mut self) {
        self.good += 1;
        // The factor meets losses in f32.
        if self.good == INTERVAL && self.scale < 2f64.powi(120) {
            (self.scale, self.good) = (2.0 * self.scale, 0);
        }
    }

    /// Takes note of a gradient that was not finite; whether a smaller factor may help.
    pub(super) fn overflow(&mut self) -> bool {
        let helps = self.scale > 1.0;
        if helps {
            *self = Self { scale: self.scale / 2.0, good: 0, skipped: self.skipped + 1 };
        }
        helps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_moves_as_grad_scalers() {
        let mut scale = LossScale::default();
        assert!(scale.overflow());
        assert_eq!(scale, LossScale { scale: 32768.0, good: 0, skipped: 1 });
        (0..1999).for_each(|_| scale.done());
        assert_eq!((scale.scale, scale.good), (32768.0, 1999));
        scale.done();
        assert_eq!((scale.scale, scale.good), (65536.0, 0));
        (0..1999).for_each(|_| scale.done());
        assert!(scale.overflow());
        assert_eq!((scale.scale, scale.good, scale.skipped), (32768.0, 0, 2));
        let overflows = (0..100).take_while(|_| scale.overflow()).count();
        assert_eq!((overflows, scale.scale), (15, 1.0));
    }
}
