//! What a person sees of a run: a bar on a terminal, plain lines elsewhere.

use super::output::{self, note};
use indicatif::{ProgressBar, ProgressStyle};
use mtl_zoo::train::{Evaluation, Event, Observer, Persistent, StepEvent};
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Time between two plain lines.
const PAUSE: Duration = Duration::from_secs(5);
/// Weight of the past in a smoothed loss.
const MEMORY: f64 = 0.95;

/// Shows a run and stops it at Ctrl-C.
pub struct Progress {
    bar: Option<ProgressBar>,
    steps: usize,
    losses: Vec<(String, Smoothed)>,
    tokens: usize,
    /// When training began here, and after which step; a resumed run begins in the middle.
    began: Option<(Instant, usize)>,
    shown: Instant,
    stop: Arc<AtomicBool>,
}

/// A mean that forgets, without bias towards its start.
#[derive(Default)]
struct Smoothed {
    sum: f64,
    weight: f64,
}

impl Smoothed {
    fn add(&mut self, value: f64) {
        self.sum = MEMORY * self.sum + (1.0 - MEMORY) * value;
        self.weight = MEMORY * self.weight + (1.0 - MEMORY);
    }

    fn mean(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

impl Progress {
    /// A run of `steps` steps over tasks of these names.
    pub fn new(names: Vec<String>, steps: usize) -> Self {
        let terminal = io::stderr().is_terminal() && !output::is_silent();
        let bar = terminal.then(|| {
            let colours = if output::has_colours(terminal) { ".cyan/blue" } else { "" };
            let template = format!("{{bar:20{colours}}} {{pos}}/{{len}}  {{prefix}}{{wide_msg}}");
            let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(steps as u64).with_style(style)
        });
        let losses = names.into_iter().map(|name| (name, Smoothed::default())).collect();
        let shown = Instant::now();
        Self { bar, steps, losses, tokens: 0, began: None, shown, stop: Arc::default() }
    }

    /// The first Ctrl-C ends the run after its step, the second ends the program.
    pub fn stop_on_signal(&self) -> Result<(), ctrlc::Error> {
        let (stop, bar) = (self.stop.clone(), self.bar.clone());
        ctrlc::set_handler(move || {
            if stop.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            let text = "finishing this step, then saving; Ctrl-C again quits at once";
            match &bar {
                Some(bar) => bar.suspend(|| note(text)),
                None => note(text),
            }
        })
    }

    /// Takes the bar off the terminal.
    pub fn finish(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }

    fn say(&self, text: impl std::fmt::Display) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(text)),
            None => note(text),
        }
    }

    fn step(&mut self, event: &StepEvent) {
        // The first step warms up and does not count for the speed.
        let (began, first) = *self.began.get_or_insert_with(|| (Instant::now(), event.step));
        for ((_, smoothed), loss) in self.losses.iter_mut().zip(&event.report.losses) {
            loss.iter().for_each(|&loss| smoothed.add(f64::from(loss)));
        }
        if event.step > first {
            self.tokens += event.report.tokens;
        }
        let seconds = began.elapsed().as_secs_f64();
        let mut speed = String::new();
        if event.step > first && seconds > 0.0 {
            let rate = output::thousands((self.tokens as f64 / seconds) as usize);
            let left = (event.steps - event.step) as f64 * seconds / (event.step - first) as f64;
            speed = format!("{rate} tokens/s  {} left  ", output::duration(left));
        }
        let means = self.losses.iter().filter_map(|(name, smoothed)| Some((name, smoothed.mean()?)));
        let losses = means.map(|(name, mean)| format!("{name} {mean:.3}")).collect::<Vec<_>>().join("  ");
        match &self.bar {
            Some(bar) => {
                bar.set_position(event.step as u64);
                bar.set_prefix(speed);
                bar.set_message(losses);
            }
            None if event.step == 1 || event.step == event.steps || self.shown.elapsed() >= PAUSE => {
                self.shown = Instant::now();
                note(format_args!("step {}/{}  {speed}{losses}", event.step, event.steps));
            }
            None => {}
        }
    }

    fn evaluated(&mut self, evaluation: &Evaluation) {
        let mut metrics: Vec<&str> = Vec::new();
        for name in evaluation.tasks.values().flat_map(|scores| scores.metrics.keys()) {
            if !metrics.contains(&name.as_str()) {
                metrics.push(name);
            }
        }
        let row = |(name, scores): (&String, &mtl_zoo::train::Scores)| {
            let value =
                |metric: &&str| scores.metrics.get(*metric).map_or(String::new(), |value| output::score(*value));
            let start = [name.clone(), format!("{:.4}", scores.loss)];
            start.into_iter().chain(metrics.iter().map(value)).collect()
        };
        let rows: Vec<Vec<String>> = evaluation.tasks.iter().map(row).collect();
        let header: Vec<&str> = ["validation", "loss"].into_iter().chain(metrics.iter().copied()).collect();
        let styled = output::has_colours(self.bar.is_some());
        let table = output::table_for(&header, &rows, styled);
        let best = if evaluation.best { ", the best so far" } else { "" };
        let (step, steps, score) = (evaluation.step, self.steps, evaluation.score);
        self.say(format_args!("evaluated after step {step}/{steps}: mean score {score:.4}{best}\n{table}"));
        self.shown = Instant::now();
    }
}

impl Observer for Progress {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Step(step) => self.step(step),
            Event::Evaluating => self.bar.iter().for_each(|bar| bar.set_message("evaluating")),
            Event::Evaluated(evaluation) => self.evaluated(evaluation),
            Event::EarlyStop(waited) => {
                self.say(format_args!("stopping early: {waited} evaluations without a better score"));
            }
            Event::Conflict(Persistent { tasks: [a, b], below, of }) => {
                let [a, b] = [&self.losses[*a].0, &self.losses[*b].0];
                self.say(format_args!(
                    "warning: tasks `{a}` and `{b}` conflict: their gradients point against each other in {below} of the \
                     last {of} measurements"
                ));
            }
            Event::Tried { trial, number, of } => {
                let weights = trial.weights.iter().map(|(task, weight)| format!("{task} {weight:.2}"));
                let weights = weights.collect::<Vec<_>>().join("  ");
                self.say(format_args!("weights {number}/{of}: {weights}, mean score {:.4}", trial.score));
            }
            Event::Unsolved { steps, why } => self.say(format_args!(
                "warning: the balancing method had no answer in {steps} steps, its last weights counted there; the last \
                 time: {why}"
            )),
            Event::Skipped { steps, scale } => self.say(format_args!(
                "{steps} steps were left out: a gradient was too large for f16; the loss scale is {scale} now"
            )),
            Event::Saved => {}
        }
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}
