//! Dropout masks from a counter: the same mask whenever and wherever it is asked for again.

use super::number::Number;

/// Philox 4×32 with 10 rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
#[inline(always)]
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    rounds::<10>(counter, key)
}

/// Philox 4×32 with another number of rounds.
#[inline(always)]
fn rounds<const N: usize>(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let ([mut c0, mut c1, mut c2, mut c3], [mut k0, mut k1]) = (counter, key);
    for _ in 0..N {
        let p0 = u64::from(c0) * 0xD251_1F53;
        let p1 = u64::from(c2) * 0xCD9E_8D57;
        (c0, c1, c2, c3) = ((p1 >> 32) as u32 ^ c1 ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c3 ^ k1, p0 as u32);
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
    [c0, c1, c2, c3]
}

/// Where the noise of one forward pass comes from: a seed and the number of the pass.
///
/// Each place that draws noise takes the next stream; a pass that is run again from the same `Noise` draws the same.
#[derive(Debug)]
pub struct Noise {
    seed: u64,
    pass: u64,
    streams: std::cell::Cell<u32>,
}

impl Noise {
    /// The noise of forward pass number `pass` of a run with this seed.
    pub fn new(seed: u64, pass: u64) -> Self {
        Self { seed, pass, streams: std::cell::Cell::new(0) }
    }

    /// A dropout of probability `p` with a stream of its own.
    pub fn dropout(&self, p: f32) -> Dropout {
        let stream = self.streams.get();
        self.streams.set(stream + 1);
        // The pass goes into the key, the stream into the counter: no two draws of a run share both.
        let mixed = self.seed ^ self.pass.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Dropout { p, key: [mixed as u32, (mixed >> 32) as u32 ^ self.pass as u32], stream }
    }
}

/// A dropout mask over numbered elements.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    p: f32,
    pub(super) key: [u32; 2],
    pub(super) stream: u32,
}

impl Dropout {
    /// Probability of zero.
    pub fn p(&self) -> f32 {
        self.p
    }

    /// What draws the mask elsewhere: 16 bits below the first number are zeros; the key and the stream of the counter.
    #[cfg(feature = "cuda")]
    pub(super) fn draw(&self) -> (u32, [u32; 2], u32) {
        (self.threshold(), self.key, self.stream)
    }

    /// `to = mask · from`, rounded; the first number is element `first`. A mask's factors are 0 and 1/(1-p).
    #[inline(always)]
    pub fn mask<S: Number>(&self, first: u64, from: &[f32], to: &mut [S]) {
        #[cfg(target_arch = "x86_64")]
        if super::matmul::own_kernels() {
            assert_eq!(from.len(), to.len());
            // SAFETY: own kernels need the same instructions; lengths are equal.
            return unsafe { super::random512::mask(*self, first, from.as_ptr(), to.as_mut_ptr(), from.len()) };
        }
        let mut masked = [0.0; DRAWS];
        let mut done = 0;
        while done < from.len() {
            let element = first + done as u64;
            let skip = (element % DRAWS as u64) as usize;
            let len = (from.len() - done).min(DRAWS - skip);
            masked[..len].copy_from_slice(&from[done..done + len]);
            self.scale(element, &mut masked[..len]);
            S::round(&masked[..len], &mut to[done..done + len]);
            done += len;
        }
    }

    /// Multiplies by the mask in place.
    #[inline(always)]
    pub fn apply(&self, first: u64, values: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if super::matmul::own_kernels() {
            let numbers = values.as_mut_ptr();
            // SAFETY: own kernels need the same instructions; a number is read before it is written.
            return unsafe { super::random512::mask(*self, first, numbers, numbers, values.len()) };
        }
        self.scale(first, values);
    }

    /// [`Dropout::apply`] on any processor.
    #[inline(always)]
    fn scale(&self, first: u64, values: &mut [f32]) {
        let mut element = first;
        let mut rest = values;
        while !rest.is_empty() {
            let draws = self.draws(element / DRAWS as u64);
            let skip = (element % DRAWS as u64) as usize;
            let (now, later) = rest.split_at_mut(rest.len().min(DRAWS - skip));
            for (value, &draw) in now.iter_mut().zip(&draws[skip..]) {
                *value *= if u32::from(draw) < self.threshold() { 0.0 } else { self.factor() };
            }
            element += now.len() as u64;
            rest = later;
        }
    }

