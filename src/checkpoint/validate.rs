//! Whether a manifest can be true, on its own and beside the tensors. Writing and reading check the same.

use super::{CONFIG_FILE, HeadInfo, InputKind, MANIFEST_FILE, MODEL_FILE, Manifest, TOKENIZER_FILE};
use crate::error::{Error, Fault, Problem, Result};
use crate::recipe::TaskType;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Sizes beyond any real model.
const MAX_HEADS: usize = 1024;
const MAX_LABELS: usize = 1 << 20;
const MAX_TOKENS: usize = 1 << 20;
const MAX_HIDDEN: u64 = 1 << 16;

const EXPORT: &str = "the manifest was edited or damaged; export the checkpoint again";

/// Whether this can name a task: 1 to 64 ASCII letters, digits, `_` or `-`. Tensor names contain it.
pub fn is_task_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// Whether this names a file directly in a folder on every system: no separators, no leading dot, no control characters.
pub fn is_plain_file_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && !name.starts_with('.')
        && !name.chars().any(|c| c.is_control() || matches!(c, '/' | '\\' | ':'))
}

/// The tensors of a head and their shapes.
pub fn head_tensors(task: &str, head: &HeadInfo, hidden: usize) -> [(String, Vec<usize>); 2] {
    let outputs = head.outputs();
    [(format!("heads.{task}.weight"), vec![outputs, hidden]), (format!("heads.{task}.bias"), vec![outputs])]
}

impl Manifest {
    /// Checks that the values do not contradict each other and that no size is absurd; `path` only names the file.
    ///
    /// # Errors
    /// [`Fault::Path`] for names that could lead elsewhere, [`Fault::Value`] for all else.
    pub fn check(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let wrong = |key: &str, found: String, expected: String| {
            Problem::new(found, expected, EXPORT).file(path).key(key).checkpoint(Fault::Value)
        };
        if !(1..=MAX_HEADS).contains(&self.heads.len()) {
            return Err(wrong("heads", format!("{} heads", self.heads.len()), format!("1 to {MAX_HEADS}")));
        }
        if !(1..=MAX_TOKENS).contains(&self.max_tokens) {
            return Err(wrong("max_tokens", self.max_tokens.to_string(), format!("1 to {MAX_TOKENS}")));
        }
        for (task, head) in &self.heads {
            if !is_task_name(task) {
                let found = format!("task name {:?}", task.chars().take(80).collect::<String>());
                let problem = Problem::new(found, "1 to 64 letters, digits, `_` or `-`", EXPORT);
                return Err(problem.file(path).key("heads").checkpoint(Fault::Path));
            }
            check_head(head)
                .map_err(|(key, found, expected)| wrong(&format!("heads.{task}.{key}"), found, expected))?;
        }
        for (file, hash) in &self.sha256 {
            if !is_plain_file_name(file) {
                let found = format!("file name {:?}", file.chars().take(80).collect::<String>());
                let problem = Problem::new(found, "the name of a file in this folder", EXPORT);
                return Err(problem.file(path).key("sha256").checkpoint(Fault::Path));
            }
            if hash.len() != 64 || !hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                let found = format!("{:?}", hash.chars().take(80).collect::<String>());
                return Err(wrong(&format!("sha256.{file}"), found, "64 lowercase hexadecimal digits".into()));
            }
        }
        Ok(())
    }

    /// Checks that the files every checkpoint needs have a hash.
    pub(super) fn check_files(&self, path: &Path) -> Result<()> {
        match [MODEL_FILE, CONFIG_FILE, TOKENIZER_FILE].iter().find(|file| !self.sha256.contains_key(**file)) {
            None => Ok(()),
            Some(file) => {
                let problem = Problem::new(format!("no hash of {file}"), "a SHA-256 of each file", EXPORT);
                Err(problem.file(path).key("sha256").checkpoint(Fault::Value))
            }
        }
    }

    /// Checks that every head has its tensors in their shapes, and that no head is there that the manifest does not
    /// name. `tensors` gives each tensor's name and shape; `path` names their file in errors.
    pub(super) fn check_tensors<'a>(
        &self,
        path: &Path,
        hidden: usize,
        tensors: impl Iterator<Item = (&'a str, &'a [usize])>,
    ) -> Result<()> {
        let tensors: HashMap<&str, &[usize]> = tensors.filter(|(name, _)| name.starts_with("heads.")).collect();
        for (task, head) in &self.heads {
            for (name, shape) in head_tensors(task, head, hidden) {
                let help = format!("the tensors and {MANIFEST_FILE} belong to different models; export again");
                let refuse = |found: String, expected: String, fault: Fault| -> Result<()> {
                    Err(Problem::new(found, expected, &help).file(path).key(&name).checkpoint(fault))
                };
                match tensors.get(name.as_str()) {
                    None => refuse("no such tensor".into(), format!("shape {shape:?}"), Fault::MissingTensor)?,
                    Some(found) if **found != shape => {
                        let expected = format!("{shape:?} ({} outputs, {hidden} hidden)", head.outputs());
                        refuse(format!("shape {found:?}"), expected, Fault::Shape)?;
                    }
                    Some(_) => {}
                }
            }
        }
        let unknown = |name: &str| {
            let task = name.strip_prefix("heads.")?.rsplit_once('.')?.0;
            (!self.heads.contains_key(task)).then(|| task.to_owned())
        };
        match tensors.keys().filter_map(|name| unknown(name)).min() {
            None => Ok(()),
            Some(task) => {
                let found = format!("tensors of a head {task:?}");
                let problem = Problem::new(found, format!("only heads that {MANIFEST_FILE} names"), EXPORT);
                Err(problem.file(path).checkpoint(Fault::Value))
            }
        }
    }
}

