//! Every balancing method: what it needs, where it comes from, what it costs, and how one is made.

use super::{Method, Needs};
use super::{
    aligned_mtl, cagrad, config, cr_mogm, dualproj, fairgrad, gradvac, imtl_g, krum, mgda, modo, nash_mtl, pcd, pcgrad,
    sdmgrad, upgrad,
};
use super::{auto_lambda, db_mtl, dtp, dwa, equal, excess_mtl, famo, fixed, forum, gls, graddrop, gradnorm};
use super::{imtl_l, moco, moml, rlw, stch, trimmed_mean, uncertainty};
use crate::recipe::{Balance, BalanceMethod, ParameterValue};

/// A balancing method that a recipe may name.
#[derive(Debug)]
pub struct Entry {
    /// Name in the recipe.
    pub name: &'static str,
    /// What it reads of each step.
    pub needs: Needs,
    /// Authors, year, short title, and where it is published.
    pub paper: &'static str,
    /// What a step costs beside equal weighting, in words.
    pub cost: &'static str,
    make: fn(&Settings) -> Box<dyn Method>,
}

impl Entry {
    /// Summary and parameters.
    ///
    /// # Panics
    /// Never: a test holds that the table of the recipe has every method.
    pub fn known(&self) -> &'static BalanceMethod {
        BalanceMethod::find(self.name).expect("every method has a line in the recipe's table")
    }

    /// Whether its weights never change, so that a run has nothing to remember. (Those of `search` are found before the
    /// first step.)
    pub fn is_constant(&self) -> bool {
        matches!(self.name, "equal" | "fixed" | "search")
    }

    /// A method at its start.
    pub fn make(&self, settings: &Settings) -> Box<dyn Method> {
        (self.make)(settings)
    }
}

/// What a method is made from: the tasks in their order, and the recipe's `[balance]`.
#[derive(Clone, Debug)]
pub struct Settings {
    tasks: Vec<String>,
    balance: Balance,
}

impl Settings {
    /// Settings for tasks of these names.
    pub fn new<S: Into<String>>(balance: &Balance, tasks: impl IntoIterator<Item = S>) -> Self {
        Self { tasks: tasks.into_iter().map(Into::into).collect(), balance: balance.clone() }
    }

    /// Number of tasks of the recipe.
    pub fn tasks(&self) -> usize {
        self.tasks.len()
    }

    /// The recipe's weight of each task, 1 where it names none.
    pub fn weights(&self) -> Vec<f64> {
        let given = |task| self.balance.weights.as_ref()?.get(task).copied();
        self.tasks.iter().map(|task| given(task).unwrap_or(1.0)).collect()
    }

    /// A parameter that is a number.
    ///
    /// # Panics
    /// As all of these, if the method has no such parameter: a mistake in the method, which a test of all of them finds.
    pub fn number(&self, name: &str) -> f64 {
        match self.value(name) {
            ParameterValue::Number(x) => x,
            ParameterValue::Whole(n) => n as f64,
            other => panic!("`{name}` is {other:?}, not a number"),
        }
    }

    /// A parameter that is a whole number.
    pub fn whole(&self, name: &str) -> u64 {
        match self.value(name) {
            ParameterValue::Whole(n) => n.unsigned_abs(),
            other => panic!("`{name}` is {other:?}, not a whole number"),
        }
    }

    /// A parameter that is true or false.
    pub fn switch(&self, name: &str) -> bool {
        match self.value(name) {
            ParameterValue::Switch(on) => on,
            other => panic!("`{name}` is {other:?}, not true or false"),
        }
    }

    /// A parameter that is one of several words.
    pub fn word(&self, name: &str) -> String {
        match self.value(name) {
            ParameterValue::Word(word) => word,
            other => panic!("`{name}` is {other:?}, not a word"),
        }
    }

