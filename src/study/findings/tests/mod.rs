//! Studies with a known truth.

mod advised;
mod chance;
mod gradients;
mod labels;
mod missing;
mod simulated;
mod time;
mod transfer;
