//! Memory that goes from one step to the next without going back to the system: fresh pages cost more than the
//! arithmetic that first touches them.

use half::bf16;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard};

/// Freed vectors of one type, smallest first.
pub struct Shelf<T>(Mutex<Vec<Vec<T>>>);

/// A type of numbers that buffers hold.
pub trait Pooled: Copy + Default + Send + Sync + 'static {
    /// Where its freed vectors wait.
    fn shelf() -> &'static Shelf<Self>;
}

impl<T> Shelf<T> {
    fn lock(&self) -> MutexGuard<'_, Vec<Vec<T>>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

macro_rules! pooled {
    ($($number:ty),*) => {$(
        impl Pooled for $number {
            fn shelf() -> &'static Shelf<Self> {
                static SHELF: Shelf<$number> = Shelf(Mutex::new(Vec::new()));
                &SHELF
            }
        }
    )*};
}

pooled!(f32, bf16, u32);

/// Numbers with the content of an earlier use; goes back to its shelf when dropped.
pub struct Buffer<T: Pooled> {
    values: Vec<T>,
    len: usize,
}

impl<T: Pooled> Buffer<T> {
    /// `len` numbers, whatever they are.
    pub fn stale(len: usize) -> Self {
        // Lengths of one step and the next differ by a few tokens: rounded up they share their memory.
        let room = len.next_multiple_of((len.next_power_of_two() / 8).max(64));
        let mut shelf = T::shelf().lock();
        let first = shelf.partition_point(|values| values.len() < room);
        let values = match shelf.get(first) {
            Some(values) if values.len() <= 2 * room => shelf.remove(first),
            _ => {
                drop(shelf);
                vec![T::default(); room]
            }
        };
        Self { values, len }
    }

    /// A copy of `numbers`.
    pub fn copy(numbers: &[T]) -> Self {
        let mut buffer = Self::stale(numbers.len());
        buffer.copy_from_slice(numbers);
        buffer
    }
}

impl<T: Pooled> Drop for Buffer<T> {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        let mut shelf = T::shelf().lock();
        let at = shelf.partition_point(|other| other.len() < values.len());
        shelf.insert(at, values);
    }
}

impl<T: Pooled> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[..self.len]
    }
}

impl<T: Pooled> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[..self.len]
    }
}

/// Gives all memory that waits for its next use back to the system.
pub fn release() {
    fn empty<T: Pooled>() {
        T::shelf().lock().clear();
    }
    empty::<f32>();
    empty::<bf16>();
    empty::<u32>();
}
