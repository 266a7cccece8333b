//! Batches in pieces: for the ranks that train together, and where a whole one does not fit into a device's memory.

use super::Batch;
use super::packing::{IGNORE, Packed, Targets, TaskBatch};

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
            pieces.push(self.select(&(first..end).collect::<Vec<_>>()));
            first = end;
        }
        pieces
    }

    /// One part for each of so many ranks, with about as many tokens each. Which sequences are whose follows from their
    /// lengths: the longest first, each to the rank that has the fewest tokens. Where there are fewer sequences than ranks, some
    /// parts are empty.
    pub fn share(&self, ranks: usize) -> Vec<Self> {
        let mut order: Vec<usize> = (0..self.packed.sequences()).collect();
        order.sort_by_key(|&sequence| std::cmp::Reverse(self.packed.sequence(sequence).len()));
        let (mut parts, mut tokens) = (vec![Vec::new(); ranks], vec![0; ranks]);
        for sequence in order {
            let rank = (1..ranks).fold(0, |least, rank| if tokens[rank] < tokens[least] { rank } else { least });
            tokens[rank] += self.packed.sequence(sequence).len();
            parts[rank].push(sequence);
        }
        let part = |mut sequences: Vec<usize>| {
            sequences.sort_unstable();
            self.select(&sequences)
        };
        parts.into_iter().map(part).collect()
    }

    /// Some of the sequences, which are given in ascending order, and the tasks that have any of them.
    fn select(&self, sequences: &[usize]) -> Self {
        let mut packed = Packed { starts: vec![0], ..Packed::default() };
        for &sequence in sequences {
            let tokens = self.packed.sequence(sequence);
            packed.ids.extend(&self.packed.ids[tokens.clone()]);
            packed.type_ids.extend(&self.packed.type_ids[tokens.clone()]);
            packed.positions.extend(&self.packed.positions[tokens]);
            packed.starts.push(packed.ids.len() as u32);
        }
        let place = |sequence: usize| sequences.partition_point(|&other| other < sequence);
        let task = |task: &TaskBatch| {
            let own = place(task.sequences.start)..place(task.sequences.end);
            (!own.is_empty()).then(|| TaskBatch {
                task: task.task,
                targets: task.targets.select(task, &self.packed, &sequences[own.clone()]),
                first_half: place(task.sequences.start + task.first_half) - own.start,
                tokens: packed.starts[own.start] as usize..packed.starts[own.end] as usize,
                sequences: own,
            })
        };
        Self { tasks: self.tasks.iter().filter_map(task).collect(), packed }
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

    /// Those of some sequences of the task's.
    fn select(&self, task: &TaskBatch, packed: &Packed, sequences: &[usize]) -> Self {
        let rows = || sequences.iter().map(|sequence| sequence - task.sequences.start);
        match self {
            Self::Classes(classes) => Self::Classes(rows().map(|row| classes[row]).collect()),
            Self::Values(values) => Self::Values(rows().map(|row| values[row]).collect()),
            Self::MultiLabel(marks) => {
                let labels = marks.len() / task.sequences.len().max(1);
                Self::MultiLabel(rows().flat_map(|row| &marks[row * labels..][..labels]).copied().collect())
            }
            Self::Tags(tags) => {
                let tokens = sequences.iter().flat_map(|&sequence| packed.sequence(sequence));
                Self::Tags(tokens.map(|token| tags[token - task.tokens.start]).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::Range;

    fn batch() -> Batch {
        let starts = vec![0, 3, 4, 9, 11, 12];
        let tokens = 12;
        let task = |task, sequences: Range<usize>, targets| {
            let tokens = starts[sequences.start] as usize..starts[sequences.end] as usize;
            TaskBatch { task, first_half: sequences.len() / 2, sequences, tokens, targets }
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
    fn ranks_share_a_batch_by_tokens() {
        let whole = batch();
        assert_eq!(whole.share(1), std::slice::from_ref(&whole));
        // Lengths are 3, 1, 5, 2 and 1: one rank gets the 5 and a 1, the other the 3, the 2 and a 1.
        let parts = whole.share(2);
        let ids: Vec<&[u32]> = parts.iter().map(|part| &part.packed.ids[..]).collect();
        assert_eq!(ids, [[3, 4, 5, 6, 7, 8], [0, 1, 2, 9, 10, 11]]);
        assert_eq!((&parts[0].packed.starts[..], &parts[1].packed.starts[..]), (&[0, 1, 6][..], &[0, 3, 5, 6][..]));
        let tasks: Vec<Vec<usize>> =
            parts.iter().map(|part| part.tasks.iter().map(|task| task.task).collect()).collect();
        assert_eq!(tasks, [vec![0, 1], vec![0, 1, 3]]);
        assert_eq!(parts[0].tasks[1].targets, Targets::MultiLabel(vec![0.0, 1.0, 1.0, 1.0]));
        assert_eq!(parts[1].tasks[0].targets, Targets::Classes(vec![2]));
        assert_eq!(parts[1].tasks[2].targets, Targets::Tags(vec![4, IGNORE, 7]));
        assert_eq!((parts[1].tasks[2].tokens.clone(), parts[1].tasks[2].sequences.clone()), (3..6, 1..3));
        // The first of the three sequences of task 0 is its first half, the first of the two of task 3.
        let halves: Vec<Vec<usize>> =
            parts.iter().map(|part| part.tasks.iter().map(|task| task.first_half).collect()).collect();
        assert_eq!(halves, [vec![0, 0], vec![1, 1, 1]]);
        // More ranks than sequences.
        let parts = whole.share(7);
        assert_eq!(parts.iter().filter(|part| part.tasks.is_empty() && part.packed.tokens() == 0).count(), 2);
        assert_eq!(parts.iter().map(|part| part.packed.tokens()).sum::<usize>(), 12);
        assert_eq!(parts[6].divide(4), []);
    }

    #[test]
    fn counts_are_what_means_divide_by() {
        assert_eq!(Targets::Classes(vec![2, 0]).count(Some(&[0.5, 1.0, 4.0])), 4.5);
        assert_eq!(Targets::Tags(vec![1, IGNORE, 1]).count(None), 2.0);
        assert_eq!(Targets::Values(vec![0.1; 3]).count(None), 3.0);
    }
}
