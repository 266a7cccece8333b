//! Parts of the shared parameters, whose gradients are compared and weighed by themselves.

use super::{Arena, Owner};
use std::ops::Range;

/// A division of the shared parameters into parts.
#[derive(Clone, Debug)]
pub struct Parts {
    names: Vec<String>,
    /// Part of each entry of the arena; heads' entries have none that counts.
    of_entry: Vec<usize>,
    /// The arena's shared numbers that are no tables, cut where the part changes.
    ranges: Vec<(usize, Range<usize>)>,
    /// Part of each table.
    tables: Vec<usize>,
}

impl Parts {
    /// All in one part.
    pub fn whole(arena: &Arena) -> Self {
        Self::new(arena, |_| "trunk")
    }

    /// Parts by the name that `part` gives for each parameter, in the order in which they come up.
    pub fn new<S: Into<String>>(arena: &Arena, part: impl Fn(&str) -> S) -> Self {
        let mut parts = Self { names: Vec::new(), of_entry: Vec::new(), ranges: Vec::new(), tables: Vec::new() };
        for (name, entry) in arena.entries() {
            let index = match entry.slot.owner {
                Owner::Head => 0,
                _ => parts.index_of(part(name).into()),
            };
            parts.of_entry.push(index);
            let range = entry.slot.offset..entry.slot.offset + entry.slot.len;
            match (entry.slot.owner, parts.ranges.last_mut()) {
                (Owner::Head, _) => {}
                (Owner::Table, _) => parts.tables.push(index),
                (Owner::Shared, Some((last, before))) if *last == index => before.end = range.end,
                (Owner::Shared, _) => parts.ranges.push((index, range)),
            }
        }
        if parts.names.is_empty() {
            parts.names.push("trunk".into());
        }
        parts
    }

    fn index_of(&mut self, name: String) -> usize {
        self.names.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        })
    }

    /// How many there are, at least one.
    pub fn count(&self) -> usize {
        self.names.len()
    }

    /// Their names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The part of an entry of the arena, by its index.
    pub fn of_entry(&self, index: usize) -> usize {
        self.of_entry[index]
    }

    /// The arena's shared numbers that are no tables, with the part of each range.
    pub(super) fn ranges(&self) -> &[(usize, Range<usize>)] {
        &self.ranges
    }

    /// Part of each table.
    pub(super) fn tables(&self) -> &[usize] {
        &self.tables
    }
}