    /// The value, or the default where the recipe has one of a wrong kind, which its validation refuses.
    fn value(&self, name: &str) -> ParameterValue {
        let parameter = self.balance.known().and_then(|known| known.parameter(name));
        let parameter = parameter.unwrap_or_else(|| panic!("`{}` has no parameter `{name}`", self.balance.method));
        let given = self.balance.parameters.get(name).filter(|value| parameter.accepts(value));
        given.cloned().unwrap_or_else(|| parameter.default_value())
    }
}

/// All methods, in the order of [`BalanceMethod::ALL`].
pub fn methods() -> &'static [Entry] {
    ENTRIES
}

/// The method of this name.
pub fn method(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name)
}

const NONE: &str = "none";
const FORWARD: &str = "one more forward pass";
const GRADIENTS: &str = "task gradients";
const SQUARES: &str = "task gradients, a sum of squares a task";
const TRACES: &str = "task gradients, a trace a task";
const ELEMENTS: &str = "task gradients, number by number";
const VALIDATION: &str = "gradients of validation rows";
const VALIDATION_SOLVE: &str = "gradients of validation rows, a small solve";
const SOLVE: &str = "task gradients, a small solve";
const HALVES: &str = "task gradients of two halves, a small solve";

#[rustfmt::skip]
static ENTRIES: &[Entry] = &[
    Entry { name: "equal", needs: Needs::Losses, paper: "Kurin et al. 2022, In Defense of the Unitary Scalarization (arXiv:2201.04122)", cost: NONE, make: |_| Box::new(equal::Equal) },
    Entry { name: "fixed", needs: Needs::Losses, paper: "Xin et al. 2022, Do Current Multi-Task Optimization Methods in Deep Learning Even Help? (arXiv:2209.11379)", cost: NONE, make: |s| Box::new(fixed::Fixed::new(s)) },
    Entry { name: "search", needs: Needs::Losses, paper: "Xin et al. 2022, Do Current Multi-Task Optimization Methods in Deep Learning Even Help? (arXiv:2209.11379)", cost: "`trials · share` times the run before it", make: |_| Box::new(equal::Equal) },
    Entry { name: "uncertainty", needs: Needs::Losses, paper: "Kendall et al. 2018, Multi-Task Learning Using Uncertainty to Weigh Losses (arXiv:1705.07115)", cost: NONE, make: |s| Box::new(uncertainty::Uncertainty::new(s)) },
    Entry { name: "dwa", needs: Needs::Losses, paper: "Liu et al. 2019, End-to-End Multi-Task Learning with Attention (arXiv:1803.10704)", cost: NONE, make: |s| Box::new(dwa::Dwa::new(s)) },
    Entry { name: "rlw", needs: Needs::Losses, paper: "Lin et al. 2022, Reasonable Effectiveness of Random Weighting (arXiv:2111.10603)", cost: NONE, make: |s| Box::new(rlw::Rlw::new(s)) },
    Entry { name: "gls", needs: Needs::Losses, paper: "Chennupati et al. 2019, MultiNet++ (arXiv:1904.08492)", cost: NONE, make: |_| Box::new(gls::Gls) },
    Entry { name: "imtl_l", needs: Needs::Losses, paper: "Liu et al. 2021, Towards Impartial Multi-task Learning (ICLR)", cost: NONE, make: |s| Box::new(imtl_l::ImtlL::new(s)) },
    Entry { name: "stch", needs: Needs::Losses, paper: "Lin et al. 2024, Smooth Tchebycheff Scalarization (arXiv:2402.19078)", cost: NONE, make: |s| Box::new(stch::Stch::new(s)) },
    Entry { name: "famo", needs: Needs::LossesTwice, paper: "Liu et al. 2023, FAMO: Fast Adaptive Multitask Optimization (arXiv:2306.03792)", cost: FORWARD, make: |s| Box::new(famo::Famo::new(s)) },
    Entry { name: "dtp", needs: Needs::Losses, paper: "Guo et al. 2018, Dynamic Task Prioritization (ECCV)", cost: NONE, make: |s| Box::new(dtp::Dtp::new(s)) },
    Entry { name: "gradnorm", needs: Needs::Gramian, paper: "Chen et al. 2018, GradNorm (arXiv:1711.02257)", cost: GRADIENTS, make: |s| Box::new(gradnorm::GradNorm::new(s)) },
    Entry { name: "excess_mtl", needs: Needs::Squares, paper: "He et al. 2024, Robust Multi-Task Learning with Excess Risks (arXiv:2402.02009)", cost: SQUARES, make: |s| Box::new(excess_mtl::ExcessMtl::new(s)) },
    Entry { name: "db_mtl", needs: Needs::Traces, paper: "Lin et al. 2023, Dual-Balancing for Multi-Task Learning (arXiv:2308.12029)", cost: TRACES, make: |s| Box::new(db_mtl::DbMtl::new(s)) },
    Entry { name: "moco", needs: Needs::Traces, paper: "Fernando et al. 2023, Mitigating Gradient Bias in Multi-Objective Learning (arXiv:2210.12624)", cost: TRACES, make: |s| Box::new(moco::MoCo::new(s)) },
    Entry { name: "modo", needs: Needs::Halves, paper: "Chen et al. 2023, Three-Way Trade-Off in Multi-Objective Learning (arXiv:2305.20057)", cost: HALVES, make: |s| Box::new(modo::MoDo::new(s)) },
    Entry { name: "sdmgrad", needs: Needs::Halves, paper: "Xiao et al. 2023, Direction-Oriented Multi-Objective Learning (arXiv:2305.18409)", cost: HALVES, make: |s| Box::new(sdmgrad::SdmGrad::new(s)) },
    Entry { name: "graddrop", needs: Needs::Elements, paper: "Chen et al. 2020, Just Pick a Sign (arXiv:2010.06808)", cost: ELEMENTS, make: |s| Box::new(graddrop::GradDrop::new(s)) },
    Entry { name: "trimmed_mean", needs: Needs::Elements, paper: "Yin et al. 2018, Byzantine-Robust Distributed Learning (arXiv:1803.01498)", cost: ELEMENTS, make: |s| Box::new(trimmed_mean::TrimmedMean::new(s)) },
    Entry { name: "imtl_g", needs: Needs::Gramian, paper: "Liu et al. 2021, Towards Impartial Multi-task Learning (ICLR)", cost: SOLVE, make: |_| Box::new(imtl_g::ImtlG) },
    Entry { name: "mgda", needs: Needs::Gramian, paper: "Sener & Koltun 2018, Multi-Task Learning as Multi-Objective Optimization (arXiv:1810.04650)", cost: SOLVE, make: |s| Box::new(mgda::Mgda::new(s)) },
    Entry { name: "pcgrad", needs: Needs::Gramian, paper: "Yu et al. 2020, Gradient Surgery for Multi-Task Learning (arXiv:2001.06782)", cost: GRADIENTS, make: |_| Box::new(pcgrad::PcGrad) },
    Entry { name: "gradvac", needs: Needs::Gramian, paper: "Wang et al. 2021, Gradient Vaccine (arXiv:2010.05874)", cost: GRADIENTS, make: |s| Box::new(gradvac::GradVac::new(s)) },
    Entry { name: "cagrad", needs: Needs::Gramian, paper: "Liu et al. 2021, Conflict-Averse Gradient Descent (arXiv:2110.14048)", cost: SOLVE, make: |s| Box::new(cagrad::CaGrad::new(s)) },
    Entry { name: "nash_mtl", needs: Needs::Gramian, paper: "Navon et al. 2022, Multi-Task Learning as a Bargaining Game (arXiv:2202.01017)", cost: SOLVE, make: |s| Box::new(nash_mtl::NashMtl::new(s)) },
    Entry { name: "aligned_mtl", needs: Needs::Gramian, paper: "Senushkin et al. 2023, Independent Component Alignment (arXiv:2305.19000)", cost: SOLVE, make: |s| Box::new(aligned_mtl::AlignedMtl::new(s)) },
    Entry { name: "fairgrad", needs: Needs::Gramian, paper: "Ban & Ji 2024, Fair Resource Allocation in Multi-Task Learning (arXiv:2402.15638)", cost: SOLVE, make: |s| Box::new(fairgrad::FairGrad::new(s)) },
    Entry { name: "upgrad", needs: Needs::Gramian, paper: "Quinton & Rey 2024, Jacobian Descent for Multi-Objective Optimization (arXiv:2406.16232)", cost: SOLVE, make: |s| Box::new(upgrad::UpGrad::new(s)) },
    Entry { name: "dualproj", needs: Needs::Gramian, paper: "Lopez-Paz & Ranzato 2017, Gradient Episodic Memory (arXiv:1706.08840)", cost: SOLVE, make: |s| Box::new(dualproj::DualProj::new(s)) },
    Entry { name: "config", needs: Needs::Gramian, paper: "Liu et al. 2025, ConFIG (arXiv:2408.11104)", cost: SOLVE, make: |_| Box::new(config::ConFig) },
    Entry { name: "krum", needs: Needs::Gramian, paper: "Blanchard et al. 2017, Machine Learning with Adversaries (NeurIPS)", cost: GRADIENTS, make: |s| Box::new(krum::Krum::new(s)) },
    Entry { name: "cr_mogm", needs: Needs::Gramian, paper: "Zhou et al. 2022, On the Convergence of Stochastic Multi-Objective Gradient Manipulation (NeurIPS)", cost: SOLVE, make: |s| Box::new(cr_mogm::CrMogm::new(s)) },
    Entry { name: "pcd", needs: Needs::Gramian, paper: "Varam & AlHajri 2026, Not All Objectives Are Born Equal (arXiv:2606.29521)", cost: SOLVE, make: |s| Box::new(pcd::Pcd::new(s)) },
    Entry { name: "auto_lambda", needs: Needs::Validation, paper: "Liu et al. 2022, Auto-Lambda (arXiv:2202.03091)", cost: VALIDATION, make: |s| Box::new(auto_lambda::AutoLambda::new(s)) },
    Entry { name: "forum", needs: Needs::Validation, paper: "Ye et al. 2024, A First-Order Multi-Gradient Algorithm for Bi-Level Optimization (arXiv:2401.09257)", cost: VALIDATION_SOLVE, make: |s| Box::new(forum::Forum::new(s)) },
    Entry { name: "moml", needs: Needs::Validation, paper: "Ye et al. 2021, Multi-Objective Meta Learning (arXiv:2102.07121)", cost: VALIDATION_SOLVE, make: |s| Box::new(moml::Moml::new(s)) },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_name_these_methods_and_no_others() {
        let known: Vec<_> = BalanceMethod::ALL.iter().map(|method| method.name).collect();
        assert_eq!(ENTRIES.iter().map(|entry| entry.name).collect::<Vec<_>>(), known);
    }

    #[test]
    fn recipes_know_which_methods_cannot_compare_states() {
        let parameters = |entry: &&Entry| entry.needs.reads_gradients() && entry.needs != Needs::Gramian;
        let names: Vec<_> = ENTRIES.iter().filter(parameters).map(|entry| entry.name).collect();
        let mut known = crate::recipe::NOT_OF_STATES.to_vec();
        known.sort_by_key(|name| names.iter().position(|other| other == name));
        assert_eq!(known, names);
    }

    #[test]
    fn every_method_can_be_made() {
        for entry in methods() {
            let mut method = entry.make(&Settings::new(&Balance::new(entry.name), ["a", "b", "c"]));
            let state = method.state();
            method.restore(&state).unwrap_or_else(|error| panic!("{}: {error}", entry.name));
        }
    }
}
