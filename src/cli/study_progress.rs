//! What a person sees of a study in work: a bar on a terminal, a line a run elsewhere.

use super::output::{self, note};
use indicatif::{ProgressBar, ProgressStyle};
use mtl_zoo::study::{Plan, Planned, Progress};
use std::io::{self, IsTerminal};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Shows the runs of a study.
pub struct StudyProgress {
    bar: Option<ProgressBar>,
    began: Instant,
    runs: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ended: usize,
    /// Work of the runs that have ended here, and of those that had ended before.
    done: f64,
    before: f64,
    all: f64,
}

/// The first Ctrl-C ends the study, the second the program.
pub fn stop_on_signal(stop: &'static AtomicBool) -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(move || {
        if stop.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        note("stopping; Ctrl-C again quits at once");
    })
}

impl StudyProgress {
    /// A study of these runs.
    pub fn new(plan: &Plan) -> Self {
        let terminal = io::stderr().is_terminal();
        let bar = terminal.then(|| {
            let colours = if output::has_colours(terminal) { ".cyan/blue" } else { "" };
            let template = format!("{{bar:20{colours}}} {{prefix}}  {{wide_msg}}");
            let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(plan.work() as u64).with_style(style)
        });
        let state = State { all: plan.work(), ..State::default() };
        Self { bar, began: Instant::now(), runs: plan.runs.len(), state: Mutex::new(state) }
    }

    /// Takes the bar off the terminal.
    pub fn finish(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }

    /// Takes note of what happened.
    pub fn tell(&self, progress: Progress) {
        match progress {
            Progress::Tokens(tokens) => self.bar.iter().for_each(|bar| bar.inc(tokens as u64)),
            Progress::Began(run) => self.bar.iter().for_each(|bar| bar.set_message(run.arm.title())),
            Progress::Ended { planned, result, before } => self.ended(planned, result, before),
        }
    }

    fn ended(&self, planned: &Planned, result: &mtl_zoo::study::RunResult, before: bool) {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        state.ended += 1;
        *if before { &mut state.before } else { &mut state.done } += planned.work();
        let (ended, left) = (state.ended, state.all - state.done - state.before);
        let seconds = self.began.elapsed().as_secs_f64() * left / state.done.max(1.0);
        let left = if before || left <= 0.0 { String::new() } else { format!(", {} left", output::duration(seconds)) };
        let of = format!("{ended}/{}{left}", self.runs);
        let failed =
            result.failed.as_ref().map(|why| format!("warning: {} did not get through: {why}", planned.name()));
        match &self.bar {
            Some(bar) => {
                bar.set_position((state.done + state.before) as u64);
                bar.set_prefix(of);
                failed.iter().for_each(|text| bar.suspend(|| note(text)));
            }
            None if !before => {
                note(format_args!("{of}: {}, {}", planned.arm.title(), output::duration(result.clock.total)));
                failed.iter().for_each(note);
            }
            None => {}
        }
    }
}
