//! Numbers in bf16 that begin with a cache line: whole lines are written past the caches, others are not.

use half::bf16;
use std::ops::{Deref, DerefMut};

/// Bytes of a cache line.
const LINE: usize = 64;

/// A vector of numbers in bf16.
#[derive(Debug)]
pub struct Aligned {
    values: Vec<bf16>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// `len` zeros, from the beginning of a line on.
    pub fn zeros(len: usize) -> Self {
        let values = vec![bf16::ZERO; len + LINE / size_of::<bf16>()];
        let start = values.as_ptr().align_offset(LINE);
        Self { values, start, len }
    }
}

impl Clone for Aligned {
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

/// Where the vector begins.
impl From<Vec<bf16>> for Aligned {
    fn from(values: Vec<bf16>) -> Self {
        Self { start: 0, len: values.len(), values }
    }
}

impl Deref for Aligned {
    type Target = [bf16];

    fn deref(&self) -> &[bf16] {
        &self.values[self.start..][..self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [bf16] {
        &mut self.values[self.start..][..self.len]
    }
}
