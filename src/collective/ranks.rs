//! Which process of how many this is: from the environment, as torchrun, mpirun and srun set it.

use crate::error::{Problem, Result};

/// This process among those that were started together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranks {
    /// This one's number, from 0.
    pub rank: usize,
    /// How many there are.
    pub ranks: usize,
    /// This one's number among those of the machine: which card it takes.
    pub local: usize,
    /// What started them.
    pub launcher: &'static str,
    /// What all of them, and no others on the machine, are called by.
    pub job: String,
}

/// What a launcher sets.
struct Launcher {
    name: &'static str,
    rank: &'static str,
    ranks: &'static str,
    /// The number on this machine.
    local: &'static str,
    /// How many are on this machine, or on how many machines they are.
    here: Option<&'static str>,
    machines: Option<&'static str>,
    /// Together they name the job.
    job: &'static [&'static str],
}

/// The innermost first: torchrun may be started by srun, mpirun in a job of Slurm.
static LAUNCHERS: [Launcher; 4] = [
    Launcher {
        name: "torchrun",
        rank: "RANK",
        ranks: "WORLD_SIZE",
        local: "LOCAL_RANK",
        here: Some("LOCAL_WORLD_SIZE"),
        machines: None,
        job: &["MASTER_ADDR", "MASTER_PORT"],
    },
    Launcher {
        name: "mpirun",
        rank: "OMPI_COMM_WORLD_RANK",
        ranks: "OMPI_COMM_WORLD_SIZE",
        local: "OMPI_COMM_WORLD_LOCAL_RANK",
        here: Some("OMPI_COMM_WORLD_LOCAL_SIZE"),
        machines: None,
        job: &["PMIX_NAMESPACE"],
    },
    Launcher {
        name: "mpirun",
        rank: "PMI_RANK",
        ranks: "PMI_SIZE",
        local: "MPI_LOCALRANKID",
        here: Some("MPI_LOCALNRANKS"),
        machines: None,
        job: &["PMI_JOBID"],
    },
    // SLURM_NTASKS is in the environment of batch scripts too, where nothing was started in several processes.
    Launcher {
        name: "srun",
        rank: "SLURM_PROCID",
        ranks: "SLURM_STEP_NUM_TASKS",
        local: "SLURM_LOCALID",
        here: None,
        machines: Some("SLURM_STEP_NUM_NODES"),
        job: &["SLURM_JOB_ID", "SLURM_STEP_ID"],
    },
];

/// For someone who wants no ranks.
pub(super) const RUN_ALONE: &str = "to run each process by itself, set RANK=0 and WORLD_SIZE=1";

/// The variables of one launcher, read.
struct Found {
    launcher: &'static Launcher,
    rank: usize,
    ranks: usize,
}

