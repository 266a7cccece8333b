//! One file a figure: each draws itself wide and narrow from a part of the report.

mod change;
mod cosines;
mod curves;
mod heat;
mod layers;
mod methods;
mod scores;
mod speed;
mod transfer;

pub(super) use cosines::cosines;
pub(super) use curves::{curves, needed};
pub(super) use layers::layers;
pub(super) use methods::methods;
pub(super) use scores::scores;
pub(super) use speed::speed;
pub(super) use transfer::{Kind, transfer};

use super::canvas::Shape;
use crate::study::report::Verdict;

/// The shape of a verdict.
fn verdict_shape(verdict: Verdict) -> Shape {
    match verdict {
        Verdict::Helped => Shape::Up,
        Verdict::Hurt => Shape::Down,
        Verdict::NoEvidence => Shape::Square,
    }
}