fn check_head(head: &HeadInfo) -> std::result::Result<(), (&'static str, String, String)> {
    let (least, most) = match head.kind {
        TaskType::Regression => (0, 0),
        TaskType::Classification => (2, MAX_LABELS),
        TaskType::MultiLabel | TaskType::TokenClassification => (1, MAX_LABELS),
    };
    let count = head.labels.len();
    if !(least..=most).contains(&count) {
        let expected = if most == 0 { "none for regression".into() } else { format!("{least} to {most}") };
        return Err(("labels", format!("{count} labels"), expected));
    }
    let mut seen = HashSet::with_capacity(count);
    if let Some(twice) = head.labels.iter().find(|label| !seen.insert(label.as_str())) {
        return Err(("labels", format!("label {twice:?} twice"), "each label once".into()));
    }
    if (head.input == InputKind::Words) != (head.kind == TaskType::TokenClassification) {
        let found = format!("{:?} for {:?}", head.input, head.kind);
        return Err(("input", found, "words for token classification, and for nothing else".into()));
    }
    Ok(())
}

/// Width of the hidden states, from the backbone's configuration.
pub(super) fn hidden_size(path: &Path, config: &[u8]) -> Result<usize> {
    let help = "use the config.json that lies beside the backbone's weights";
    let refuse = |found: String, expected: &str, fault| -> Error {
        Problem::new(found, expected, help).file(path).key("hidden_size").checkpoint(fault)
    };
    let config: serde_json::Value = serde_json::from_slice(config).map_err(|error| {
        let problem = Problem::new(error.to_string(), "the configuration of a backbone", help).file(path);
        problem.line(error.line()).checkpoint(Fault::Json)
    })?;
    let size = config.get("hidden_size").or_else(|| config.get("dim")).unwrap_or(&serde_json::Value::Null);
    match size.as_u64() {
        Some(hidden @ 1..=MAX_HIDDEN) => Ok(hidden as usize),
        Some(hidden) => Err(refuse(hidden.to_string(), "1 to 65536", Fault::Value)),
        None => Err(refuse(size.to_string().chars().take(80).collect(), "a whole number", Fault::Json)),
    }
}