    /// Draws below it are zeros of the mask.
    pub(super) fn threshold(&self) -> u32 {
        (f64::from(self.p) * 65_536.0).round() as u32
    }

    /// What the mask has where it is not zero.
    pub(super) fn factor(&self) -> f32 {
        1.0 / (1.0 - self.p)
    }

    /// The draws of elements `group * DRAWS` and after: 16 bits each, of `LANES` counters side by side.
    #[inline(always)]
    pub(super) fn draws(&self, group: u64) -> [u16; DRAWS] {
        let first = group * LANES as u64;
        let mut c0 = [0u32; LANES];
        for (lane, c0) in c0.iter_mut().enumerate() {
            // The group of lanes does not cross a multiple of 2³².
            *c0 = first as u32 | lane as u32;
        }
        let (mut c1, mut c2, mut c3) = ([(first >> 32) as u32; LANES], [self.stream; LANES], [0u32; LANES]);
        let [mut k0, mut k1] = self.key;
        for _ in 0..ROUNDS {
            for lane in 0..LANES {
                let p0 = u64::from(c0[lane]) * 0xD251_1F53;
                let p1 = u64::from(c2[lane]) * 0xCD9E_8D57;
                c0[lane] = (p1 >> 32) as u32 ^ c1[lane] ^ k0;
                c2[lane] = (p0 >> 32) as u32 ^ c3[lane] ^ k1;
                c1[lane] = p1 as u32;
                c3[lane] = p0 as u32;
            }
            k0 = k0.wrapping_add(0x9E37_79B9);
            k1 = k1.wrapping_add(0xBB67_AE85);
        }
        let mut draws = [0u16; DRAWS];
        for (word, bits) in [c0, c1, c2, c3].iter().enumerate() {
            for lane in 0..LANES {
                draws[word * LANES + lane] = bits[lane] as u16;
                draws[(word + 4) * LANES + lane] = (bits[lane] >> 16) as u16;
            }
        }
        draws
    }
}

/// Rounds for a mask: the fewest that pass BigCrush (Salmon et al. 2011, table 2), as FlashAttention has them too.
pub(super) const ROUNDS: usize = 7;
/// Counters drawn side by side, and the draws that they give.
pub(super) const LANES: usize = 16;
pub(super) const DRAWS: usize = 8 * LANES;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_known_answers() {
        // From the authors' Random123 distribution, file kat_vectors.
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn draws_are_the_halves_of_philox() {
        let dropout = Noise::new(11, 5).dropout(0.1);
        let group = (1u64 << 32) / LANES as u64 + 3;
        let draws = dropout.draws(group);
        for lane in 0..LANES {
            let block = group * LANES as u64 + lane as u64;
            let bits = rounds::<ROUNDS>([block as u32, (block >> 32) as u32, dropout.stream, 0], dropout.key);
            for (word, bits) in bits.into_iter().enumerate() {
                assert_eq!(draws[word * LANES + lane], bits as u16);
                assert_eq!(draws[(word + 4) * LANES + lane], (bits >> 16) as u16);
            }
        }
    }

    #[test]
    fn masks_keep_the_mean_and_do_not_depend_on_the_cut() {
        let noise = Noise::new(7, 3);
        let (one, two) = (noise.dropout(0.1), noise.dropout(0.1));
        let mut whole = vec![1.0; 100_003];
        one.apply(0, &mut whole);
        let mean = whole.iter().sum::<f32>() / whole.len() as f32;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");

        let mut parts = vec![1.0; 100_003];
        let (a, b) = parts.split_at_mut(50_001);
        one.apply(0, a);
        one.apply(50_001, b);
        assert_eq!(whole, parts);

        let mut other = vec![1.0; 100_003];
        two.apply(0, &mut other);
        assert_ne!(whole, other, "streams differ");
    }
}
