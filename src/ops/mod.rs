//! Differentiable operations over packed batches, forward and backward, with parameters in the arena.
//!
//! Each op is a candle custom op on its activations. Parameters are not arguments: the op holds them, and its backward
//! pass writes their gradients through a [`Recorder`](crate::gradient::Recorder). All tensors are f32. On devices without
//! kernels an op is a composition of candle's own ops (`composed/`), with the same results and the same gradients.

mod activation;
mod anchor;
mod attention;
mod attention_head;
mod blocks;
mod buffers;
mod composed;
#[cfg(feature = "cuda")]
mod cuda;
mod dropout;
mod embedding;
mod encoder;
pub(crate) mod kernel;
mod layer_norm;
mod linear;
mod losses;
mod math;
mod matmul;
mod number;
mod pooling;
mod random;
#[cfg(target_arch = "x86_64")]
mod random512;
mod relative;
mod rms_norm;
mod rotary;
mod swiglu;

pub use activation::{Activation, activation};
pub use anchor::{anchor, seed};
pub use attention::{Attention, RelativePositions, attention};
pub use buffers::release as release_buffers;
pub use dropout::dropout;
pub use embedding::{EmbeddingTables, embedding};
pub use encoder::{Dense, EncoderLayer, FixedOperands, LayerOptions, Norm, encoder};
pub use layer_norm::layer_norm;
pub use linear::linear;
pub use losses::{CrossEntropy, IGNORE, bce_with_logits, cross_entropy, mse};
pub use matmul::{gemm_rate, kernel_rate};
pub use number::Precision;
pub use pooling::{PoolKind, pool};
pub use random::{Dropout, Noise, philox};
pub use rms_norm::rms_norm;
pub use rotary::rotary;
pub use swiglu::swiglu;
