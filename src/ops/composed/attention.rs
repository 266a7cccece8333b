//! Attention, a sequence at a time.

use super::super::attention::{Attention, Sequence};
use super::super::relative::first_row;
use super::layers::dropout;
use super::tap::tap;
use super::{host, value};
use candle_core::{D, Result, Tensor};

/// As [`attention`](super::super::attention); keeps its probabilities.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, options: &Attention) -> Result<Tensor> {
    let sequences = options.sequences();
    if sequences.is_empty() {
        return Ok(v.clone());
    }
    let contexts = sequences.iter().map(|sequence| one(q, k, v, options, sequence));
    Tensor::cat(&contexts.collect::<Result<Vec<_>>>()?, 0)
}

fn one(q: &Tensor, k: &Tensor, v: &Tensor, options: &Attention, sequence: &Sequence) -> Result<Tensor> {
    let (len, width) = (sequence.len, q.dim(1)?);
    let (heads, d) = (options.heads, width / options.heads);
    // [heads, len, d]
    let split = |x: &Tensor| x.narrow(0, sequence.first, len)?.reshape((len, heads, d))?.transpose(0, 1)?.contiguous();
    let (q, k, v) = (split(q)?, split(k)?, split(v)?);
    let mut scores = q.matmul(&k.t()?.contiguous()?)?;
    if let Some(relative) = &options.relative {
        scores = (scores + by_distance(&q, options, sequence, false)?)?;
        if relative.keys {
            scores = (scores + by_distance(&k, options, sequence, true)?)?;
        }
    }
    let scores = (scores * (1.0 / (d as f64).sqrt()))?;
    let powers = scores.broadcast_sub(&scores.detach().max_keepdim(D::Minus1)?)?.exp()?;
    let mut probabilities = powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)?;
    if let Some(masks) = options.dropout.filter(|dropout| dropout.p() > 0.0) {
        probabilities = dropout(&probabilities, masks, sequence.probability)?;
    }
    probabilities.matmul(&v)?.transpose(0, 1)?.reshape((len, width))
}

/// Scores `[heads, i, j]` of the distances `i - j`, from queries at `i` or, with `keys`, keys at `j`: `x` `[heads, len,
/// d]`.
fn by_distance(x: &Tensor, options: &Attention, sequence: &Sequence, keys: bool) -> Result<Tensor> {
    let relative = options.relative.as_ref().expect("asked for only with a table");
    let (table, len) = (relative.table.clone(), sequence.len);
    let (entries, d) = table.value.dims2()?;
    let first = first_row(entries, len);
    // Row of the table's window for (i, j), or with keys for (j, i): the token of `x` comes first.
    let row = |(a, b): (usize, usize)| (if keys { b + len - 1 - a } else { a + len - 1 - b }) as u32;
    let rows: Vec<u32> = (0..len).flat_map(|a| (0..len).map(move |b| (a, b))).map(row).collect();
    let rows = Tensor::from_vec(rows, len * len, x.device())?;
    let window = value(&table, x)?.narrow(0, first, 2 * len - 1)?;
    // [a, b, d]
    let distances = window.index_select(&rows, 0)?.reshape((len, len, d))?;
    // [a, heads, b]
    let x = x.transpose(0, 1)?.contiguous()?;
    let mut scores = x.matmul(&distances.transpose(1, 2)?.contiguous()?)?;
    if let (Some(recorder), Some(slot)) = (options.recorder.clone(), table.slot) {
        let (x, token) = (x.detach(), sequence.first);
        scores = tap(&scores, move |gradient| {
            let Some((gradient_row, _)) = recorder.spans().into_iter().find(|(_, span)| span.contains(&token)) else {
                return Ok(());
            };
            let products = gradient.transpose(1, 2)?.contiguous()?.matmul(&x)?.reshape((len * len, d))?;
            let window = Tensor::zeros((2 * len - 1, d), x.dtype(), x.device())?.index_add(&rows, &products, 0)?;
            let mut whole = vec![0.0; slot.len];
            whole[first * d..][..(2 * len - 1) * d].copy_from_slice(&host(&window)?);
            recorder.add_tensor(Some(slot), gradient_row, &Tensor::from_vec(whole, slot.len, x.device())?)
        })?;
    }
    if keys { scores.permute((1, 2, 0)) } else { scores.transpose(0, 1) }
}
