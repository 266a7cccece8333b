//! The one error type of the library.
//!
//! Errors that a user can mend carry a [`Problem`]: where it is, what was found, what was expected and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A recipe or card that cannot be used as written.
    #[error("{0}")]
    Recipe(Box<Problem>),
    /// A command-line argument that cannot be used.
    #[error("{0}")]
    Argument(Box<Problem>),
    /// A data file, row or column that cannot be used.
    #[error("{0}")]
    Data(Box<Problem>),
    /// A backbone that cannot be read or is of an unknown kind.
    #[error("{0}")]
    Backbone(Box<Problem>),
    /// A checkpoint that was refused; `fault` says which promise of the format it breaks.
    #[error("{problem}")]
    Checkpoint {
        /// Which promise is broken.
        fault: Fault,
        /// The message for people.
        problem: Box<Problem>,
    },
    /// A device that has not what a run needs.
    #[error("{0}")]
    Device(Box<Problem>),
    /// Processes that train together and lose each other.
    #[error("{0}")]
    Parallel(Box<Problem>),
    /// The Hub could not be reached or refused.
    #[error("{0}")]
    Hub(Box<Problem>),
    /// A loss or gradient became NaN or infinite.
    #[error(
        "step {step}: {what} of task `{task}` is {value}\n  help: lower `training.learning_rate`, or look at the rows of that task; the last good state is in the run folder"
    )]
    NotFinite {
        /// Optimizer step, counted from 1.
        step: usize,
        /// Name of the task.
        task: String,
        /// "the loss", or "the gradient of `tensor`".
        what: String,
        /// "NaN" or "infinite".
        value: &'static str,
    },
    /// A file could not be read or written.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// "read", "write", "create", ...
        action: &'static str,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A tensor operation failed.
    #[error("tensor operation failed: {0}")]
    Candle(#[from] candle_core::Error),
}

/// Which promise of the checkpoint format a file breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A file of the format is absent.
    MissingFile,
    /// A file ends before what its header promises, or goes on after it.
    Length,
    /// The safetensors header is not what the format says.
    Header,
    /// Two tensors share bytes, or bytes belong to no tensor.
    Overlap,
    /// A tensor's shape is not what the configuration says.
    Shape,
    /// A tensor's dtype cannot be used here.
    Dtype,
    /// A tensor is absent.
    MissingTensor,
    /// A name that could lead outside the folder.
    Path,
    /// The file's hash is not the one that the manifest gives.
    Hash,
    /// A JSON file cannot be read as what it should be.
    Json,
    /// The format is newer than this program.
    Version,
    /// Values that contradict each other, or sizes beyond any real model.
    Value,
}

/// What a person needs to mend a bad input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    file: Option<PathBuf>,
    line: Option<usize>,
    key: Option<String>,
    found: String,
    expected: String,
    help: String,
}

impl Problem {
    /// A problem: what was found, what was expected instead, and what to do about it.
    pub fn new(found: impl Into<String>, expected: impl Into<String>, help: impl Into<String>) -> Self {
        Self { found: found.into(), expected: expected.into(), help: help.into(), ..Self::default() }
    }

    /// Names the file.
    pub fn file(mut self, file: impl AsRef<Path>) -> Self {
        self.file = Some(file.as_ref().to_owned());
        self
    }

    /// Names the line, counted from 1.
    pub fn line(mut self, line: usize) -> Self {
        self.line = Some(line);
        self
    }

    /// Names the key, column, flag or tensor.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// What was found.
    pub fn found(&self) -> &str {
        &self.found
    }

    /// As an error of a device.
    pub fn device(self) -> Error {
        Error::Device(Box::new(self))
    }

    /// As an error between the ranks of a run.
    pub fn parallel(self) -> Error {
        Error::Parallel(Box::new(self))
    }

    /// As an error of a recipe or card.
    pub fn recipe(self) -> Error {
        Error::Recipe(Box::new(self))
    }

    /// As an error of a command-line argument.
    pub fn argument(self) -> Error {
        Error::Argument(Box::new(self))
    }

    /// As an error of a data file.
    pub fn data(self) -> Error {
        Error::Data(Box::new(self))
    }

    /// As an error of a backbone.
    pub fn backbone(self) -> Error {
        Error::Backbone(Box::new(self))
    }

    /// As an error of a checkpoint.
    pub fn checkpoint(self, fault: Fault) -> Error {
        Error::Checkpoint { fault, problem: Box::new(self) }
    }

    /// As an error of the Hub.
    pub fn hub(self) -> Error {
        Error::Hub(Box::new(self))
    }
}

/// `file:line: key `k`: found …, expected …` and a help line below, as compilers print it.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{}:{line}: ", file.display())?,
            (Some(file), None) => write!(f, "{}: ", file.display())?,
            (None, Some(line)) => write!(f, "line {line}: ")?,
            (None, None) => {}
        }
        if let Some(key) = &self.key {
            write!(f, "`{key}`: ")?;
        }
        write!(f, "found {}, expected {}\n  help: {}", self.found, self.expected, self.help)
    }
}

/// Attaches the path to an I/O error.
pub trait IoContext<T> {
    /// Says which file could not be read, written, created...
    fn at(self, action: &'static str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn at(self, action: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| Error::Io { path: path.as_ref().to_owned(), action, source })
    }
}