impl Ranks {
    /// This process by its environment; the only one where that says nothing.
    ///
    /// # Errors
    /// If variables are half set, are no numbers, contradict each other, or tell of several machines.
    pub fn of_environment() -> Result<Self> {
        Self::read(&|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let found = LAUNCHERS.iter().map(|launcher| Found::read(launcher, variable));
        let found: Vec<Found> = found.filter_map(Result::transpose).collect::<Result<_>>()?;
        let Some(Found { launcher, rank, ranks }) = found.first() else { return Ok(Self::alone()) };
        let (rank, ranks) = (*rank, *ranks);
        if ranks == 1 {
            return Ok(Self::alone());
        }
        // A job of Slurm may hold all kinds of starts; two of the others are one inside the other, or wrong.
        let other = found[1..].iter().find(|other| {
            other.launcher.name != "srun" && other.ranks > 1 && (other.rank, other.ranks) != (rank, ranks)
        });
        if let Some(other) = other {
            let found = format!("{} = {rank} of {} = {ranks}", launcher.rank, launcher.ranks);
            let expected = format!("rank {} of {}, as {} says", other.rank, other.ranks, other.launcher.rank);
            let help = format!("start with one of torchrun, mpirun and srun; {RUN_ALONE}");
            return Err(Problem::new(found, expected, help).key(launcher.rank).argument());
        }
        let local = number(launcher.local, variable)?.unwrap_or(rank);
        let here = launcher.here.map_or(Ok(None), |name| number(name, variable))?.unwrap_or(ranks);
        let machines = launcher.machines.map_or(Ok(None), |name| number(name, variable))?.unwrap_or(1);
        if here < ranks || machines > 1 {
            let found = match machines {
                1 => format!("{here} of {ranks} ranks on this machine"),
                _ => format!("{ranks} ranks on {machines} machines"),
            };
            let name = launcher.here.or(launcher.machines).unwrap_or(launcher.ranks);
            let help = "start all ranks on one machine: training over several machines is not there yet";
            return Err(Problem::new(found, "one machine", help).key(name).argument());
        }
        if local >= ranks {
            let help = format!("see how {} is started; {RUN_ALONE}", launcher.name);
            let expected = format!("a number below {ranks}");
            return Err(Problem::new(local.to_string(), expected, help).key(launcher.local).argument());
        }
        let names: Vec<String> = launcher.job.iter().filter_map(|name| variable(name)).collect();
        let job = if names.is_empty() { parent() } else { names.join("-") };
        Ok(Self { rank, ranks, local, launcher: launcher.name, job })
    }

    fn alone() -> Self {
        Self { rank: 0, ranks: 1, local: 0, launcher: "hand", job: String::new() }
    }
}

impl Found {
    fn read(launcher: &'static Launcher, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        let (rank, ranks) = match (number(launcher.rank, variable)?, number(launcher.ranks, variable)?) {
            (None, None) => return Ok(None),
            (Some(rank), Some(ranks)) => (rank, ranks),
            // In a batch script of Slurm.
            _ if launcher.name == "srun" => return Ok(None),
            (rank, _) => {
                let (set, absent) =
                    if rank.is_some() { (launcher.rank, launcher.ranks) } else { (launcher.ranks, launcher.rank) };
                let help = format!("set both, or neither; {RUN_ALONE}");
                let problem = Problem::new(format!("no {absent}"), "both of them", help);
                return Err(problem.key(set).argument());
            }
        };
        if rank >= ranks {
            let help = "ranks are counted from 0";
            let expected = format!("a number below {} = {ranks}", launcher.ranks);
            return Err(Problem::new(rank.to_string(), expected, help).key(launcher.rank).argument());
        }
        Ok(Some(Self { launcher, rank, ranks }))
    }
}

