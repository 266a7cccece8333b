//! Batches in pieces, where a whole one does not fit into a device's memory.

use super::Batch;
use super::packing::{IGNORE, Packed, Targets, TaskBatch};
use std::ops::Range;

impl Batch {
    /// Pieces of at most `tokens` tokens, or of one sequence where that is longer, in order. No sequence is cut. A task's
    /// loss in the whole is the sum of those in the pieces, each times its share ([`Targets::count`] of the piece's over the
    /// whole's).
    pub fn divide(&self, tokens: usize) -> Vec<Self> {
        let starts = &self.packed.starts;
        let (mut pieces, mut first) = (Vec::new(), 0);
        while first < self.packed.sequences() {
            let fits = |end: &usize| starts[*end] - starts[first] <= tokens as u32;
            let end = (first + 1..=self.packed.sequences()).take_while(fits).last().unwrap_or(first + 1);
            pieces.push(self.piece(first..end));
            first = end;
        }
        pieces
    }

    fn piece(&self, sequences: Range<usize>) -> Self {
        let packed = &self.packed;
        let (from, to) = (packed.starts[sequences.start] as usize, packed.starts[sequences.end] as usize);
        let task = |task: &TaskBatch| {
            let own = task.sequences.start.max(sequences.start)..task.sequences.end.min(sequences.end);
            let tokens = packed.starts[own.start] as usize..packed.starts[own.end.max(own.start)] as usize;
            (!own.is_empty()).then(|| TaskBatch {
                task: task.task,
                targets: task.targets.cut(task, &own, &tokens),
                sequences: own.start - sequences.start..own.end - sequences.start,
                tokens: tokens.start - from..tokens.end - from,
            })
        };
        Self {
            tasks: self.tasks.iter().filter_map(task).collect(),
            packed: Packed {
                ids: packed.ids[from..to].to_vec(),
                type_ids: packed.type_ids[from..to].to_vec(),
                positions: packed.positions[from..to].to_vec(),
                starts: packed.starts[sequences.start..=sequences.end].iter().map(|at| at - from as u32).collect(),
            },
        }
    }
}

impl Targets {
    /// What the mean loss over these targets divides by, but for a factor that is the same for all batches of a task.
    pub fn count(&self, class_weights: Option<&[f32]>) -> f64 {
        let weight = |class: &u32| class_weights.map_or(1.0, |weights| f64::from(weights[*class as usize]));
        match self {
            Self::Classes(classes) => classes.iter().map(weight).sum(),
            Self::Tags(tags) => tags.iter().filter(|tag| **tag != IGNORE).map(weight).sum(),
            // Weights of labels do not change what their mean is over.
            Self::MultiLabel(values) | Self::Values(values) => values.len() as f64,
        }
    }

    /// Those of some sequences of a task, which have these tokens.
    fn cut(&self, whole: &TaskBatch, sequences: &Range<usize>, tokens: &Range<usize>) -> Self {
        let rows = sequences.start - whole.sequences.start..sequences.end - whole.sequences.start;
        match self {
            Self::Classes(classes) => Self::Classes(classes[rows].to_vec()),
            Self::Values(values) => Self::Values(values[rows].to_vec()),
            Self::MultiLabel(marks) => {
                let labels = marks.len() / whole.sequences.len().max(1);
                Self::MultiLabel(marks[rows.start * labels..rows.end * labels].to_vec())
            }
            Self::Tags(tags) => {
                Self::Tags(tags[tokens.start - whole.tokens.start..tokens.end - whole.tokens.start].to_vec())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Batch {
        let starts = vec![0, 3, 4, 9, 11, 12];
        let tokens = 12;
        let task = |task, sequences: Range<usize>, targets| {
            let tokens = starts[sequences.start] as usize..starts[sequences.end] as usize;
            TaskBatch { task, sequences, tokens, targets }
        };
        let tasks = vec![
            task(0, 0..3, Targets::Classes(vec![2, 0, 1])),
            task(1, 0..3, Targets::MultiLabel(vec![1.0, 0.0, 0.0, 1.0, 1.0, 1.0])),
            task(3, 3..5, Targets::Tags(vec![4, IGNORE, 7])),
        ];
        let packed = Packed {
            ids: (0..tokens).collect(),
            type_ids: vec![0; tokens as usize],
            positions: vec![0, 1, 2, 0, 0, 1, 2, 3, 4, 0, 1, 0],
            starts: starts.clone(),
        };
        Batch { packed, tasks }
    }

    #[test]
    fn pieces_hold_what_the_whole_does() {
        let whole = batch();
        assert_eq!(whole.divide(12), std::slice::from_ref(&whole));
        assert_eq!(whole.divide(1).len(), 5, "no sequence is cut");
        let pieces = whole.divide(5);
        let lens: Vec<usize> = pieces.iter().map(|piece| piece.packed.tokens()).collect();
        assert_eq!(lens, [4, 5, 3]);
        let ids: Vec<u32> = pieces.iter().flat_map(|piece| piece.packed.ids.clone()).collect();
        assert_eq!(ids, whole.packed.ids);
        assert_eq!(pieces[1].packed.starts, [0, 5]);
        let tasks: Vec<Vec<usize>> =
            pieces.iter().map(|piece| piece.tasks.iter().map(|task| task.task).collect()).collect();
        assert_eq!(tasks, [vec![0, 1], vec![0, 1], vec![3]]);
        assert_eq!(pieces[0].tasks[0].targets, Targets::Classes(vec![2, 0]));
        assert_eq!(pieces[1].tasks[1].targets, Targets::MultiLabel(vec![1.0, 1.0]));
        assert_eq!(pieces[2].tasks[0].targets, Targets::Tags(vec![4, IGNORE, 7]));
        assert_eq!((pieces[2].tasks[0].tokens.clone(), pieces[2].tasks[0].sequences.clone()), (0..3, 0..2));
    }

    #[test]
    fn counts_are_what_means_divide_by() {
        assert_eq!(Targets::Classes(vec![2, 0]).count(Some(&[0.5, 1.0, 4.0])), 4.5);
        assert_eq!(Targets::Tags(vec![1, IGNORE, 1]).count(None), 2.0);
        assert_eq!(Targets::Values(vec![0.1; 3]).count(None), 3.0);
    }
}
