//! The tokenizer's files, with what Python's `AutoTokenizer` needs beside `tokenizer.json`.

use super::config::Object;
use crate::checkpoint::{CheckpointFolder, TOKENIZER_FILE};
use crate::error::{Fault, IoContext, Problem, Result};
use crate::files::sha256_hex;
use crate::hub::OPTIONAL_TOKENIZER_FILES;
use serde_json::Value;

const SETTINGS_FILE: &str = "tokenizer_config.json";

/// Special tokens by their role, under the names that families have for them.
const ROLES: [(&str, [&str; 2]); 5] = [
    ("unk_token", ["[UNK]", "<unk>"]),
    ("sep_token", ["[SEP]", "</s>"]),
    ("pad_token", ["[PAD]", "<pad>"]),
    ("cls_token", ["[CLS]", "<s>"]),
    ("mask_token", ["[MASK]", "<mask>"]),
];

/// The checkpoint's tokenizer files; the settings are completed, or made where there are none.
pub(super) fn files(checkpoint: &CheckpointFolder) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = vec![(TOKENIZER_FILE.to_owned(), checkpoint.tokenizer.clone())];
    let mut settings = Object::empty();
    for name in OPTIONAL_TOKENIZER_FILES {
        let Some(hash) = checkpoint.manifest.sha256.get(name) else { continue };
        let path = checkpoint.dir.join(name);
        let bytes = std::fs::read(&path).at("read", &path)?;
        if sha256_hex(&bytes) != *hash {
            let help = "something writes to the folder; export again when it is done";
            let problem = Problem::new("other contents than a moment ago", format!("SHA-256 {hash}"), help);
            return Err(problem.file(path).checkpoint(Fault::Hash));
        }
        match name {
            SETTINGS_FILE => settings = Object::read(&path, &bytes)?,
            _ => files.push((name.to_owned(), bytes)),
        }
    }
    complete(&mut settings, &checkpoint.tokenizer, checkpoint.manifest.max_tokens);
    files.push((SETTINGS_FILE.to_owned(), settings.bytes()));
    Ok(files)
}

/// Length as trained, and what the class would otherwise guess.
fn complete(settings: &mut Object, tokenizer: &[u8], max_tokens: usize) {
    let tokenizer: Value = serde_json::from_slice(tokenizer).unwrap_or_default();
    let normalizer = &tokenizer["normalizer"];
    let is_bert = tokenizer["model"]["type"] == "WordPiece"
        && normalizer["type"] == "BertNormalizer"
        && tokenizer["pre_tokenizer"]["type"] == "BertPreTokenizer";
    ["auto_map", "name_or_path", "special_tokens_map_file", "tokenizer_file"]
        .iter()
        .for_each(|key| settings.remove(key));
    // Python's BERT tokenizer makes its normalizer anew from these; any other is taken from tokenizer.json as it is.
    settings.default("tokenizer_class", if is_bert { "BertTokenizer" } else { "PreTrainedTokenizerFast" });
    if is_bert {
        settings.default("do_lower_case", normalizer["lowercase"].clone());
        settings.default("strip_accents", normalizer["strip_accents"].clone());
        settings.default("tokenize_chinese_chars", normalizer["handle_chinese_chars"].clone());
    }
    let added = tokenizer["added_tokens"].as_array().into_iter().flatten();
    let special: Vec<&str> = added.filter_map(|token| token["content"].as_str()).collect();
    for (role, names) in ROLES {
        if let Some(name) = names.into_iter().find(|name| special.contains(name)) {
            settings.default(role, name);
        }
    }
    settings.set("model_max_length", max_tokens);
}