fn number(name: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<usize>> {
    let Some(text) = variable(name) else { return Ok(None) };
    text.trim().parse().map(Some).map_err(|_| {
        let help = format!("torchrun, mpirun and srun set it; {RUN_ALONE}");
        Problem::new(format!("`{text}`"), "a number of 0 or more", help).key(name).argument()
    })
}

/// What started this process: the same for ranks that nothing names.
fn parent() -> String {
    #[cfg(unix)]
    return format!("parent-{}", std::os::unix::process::parent_id());
    #[cfg(not(unix))]
    return "parent".into();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Ranks> {
        Ranks::read(&|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    fn numbers(variables: &[(&str, &str)]) -> (usize, usize, usize) {
        let ranks = read(variables).unwrap();
        (ranks.rank, ranks.ranks, ranks.local)
    }

    #[test]
    fn each_launcher_is_understood() {
        let torchrun = [
            ("RANK", "3"),
            ("WORLD_SIZE", "4"),
            ("LOCAL_RANK", "3"),
            ("LOCAL_WORLD_SIZE", "4"),
            ("MASTER_ADDR", "127.0.0.1"),
            ("MASTER_PORT", "29500"),
        ];
        let ranks = read(&torchrun).unwrap();
        assert_eq!((ranks.rank, ranks.ranks, ranks.local), (3, 4, 3));
        assert_eq!((ranks.launcher, &ranks.job[..]), ("torchrun", "127.0.0.1-29500"));
        let open_mpi = [
            ("OMPI_COMM_WORLD_RANK", "1"),
            ("OMPI_COMM_WORLD_SIZE", "2"),
            ("OMPI_COMM_WORLD_LOCAL_RANK", "1"),
            ("OMPI_COMM_WORLD_LOCAL_SIZE", "2"),
            ("PMIX_NAMESPACE", "3141"),
        ];
        assert_eq!(numbers(&open_mpi), (1, 2, 1));
        assert_eq!(read(&open_mpi).unwrap().job, "3141");
        assert_eq!(numbers(&[("PMI_RANK", "0"), ("PMI_SIZE", "2")]), (0, 2, 0));
        let srun = [
            ("SLURM_PROCID", "2"),
            ("SLURM_STEP_NUM_TASKS", "4"),
            ("SLURM_NTASKS", "8"),
            ("SLURM_LOCALID", "2"),
            ("SLURM_STEP_NUM_NODES", "1"),
            ("SLURM_JOB_ID", "7"),
            ("SLURM_STEP_ID", "0"),
        ];
        assert_eq!(numbers(&srun), (2, 4, 2));
        assert_eq!(read(&srun).unwrap().job, "7-0");
        // By hand, without a name: what started the processes names them.
        let by_hand = [("RANK", "1"), ("WORLD_SIZE", "2")];
        assert_eq!(numbers(&by_hand), (1, 2, 1));
        assert!(read(&by_hand).unwrap().job.starts_with("parent"));
    }

    #[test]
    fn one_process_is_one_rank() {
        assert_eq!(read(&[]).unwrap(), Ranks::alone());
        // A batch script of Slurm, and one whose variables say so.
        assert_eq!(read(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "8")]).unwrap(), Ranks::alone());
        let overruled =
            [("RANK", "0"), ("WORLD_SIZE", "1"), ("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "2")];
        assert_eq!(read(&overruled).unwrap(), Ranks::alone());
    }

    #[test]
    fn the_innermost_launcher_counts() {
        let in_slurm = [("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "1"), ("RANK", "1"), ("WORLD_SIZE", "2")];
        assert_eq!(numbers(&in_slurm), (1, 2, 1));
        let over_two = [("SLURM_PROCID", "1"), ("SLURM_STEP_NUM_TASKS", "2"), ("PMI_RANK", "3"), ("PMI_SIZE", "4")];
        assert_eq!(numbers(&over_two), (3, 4, 3));
        let twice = [("RANK", "1"), ("WORLD_SIZE", "2"), ("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "2")];
        assert_eq!(numbers(&twice), (1, 2, 1));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (variables, words) in [
            (&[("RANK", "1")][..], &["`RANK`", "no WORLD_SIZE", "set both"][..]),
            (&[("WORLD_SIZE", "2")], &["`WORLD_SIZE`", "no RANK"]),
            (&[("OMPI_COMM_WORLD_SIZE", "2")], &["`OMPI_COMM_WORLD_SIZE`", "no OMPI_COMM_WORLD_RANK"]),
            (&[("RANK", "2"), ("WORLD_SIZE", "2")], &["`RANK`: found 2", "below WORLD_SIZE = 2"]),
            (&[("RANK", "one"), ("WORLD_SIZE", "2")], &["`RANK`: found `one`", "a number"]),
            (&[("RANK", "-1"), ("WORLD_SIZE", "2")], &["`RANK`: found `-1`"]),
            (&[("RANK", "0"), ("WORLD_SIZE", "0")], &["`RANK`: found 0", "below WORLD_SIZE = 0"]),
            (&[("RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "5")], &["`LOCAL_RANK`: found 5", "below 2"]),
            (
                &[("RANK", "1"), ("WORLD_SIZE", "2"), ("PMI_RANK", "0"), ("PMI_SIZE", "4")],
                &["RANK = 1 of WORLD_SIZE = 2", "rank 0 of 4, as PMI_RANK says", "one of torchrun"],
            ),
            (
                &[("RANK", "5"), ("WORLD_SIZE", "8"), ("LOCAL_WORLD_SIZE", "4")],
                &["`LOCAL_WORLD_SIZE`", "4 of 8 ranks on this machine", "one machine"],
            ),
            (
                &[("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "4"), ("SLURM_STEP_NUM_NODES", "2")],
                &["4 ranks on 2 machines", "one machine"],
            ),
        ] {
            let text = read(variables).unwrap_err().to_string();
            assert!(words.iter().all(|word| text.contains(word)), "{variables:?}: {text}");
            assert!(text.contains("help"), "{text}");
        }
    }
}
