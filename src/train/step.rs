//! One optimizer step: forward, losses, backward, balancing weights, clip, update.

use super::blame::not_finite;
use super::pieces::Piece;
use super::weighing::{
    History, MeanLosses, PieceLoss, Plan, Weighing, block, half_shares, halves, keep_present, present, quadratic,
    spread, sum, tasks_only,
};
use super::{Conflicts, LossScale, StepReport, Trainer};
use crate::balance::{Measured, Needs};
use crate::data::{Batch, TaskBatch};
use crate::error::Result;
use crate::gradient::{Measures, Rows};
use crate::model::{GradientRows, Pass, read_losses};
use crate::ops::{Noise, Precision};
use crate::recipe::Level;

impl Trainer {
    /// One optimizer step on the mean gradient of `batches`; `factor` is the schedule's.
    ///
    /// The objective is `1/T Σ weight · balance · mean loss` over all T tasks of the recipe; a task without examples, or
    /// with weight 0, adds nothing. Weights that come from gradients count for the shared parameters; each head then
    /// follows its own loss.
    ///
    /// # Errors
    /// [`Error::NotFinite`](crate::Error::NotFinite) before anything is changed, if a loss or gradient is NaN or infinite.
    pub fn step(&mut self, batches: &[Batch], factor: f64) -> Result<StepReport> {
        let done = self.done();
        let (unsolved, _) = self.balance.unsolved();
        let pieces = self.pieces(batches);
        let plan = self.plan(done + 1, pieces.len());
        let validation = self.validation.as_ref().filter(|_| plan.validation).map(|source| source(done + 1));
        self.store.lock().clear();
        self.expect(batches, plan.rows);
        let read = batches.iter().chain(&validation).flat_map(|batch| &batch.packed.ids);
        self.optimizer.catch_up(self.model.arena(), read)?;

        let tasks = self.tasks.len();
        let scale = 1.0 / (tasks * batches.len()) as f64;
        // Of the mean loss over the batches.
        let mean_scale = 1.0 / tasks as f64;
        // Backward passes are of losses times this; gradient rows are divided by it before they are read.
        let loss_scale = self.loss_scale.map_or(1.0, |own| own.scale);
        let (mut seen, mut unread) = (MeanLosses::new(tasks), Vec::new());
        let late = self.reads_losses_late(plan.weighing);
        let mut weights = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            let batch = &*piece.batch;
            let pass = self.pass((done, index), batch, pieces.len(), plan.rows)?;
            let losses = self.model.losses(batch, &pass)?;
            if late {
                seen.expect(piece);
                unread.extend(losses.tensors());
            } else {
                self.see(std::slice::from_ref(piece), &losses.values()?, &mut seen)?;
            }
            let of_batch = |of_task: &dyn Fn(usize) -> f64| -> Vec<f64> {
                batch.tasks.iter().map(|task| of_task(task.task)).collect()
            };
            let with_shares = |of_task: &dyn Fn(usize) -> f64| -> Vec<f64> {
                of_batch(of_task).into_iter().zip(&piece.shares).map(|(scale, share)| scale * share).collect()
            };
            let scales = with_shares(&|task| loss_scale * scale * self.weights[task]);
            match plan.weighing {
                Weighing::Before => {
                    let own = self.balance.weights(&seen.of_last(&self.weights), &[]);
                    if self.balance.needs().reads_gradients() {
                        // Its last weights count for the trunk; heads follow their own losses in every step.
                        losses.heads(&scales)?.backward(&of_batch(&|task| own[0][task]))?;
                    } else {
                        losses
                            .backward(&with_shares(&|task| loss_scale * scale * self.weights[task] * own[0][task]))?;
                    }
                    // Weights that never change may meet a task in one batch of the step and not in the next.
                    keep_present(&mut weights, own, piece);
                }
                Weighing::States => {
                    let states = losses.heads(&scales)?;
                    let order: Vec<usize> = batch.tasks.iter().map(|task| task.task).collect();
                    let gramian = self.matrix_of_all_ranks(spread(&states.gramian()?, &order, tasks))?;
                    let observed = seen.of_last(&self.weights);
                    let measured =
                        Measured { gramian: present(&gramian, &observed, loss_scale * scale), ..Measured::default() };
                    weights = self.balance.weights(&observed, &[measured]);
                    states.backward(&of_batch(&|task| weights[0][task]))?;
                }
                Weighing::After => losses.backward(&scales)?,
            }
        }
        if let Some(batch) = &validation {
            self.validate(batch, loss_scale * mean_scale, done + 1)?;
        }

