//! A study's folder: what it is a study of, its runs, and a lock against a second program on the same folder.

use super::{Planned, RunResult};
use crate::error::{IoContext, Problem, Result};
use crate::files::{hash_file, sha256_hex, write_file};
use crate::hub::MODEL_FILE;
use crate::train::Prepared;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// Name of the file that says what a study is of.
pub const STUDY_FILE: &str = "study.json";
/// Name of the runs' folder.
pub const RUNS_FOLDER: &str = "runs";
/// Name of a run's result in its folder.
pub const RESULT_FILE: &str = "result.json";
/// Name of the file that a running study holds.
const LOCK_FILE: &str = ".lock";

/// The folder of a study that is open. Another program waits for no lock: it is told that there is one.
pub struct StudyFolder {
    folder: PathBuf,
    /// Of the data and the backbone.
    fingerprint: String,
    _lock: File,
}

/// A result with what it is the result of.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// Hash of the run's recipe, the data and the backbone.
    of: String,
    result: RunResult,
}

impl StudyFolder {
    /// Opens the folder, or makes it.
    ///
    /// # Errors
    /// If it holds a study of something else, another program works on it, or it cannot be written.
    pub fn open(folder: &Path, prepared: &Prepared) -> Result<Self> {
        std::fs::create_dir_all(folder.join(RUNS_FOLDER)).at("create", folder)?;
        let path = folder.join(LOCK_FILE);
        let lock = File::create(&path).at("create", &path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let help = "wait for it, stop it, or choose another folder with `--out`";
                let problem = Problem::new("a study that is going on", "a folder that no other program works on", help);
                return Err(problem.file(folder).argument());
            }
            Err(TryLockError::Error(source)) => return Err(source).at("lock", &path),
        }
        let about = json!({
            "mtl_zoo": env!("CARGO_PKG_VERSION"),
            "recipe": prepared.recipe,
            "data": prepared.fingerprints(),
            "backbone": hash_file(prepared.backbone.folder.join(MODEL_FILE))?,
        });
        let path = folder.join(STUDY_FILE);
        if path.exists() {
            let text = std::fs::read(&path).at("read", &path)?;
            let known: Value = serde_json::from_slice(&text).unwrap_or_default();
            if let Some(what) =
                ["mtl_zoo", "recipe", "data", "backbone"].into_iter().find(|key| known[*key] != about[*key])
            {
                let what = if what == "mtl_zoo" { "version of mtl-zoo" } else { what };
                let help = "choose another folder with `--out`, or remove this one";
                let problem =
                    Problem::new(format!("a study with another {what}"), "the study that was begun there", help);
                return Err(problem.file(folder).argument());
            }
        } else {
            let text = serde_json::to_string_pretty(&about).expect("numbers and names are always JSON");
            write_file(&path, |out| out.write_all(text.as_bytes()).at("write", &path))?;
        }
        let fingerprint = sha256_hex(json!([about["data"], about["backbone"]]).to_string().as_bytes());
        Ok(Self { folder: folder.to_owned(), fingerprint, _lock: lock })
    }

    /// Where the study lies.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Folder of a run.
    pub fn run(&self, name: &str) -> PathBuf {
        self.folder.join(RUNS_FOLDER).join(name)
    }

    /// The result of a run; `None` if it has not ended, or was planned differently.
    pub(super) fn load(&self, planned: &Planned) -> Result<Option<RunResult>> {
        let path = self.run(&planned.name()).join(RESULT_FILE);
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read(&path).at("read", &path)?;
        let stored: Stored = serde_json::from_slice(&text).map_err(|error| {
            let help = "remove the run's folder: the run is then done again";
            Problem::new(error.to_string(), "the result of a run", help).file(&path).argument()
        })?;
        Ok((stored.of == self.hash(planned)).then_some(stored.result))
    }

    pub(super) fn save(&self, planned: &Planned, result: RunResult) -> Result<RunResult> {
        let path = self.run(&planned.name()).join(RESULT_FILE);
        let stored = Stored { of: self.hash(planned), result };
        let text = serde_json::to_vec(&stored).expect("numbers and names are always JSON");
        write_file(&path, |out| out.write_all(&text).at("write", &path))?;
        Ok(stored.result)
    }

    fn hash(&self, planned: &Planned) -> String {
        sha256_hex(json!([self.fingerprint, planned]).to_string().as_bytes())
    }
}
