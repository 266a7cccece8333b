//! Inner products of many rows in bf16 on the tile registers of AMX.
//!
//! Sixteen rows are the left operand as they lie, and transposed by words the right one. To transpose takes less than half as long as
//! to multiply every row by every other one, vector by vector.

use super::amx::{TILE, Tiles};
use super::layout512::transposed;
use std::arch::asm;
use std::arch::x86_64::*;

/// Rows from which tiles are the faster way.
pub const MANY: usize = 13;
/// Numbers of a row in a tile.
pub const DEPTH: usize = 2 * TILE;
/// Tiles that are transposed at a time: as many as stay in the nearest cache.
const STEPS: usize = 16;
/// Numbers of four tiles of sums.
const SUMS: usize = 4 * TILE * TILE;

/// Adds the inner products of all pairs of `count` rows of `len` numbers, which lie one after another, to `out`: `[i][j]` for
/// `j <= i`, the rest unspecified.
///
/// # Safety
/// The instructions must be there ([`super::amx::available`]). `len` must be a multiple of [`DEPTH`], and rows be readable to a
/// multiple of [`TILE`], whatever those beyond the last hold.
#[target_feature(enable = "avx512f,avx512bw")]
pub unsafe fn add_inner_products(rows: *const u16, len: usize, count: usize, out: &mut [f32]) {
    #[repr(align(64))]
    struct Lines<T, const N: usize>([T; N]);
    let mut right = Lines([0u32; STEPS * TILE * TILE]);
    let mut sums = Lines([0f32; SUMS]);
    // SAFETY: the instructions are there; blocks, steps and rows lie inside what is readable.
    unsafe {
        let _tiles = Tiles::hold();
        for j in (0..count).step_by(TILE) {
            for first in (0..len).step_by(STEPS * DEPTH) {
                let steps = (len - first).min(STEPS * DEPTH) / DEPTH;
                for step in 0..steps {
                    let mut words = [_mm512_setzero_si512(); TILE];
                    for (row, words) in words.iter_mut().enumerate() {
                        *words = _mm512_loadu_si512(rows.add((j + row) * len + first + step * DEPTH).cast());
                    }
                    for (word, column) in transposed(words).into_iter().enumerate() {
                        _mm512_store_si512(right.0.as_mut_ptr().add((step * TILE + word) * TILE).cast(), column);
                    }
                }
                for i in (j..count).step_by(TILE) {
                    tile_sums(rows.add(i * len + first), 2 * len, right.0.as_ptr(), steps, sums.0.as_mut_ptr());
                    let mask = ((1u32 << (count - j).min(TILE)) - 1) as u16;
                    for row in 0..(count - i).min(TILE) {
                        let sum = |tile: usize| _mm512_load_ps(sums.0.as_ptr().add((tile * TILE + row) * TILE));
                        let sum = _mm512_add_ps(_mm512_add_ps(sum(0), sum(1)), _mm512_add_ps(sum(2), sum(3)));
                        let at = out[(i + row) * count + j..][..(count - j).min(TILE)].as_mut_ptr();
                        _mm512_mask_storeu_ps(at, mask, _mm512_add_ps(_mm512_maskz_loadu_ps(mask, at), sum));
                    }
                }
            }
        }
    }
}

/// Four tiles, of which the sum is that over `steps` products of tiles: one sum would have each product wait for the last.
///
/// # Safety
/// Tiles must be configured. Sixteen rows at `left`, `row` bytes apart, and as many tiles at `right` must be readable, and `sums` have
/// room for [`SUMS`] numbers.
unsafe fn tile_sums(left: *const u16, row: usize, right: *const u32, steps: usize, sums: *mut f32) {
    // SAFETY: as the caller promises.
    unsafe {
        asm!(
            "tilezero tmm4",
            "tilezero tmm5",
            "tilezero tmm6",
            "tilezero tmm7",
            "test {fours}, {fours}",
            "jz 3f",
            "2:",
            "tileloadd tmm0, [{a} + {row}]",
            "tileloadd tmm1, [{b} + {line}]",
            "tdpbf16ps tmm4, tmm0, tmm1",
            "tileloadd tmm2, [{a} + {row} + 64]",
            "tileloadd tmm3, [{b} + {line} + 1024]",
            "tdpbf16ps tmm5, tmm2, tmm3",
            "tileloadd tmm0, [{a} + {row} + 128]",
            "tileloadd tmm1, [{b} + {line} + 2048]",
            "tdpbf16ps tmm6, tmm0, tmm1",
            "tileloadd tmm2, [{a} + {row} + 192]",
            "tileloadd tmm3, [{b} + {line} + 3072]",
            "tdpbf16ps tmm7, tmm2, tmm3",
            "add {a}, 256",
            "add {b}, 4096",
            "dec {fours}",
            "jnz 2b",
            "3:",
            "test {ones}, {ones}",
            "jz 5f",
            "4:",
            "tileloadd tmm0, [{a} + {row}]",
            "tileloadd tmm1, [{b} + {line}]",
            "tdpbf16ps tmm4, tmm0, tmm1",
            "add {a}, 64",
            "add {b}, 1024",
            "dec {ones}",
            "jnz 4b",
            "5:",
            "tilestored [{sums} + {line}], tmm4",
            "tilestored [{sums} + {line} + 1024], tmm5",
            "tilestored [{sums} + {line} + 2048], tmm6",
            "tilestored [{sums} + {line} + 3072], tmm7",
            a = inout(reg) left => _,
            b = inout(reg) right => _,
            row = in(reg) row,
            line = in(reg) 64usize,
            fours = inout(reg) steps / 4 => _,
            ones = inout(reg) steps % 4 => _,
            sums = in(reg) sums,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::amx;
    use super::*;
    use half::bf16;

    #[test]
    fn products_are_those_in_f64() {
        if !amx::available() {
            eprintln!("skipped: this processor lacks AMX-BF16");
            return;
        }
        for (count, len) in [(1usize, 32), (3, 0), (13, 64), (16, 32 * 37), (17, 320), (40, 32 * 21)] {
            let number = |i: usize, k: usize| ((i * 7919 + k * 104_729 + i * k) % 2003) as f32 / 1000.0 - 1.0;
            let whole = count.next_multiple_of(TILE);
            let value = |at: usize| if at < count * len { number(at / len, at % len) } else { f32::NAN };
            let rows: Vec<bf16> = (0..whole * len).map(|at| bf16::from_f32(value(at))).collect();
            let mut found = vec![0.5; count * count];
            // SAFETY: the instructions are there, and rows whole blocks.
            unsafe { add_inner_products(rows.as_ptr().cast(), len, count, &mut found) };
            for (i, j) in (0..count).flat_map(|i| (0..=i).map(move |j| (i, j))) {
                let of = |row: usize| rows[row * len..][..len].iter();
                let expected: f64 = of(i).zip(of(j)).map(|(a, b)| a.to_f64() * b.to_f64()).sum();
                let found = f64::from(found[i * count + j]) - 0.5;
                assert!((found - expected).abs() <= 1e-6 * (len as f64 + 1.0), "{count} × {len}, ({i}, {j}): {found}");
            }
        }
    }
}