        let store = self.store.clone();
        let mut rows = store.lock();
        rows.finish()?;
        if self.ranks.ranks() > 1 {
            rows.reduce(&*self.ranks)?;
        }
        if loss_scale != 1.0 {
            rows.scale((1.0 / loss_scale) as f32)?;
        }
        let Measures { mut gramians, mut heads_square } = rows.measure(&self.parts)?;
        // Where the losses are on a device they are computed by now: that was the step's one wait.
        if late {
            self.see(&pieces, &read_losses(&unread)?, &mut seen)?;
        }
        let losses = seen.weighted(&self.weights);
        if !gramians.iter().flatten().flatten().sum::<f64>().is_finite() || !heads_square.is_finite() {
            drop(rows);
            if !self.loss_scale.as_mut().is_some_and(LossScale::overflow) {
                return Err(self.blame(done, &pieces));
            }
            if weights.is_empty() {
                weights = vec![vec![1.0; tasks]];
            }
            let report = self.report(&seen, &weights, batches, scale);
            return Ok(StepReport {
                gradient_norm: f64::INFINITY,
                loss_scale: Some(loss_scale),
                skipped: true,
                ..report
            });
        }
        let conflicts = plan.conflicts.then(|| {
            let of_loss = |task: usize| match plan.weighing {
                Weighing::After => mean_scale * self.weights[task],
                _ => mean_scale * self.weights[task] * weights[0][task],
            };
            let scales: Vec<f64> = (0..tasks).map(of_loss).collect();
            let of_part = |gramian: &Vec<Vec<f64>>| Conflicts::new(&tasks_only(gramian, tasks, plan.rows), &scales);
            let whole = of_part(&sum(&gramians));
            (whole, if self.by_layer { gramians.iter().map(of_part).collect() } else { Vec::new() })
        });

        let affinity = plan.affinity.then(|| self.affinity(&rows, plan.rows, factor, (done, &pieces))).transpose()?;

        let mut row_weights = vec![vec![1.0f32; gramians[0].len()]; gramians.len()];
        if plan.weighing == Weighing::After {
            // Traces and sums of squares look at every number.
            if !matches!(self.history, History::None) {
                rows.fetch()?;
            }
            weights = self.weigh(&mut rows, &mut gramians, &losses, mean_scale, (plan.rows, batches));
            let halves = matches!(plan.rows, GradientRows::Halves { .. });
            for (part, row_weights) in row_weights.iter_mut().enumerate() {
                let weights = &weights[part.min(weights.len() - 1)];
                let weight = |row: usize| if row < tasks || halves { weights[row % tasks] as f32 } else { 0.0 };
                row_weights.iter_mut().enumerate().for_each(|(row, w)| *w = weight(row));
            }
            if !self.balance.needs().reads_gradients() {
                for (task, slot) in self.model.head_slots() {
                    rows.scale_head(slot, weights[0][task])?;
                }
                heads_square = rows.heads_square(&self.parts)?;
            }
            if self.combine(&mut rows, &row_weights)? {
                row_weights.iter_mut().flatten().for_each(|w| *w = 1.0);
                gramians = rows.gramians(&self.parts);
            }
            rows.send()?;
        }
        let shared: f64 = gramians.iter().zip(&row_weights).map(|(gramian, w)| quadratic(gramian, w)).sum();
        // Rounding may leave opposite gradients below zero; a NaN must stay one.
        let shared = if shared < 0.0 { 0.0 } else { shared };
        let gradient_norm = (shared + heads_square).sqrt();
        if !gradient_norm.is_finite() {
            if let History::Traces(traces) = &mut self.history {
                traces.keep(&mut rows);
            }
            drop(rows);
            return Err(self.blame(done, &pieces));
        }
        // As PyTorch's clip_grad_norm_.
        let clip = if self.clip > 0.0 { (self.clip / (gradient_norm + 1e-6)).min(1.0) } else { 1.0 };
        drop(rows);
        self.optimizer.step(self.model.arena(), &store, (&self.parts, &row_weights), factor, clip as f32)?;
        if let History::Traces(traces) = &mut self.history {
            traces.keep(&mut store.lock());
        }
        if plan.again {
            self.optimizer.catch_up(self.model.arena(), batches.iter().flat_map(|batch| &batch.packed.ids))?;
            let after = self.losses_again((done, &pieces), self.precision)?.weighted(&self.weights);
            self.balance.after(&after);
        }

