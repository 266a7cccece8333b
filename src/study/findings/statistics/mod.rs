//! The statistics of a study: intervals and tests, corrections, resampling.

mod bootstrap;
mod holm;
mod isotonic;
mod student;
mod transfer_rank;

pub(super) use bootstrap::{Examples, RESAMPLES, resample};
pub(super) use holm::holm;
pub(super) use isotonic::{isotonic, rows_for};
pub(super) use student::{Inference, Part, infer, mean, mean_interval, median, variance};
pub(super) use transfer_rank::rank_correlation;
