//! Memory that goes from one step to the next without going back to the system: fresh pages cost more than the
//! arithmetic that first touches them.

use half::bf16;
use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};
use std::thread::LocalKey;

/// Freed vectors of one type, smallest first.
type Shelf<T> = Vec<Vec<T>>;

/// A type of numbers that buffers hold.
pub trait Pooled: Copy + Default + Send + Sync + 'static {
    /// Where freed vectors wait for any thread.
    fn shared() -> &'static Mutex<Shelf<Self>>;

    /// Where some small ones wait for the thread that freed them.
    fn own() -> &'static LocalKey<RefCell<Shelf<Self>>>;
}

macro_rules! pooled {
    ($($number:ty),*) => {$(
        impl Pooled for $number {
            fn shared() -> &'static Mutex<Shelf<Self>> {
                static SHELF: Mutex<Shelf<$number>> = Mutex::new(Vec::new());
                &SHELF
            }

            fn own() -> &'static LocalKey<RefCell<Shelf<Self>>> {
                thread_local! {
                    static SHELF: RefCell<Shelf<$number>> = const { RefCell::new(Vec::new()) };
                }
                &SHELF
            }
        }
    )*};
}

pooled!(f32, bf16, u32);

/// Numbers with the content of an earlier use, from the beginning of a cache line on; goes back to its shelf when dropped.
pub struct Buffer<T: Pooled> {
    values: Vec<T>,
    start: usize,
    len: usize,
}

/// Bytes of a cache line.
const LINE: usize = 64;
/// Numbers up to which a vector is small.
const SMALL: usize = 1 << 15;
/// Small vectors that a thread keeps for itself.
const OWN: usize = 64;

/// Calls `f` with the shelf that all threads share.
fn with_shared<T: Pooled, R>(f: impl FnOnce(&mut Shelf<T>) -> R) -> R {
    f(&mut T::shared().lock().unwrap_or_else(PoisonError::into_inner))
}

/// A vector of `room` numbers or somewhat more.
fn take<T: Pooled>(room: usize) -> Option<Vec<T>> {
    let from = |shelf: &mut Shelf<T>| {
        let first = shelf.partition_point(|values| values.len() < room);
        (shelf.get(first)?.len() <= 2 * room).then(|| shelf.remove(first))
    };
    let own = if room < SMALL { T::own().with_borrow_mut(from) } else { None };
    own.or_else(|| with_shared(from))
}

/// Puts a vector where it belongs. What is too much for a thread is for all: what one allocates another may free.
fn put<T: Pooled>(values: Vec<T>) {
    let insert = |shelf: &mut Shelf<T>, values: Vec<T>| {
        let at = shelf.partition_point(|other| other.len() < values.len());
        shelf.insert(at, values);
    };
    let too_much = if values.len() < SMALL {
        T::own().with_borrow_mut(|shelf| {
            insert(shelf, values);
            if shelf.len() > OWN { shelf.pop() } else { None }
        })
    } else {
        Some(values)
    };
    if let Some(values) = too_much {
        with_shared(|shelf| insert(shelf, values));
    }
}

impl<T: Pooled> Buffer<T> {
    /// `len` numbers, whatever they are.
    pub fn stale(len: usize) -> Self {
        // Lengths of one step and the next differ by a few tokens: rounded up they share their memory.
        let room = len.next_multiple_of((len.next_power_of_two() / 8).max(64)) + LINE / size_of::<T>();
        let values = take(room).unwrap_or_else(|| vec![T::default(); room]);
        let start = values.as_ptr().align_offset(LINE);
        Self { values, start, len }
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
        put(std::mem::take(&mut self.values));
    }
}

impl<T: Pooled> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[self.start..][..self.len]
    }
}

impl<T: Pooled> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[self.start..][..self.len]
    }
}

/// Gives all memory that waits for its next use back to the system, but for what other threads keep for themselves.
pub fn release() {
    fn empty<T: Pooled>() {
        T::own().take();
        with_shared(Shelf::<T>::clear);
    }
    empty::<f32>();
    empty::<bf16>();
    empty::<u32>();
}