        let scaled = self.loss_scale.is_some().then_some(loss_scale);
        self.loss_scale.iter_mut().for_each(LossScale::done);
        let (conflicts, by_layer) = conflicts.unzip();
        Ok(StepReport {
            gradient_norm,
            conflicts,
            conflicts_by_layer: by_layer.unwrap_or_default(),
            affinity,
            unsolved: match self.balance.unsolved() {
                (count, why) if count > unsolved => why.map(str::to_owned),
                _ => None,
            },
            loss_scale: scaled,
            ..self.report(&seen, &weights, batches, scale)
        })
    }

    /// Steps so far, those included that were left out.
    fn done(&self) -> u64 {
        self.optimizer.steps() + self.loss_scale.map_or(0, |own| own.skipped)
    }

    /// What has to be measured in step `number`, counted from 1, of so many batches.
    fn plan(&self, number: u64, batches: usize) -> Plan {
        let (needs, due) = (self.balance.needs(), self.balance.is_due());
        let tasks = self.tasks.len();
        let follows = matches!(needs, Needs::Traces | Needs::Squares);
        let gradients = needs.reads_gradients() && (due || follows);
        let measured = |every: u64| tasks > 1 && every > 0 && number.is_multiple_of(every);
        let (conflicts, affinity) = (measured(self.conflicts_every), measured(self.affinity_every));
        let several = !self.balance.is_constant() && (batches > 1 || self.balance.parts() > 1);
        let weighing = match self.balance.level() {
            Level::Representation if gradients => Weighing::States,
            _ if gradients || several => Weighing::After,
            _ => Weighing::Before,
        };
        let rows = match weighing {
            Weighing::After if needs == Needs::Halves && due => GradientRows::Halves { tasks },
            Weighing::After => GradientRows::Tasks { first: 0 },
            _ if conflicts || affinity => GradientRows::Tasks { first: 0 },
            _ => GradientRows::Joint,
        };
        Plan {
            weighing,
            rows,
            conflicts,
            affinity,
            validation: due && needs == Needs::Validation,
            again: due && needs == Needs::LossesTwice,
        }
    }

    /// Asks the balancing method for weights, by part and task, from gradient rows of `scale · weight · loss`. Puts traces in
    /// the gradients' place, and their Gramians in place of the gradients', for a method that wants them.
    fn weigh(
        &mut self,
        rows: &mut Rows,
        gramians: &mut Vec<Vec<Vec<f64>>>,
        losses: &[Option<f64>],
        scale: f64,
        (kind, batches): (GradientRows, &[Batch]),
    ) -> Vec<Vec<f64>> {
        let tasks = self.tasks.len();
        let shares = half_shares(batches, tasks);
        let parts = self.balance.parts();
        let fold = |gramians: &[Vec<Vec<f64>>]| if parts == 1 { vec![sum(gramians)] } else { gramians.to_vec() };
        let measured = |gramians: &[Vec<Vec<f64>>]| -> Vec<Measured> {
            let of = |gramian: &Vec<Vec<f64>>| match kind {
                GradientRows::Halves { .. } => {
                    Measured { gramian: present(&halves(gramian, &shares), losses, scale), ..Measured::default() }
                }
                _ => Measured {
                    gramian: present(&block(gramian, 0, tasks), losses, scale),
                    validation: match gramian.len() > tasks {
                        true => present(&block(gramian, tasks, tasks), losses, scale),
                        false => Default::default(),
                    },
                    ..Measured::default()
                },
            };
            fold(gramians).iter().map(of).collect()
        };
        match &mut self.history {
            History::None => self.balance.weights(losses, &measured(gramians)),
            History::Traces(traces) => {
                let factors = self.balance.traces(losses, &measured(gramians));
                let factors: Vec<_> =
                    (0..self.parts.count()).map(|part| factors[part.min(factors.len() - 1)].clone()).collect();
                *gramians = traces.follow(rows, &self.parts, &factors);
                self.balance.weights(losses, &measured(gramians))
            }
            History::Squares(squares) => {
                let excess = squares.add(rows, &self.parts, (1.0 / scale) as f32);
                let mut all = measured(gramians);
                for (part, measured) in all.iter_mut().enumerate() {
                    let of = |task: usize| match parts {
                        1 => excess.iter().map(|part| part[task]).sum(),
                        _ => excess[part][task],
                    };
                    measured.excess = (0..tasks).filter(|&task| losses[task].is_some()).map(of).collect();
                }
                self.balance.weights(losses, &all)
            }
        }
    }

    /// Combines gradient rows number by number, for a method that does; whether it did.
    fn combine(&self, rows: &mut Rows, weights: &[Vec<f32>]) -> Result<bool> {
        let part = |part: usize| self.balance.elements(part.min(self.balance.parts() - 1));
        let Some(elements) = (0..self.parts.count()).map(part).collect::<Option<Vec<_>>>() else { return Ok(false) };
        rows.fetch()?;
        let combine: Vec<_> = elements
            .iter()
            .map(|elements| |first, rows: &[&[f32]], out: &mut [f32]| elements.combine(first, rows, out))
            .collect();
        rows.combine(&self.parts, weights, &combine);
        Ok(true)
    }

    /// Adds the gradients of validation losses, to rows after those of the tasks; the heads' stay as they are.
    fn validate(&self, batch: &Batch, scale: f64, step: u64) -> Result<()> {
        let heads = {
            let mut rows = self.store.lock();
            // Heads of absent tasks still hold what they had in another step.
            rows.finish()?;
            rows.copy_heads()?
        };
        let rows = GradientRows::Tasks { first: self.tasks.len() };
        self.expect(std::slice::from_ref(batch), rows);
        let pieces = self.pieces(std::slice::from_ref(batch));
        let mut values = Vec::new();
        for piece in &pieces {
            let pass = Pass::recording(&self.store, &piece.batch, None, rows)?;
            let pass = pass.in_precision(self.precision).recomputing(self.recompute);
            let of_task = |(task, share): (&TaskBatch, &f64)| scale * self.weights[task.task] * share;
            let scales: Vec<f64> = piece.batch.tasks.iter().zip(&piece.shares).map(of_task).collect();
            let losses = self.model.losses(&piece.batch, &pass)?;
            values.extend(losses.values()?);
            losses.backward(&scales)?;
        }
        for PieceLoss { task, loss, .. } in self.of_all_ranks(&pieces, &values)?.into_iter().flatten() {
            if !loss.is_finite() {
                return Err(not_finite(step, &self.tasks[task], "the validation loss", loss));
            }
        }
        Ok(self.store.lock().set_heads(heads)?)
    }

    /// The losses of the step's batches once more, with the same dropout.
    pub(super) fn losses_again(&self, (done, pieces): (u64, &[Piece]), precision: Precision) -> Result<MeanLosses> {
        let (mut seen, mut values) = (MeanLosses::new(self.tasks.len()), Vec::new());
        for (index, piece) in pieces.iter().enumerate() {
            let pass = Pass::observing(self.noise((done, index), pieces.len())).in_precision(precision);
            values.extend(self.model.losses(&piece.batch, &pass)?.values()?);
        }
        self.of_all_ranks(pieces, &values)?.iter().for_each(|losses| seen.add(losses));
        Ok(seen)
    }

    /// Whether the losses' values are not needed before the backward pass. On a device they are read after it then: the host
    /// goes on to launch work, and waits once a step. Ranks then tell each other once a step.
    fn reads_losses_late(&self, weighing: Weighing) -> bool {
        let needless = weighing == Weighing::After || (weighing == Weighing::Before && self.balance.is_constant());
        let waits = !self.model.device().is_cpu() || self.ranks.ranks() > 1;
        waits && needless
    }

    /// Takes note of the losses of pieces, on all ranks together.
    fn see(&self, pieces: &[Piece], values: &[f32], seen: &mut MeanLosses) -> Result<()> {
        for losses in self.of_all_ranks(pieces, values)? {
            if let Some(found) = losses.iter().find(|found| !found.loss.is_finite()) {
                let step = self.done() + 1;
                return Err(not_finite(step, &self.tasks[found.task], "the loss", found.loss));
            }
            seen.add(&losses);
        }
        Ok(())
    }

    /// The noise of this rank in batch `index` of `batches` after `done` steps.
    fn noise(&self, (done, index): (u64, usize), batches: usize) -> Noise {
        let pass = done * batches as u64 + index as u64;
        Noise::new(self.seed, pass * self.ranks.ranks() as u64 + self.ranks.rank() as u64)
    }

    pub(super) fn pass(&self, at: (u64, usize), batch: &Batch, batches: usize, rows: GradientRows) -> Result<Pass> {
        let pass = Pass::recording(&self.store, batch, Some(self.noise(at, batches)), rows)?;
        Ok(pass.in_precision(self.precision).recomputing(self.recompute))
    }
}
