//! Token ids, truncation and word alignment, against transformers and by hand.

use super::Folder;
use mtl_zoo::data::packing::IGNORE;
use mtl_zoo::data::statistics::TargetStatistics;
use mtl_zoo::data::{
    Batch, Encoded, Example, Input, NO_TOKEN, Row, Target, Targets, TaskStatistics, TokenCache, Tokenizer,
};
use mtl_zoo::recipe::TaskType;
use serde_json::{Value, json};
use std::path::Path;

const VOCABULARY: [&str; 12] =
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "long", "##er", "##est", ".", "word"];

/// A BERT tokenizer of a few words, with the padding and truncation that many files on the Hub have.
fn json() -> String {
    let vocabulary: serde_json::Map<_, _> =
        VOCABULARY.iter().enumerate().map(|(id, token)| (token.to_string(), json!(id))).collect();
    let special = |token: &str, id: u32| {
        json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true})
    };
    json!({
        "version": "1.0",
        "truncation": {"direction": "Left", "max_length": 6, "strategy": "OnlyFirst", "stride": 1},
        "padding": {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": [special("[UNK]", 1), special("[CLS]", 2), special("[SEP]", 3)],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary},
    })
    .to_string()
}

fn tokenizer() -> Tokenizer {
    Tokenizer::from_bytes(json()).unwrap()
}

fn words(words: &[&str]) -> Input {
    Input::Words(words.iter().map(|&word| word.into()).collect())
}

fn encode(input: Input, max_tokens: usize) -> Encoded {
    tokenizer().encode(&[&input], max_tokens).unwrap().swap_remove(0)
}

#[test]
fn settings_in_the_file_do_not_count() {
    let encoded = encode(Input::Text("A b c. longer longest word".into()), 20);
    assert_eq!(encoded.ids, [2, 4, 5, 6, 10, 7, 8, 7, 9, 11, 3]);
    assert!(!encoded.truncated && encoded.first_tokens.is_empty());
    let encoded = encode(Input::Text("a b c a b c".into()), 5);
    assert_eq!((encoded.ids, encoded.truncated), (vec![2, 4, 5, 6, 3], true));
}

#[test]
fn pairs_lose_the_end_of_the_longer_text() {
    let pair = |one: &str, other: &str, max: usize| encode(Input::Pair(one.into(), other.into()), max);
    let encoded = pair("a b", "c", 6);
    assert_eq!((&encoded.ids[..], encoded.truncated), (&[2, 4, 5, 3, 6, 3][..], false));
    assert_eq!(encoded.type_ids, [0, 0, 0, 0, 1, 1]);
    assert_eq!(pair("a b c a b c", "c", 7).ids, [2, 4, 5, 6, 3, 6, 3]);
    assert_eq!(pair("c", "a b c a b c", 7).ids, [2, 6, 3, 4, 5, 6, 3]);
    assert_eq!(pair("a a a a", "b b b b b", 8).ids, [2, 4, 4, 3, 5, 5, 5, 3]);
}

#[test]
fn words_keep_their_tags() {
    let encoded = encode(words(&["longer", "\u{7}", "a", "", "b"]), 20);
    assert_eq!(encoded.ids, [2, 7, 8, 4, 5, 3]);
    assert_eq!(encoded.first_tokens, [1, NO_TOKEN, 3, NO_TOKEN, 4]);
    let encoded = encode(words(&["\u{7}", "longer", "longest", "a"]), 5);
    assert_eq!((&encoded.ids[..], &encoded.first_tokens[..]), (&[2, 7, 8, 7, 3][..], &[NO_TOKEN, 1, 3][..]));
    assert!(encoded.truncated);

    let encoded = encode(words(&["longer", "\u{7}", "a", "b"]), 5);
    let example = Example { encoded, target: Target::Tags(vec![10, 11, 12, 13]) };
    let batch = Batch::new([vec![(0, 14, vec![&example])]]);
    assert_eq!(batch.packed.ids, [2, 7, 8, 4, 3]);
    assert_eq!(batch.tasks[0].targets, Targets::Tags(vec![IGNORE, 10, IGNORE, 12, IGNORE]));
}

#[test]
fn same_order_as_the_inputs_and_the_same_alone() {
    let texts: Vec<_> = (0..500).map(|n| Input::Text(["a ", "longer ", "word b "][n % 3].repeat(n % 17 + 1))).collect();
    let tokenizer = tokenizer();
    let together = tokenizer.encode(&texts.iter().collect::<Vec<_>>(), 16).unwrap();
    for (text, encoded) in texts.iter().zip(&together) {
        assert_eq!(&tokenizer.encode(&[text], 16).unwrap()[0], encoded);
        assert!(encoded.ids.len() <= 16 && encoded.ids.len() == encoded.type_ids.len());
    }
}

#[test]
fn file_vocabulary_and_fingerprint() {
    let folder = Folder::new();
    let path = folder.write("tokenizer.json", json());
    let tokenizer = Tokenizer::from_file(&path).unwrap();
    assert_eq!(tokenizer.vocab_size(), VOCABULARY.len());
    assert_eq!(tokenizer.fingerprint().len(), 64);
    assert_eq!(tokenizer.fingerprint(), self::tokenizer().fingerprint());
    let absent = Tokenizer::from_file(folder.path("absent.json")).unwrap_err().to_string();
    assert!(absent.contains("absent.json: found no such file"), "{absent}");
    let broken = Tokenizer::from_file(folder.write("broken.json", "{")).unwrap_err().to_string();
    assert!(broken.contains("broken.json: found "), "{broken}");
    assert!(Tokenizer::from_bytes("{}").is_err());
}

#[test]
fn a_template_with_an_undefined_token_is_refused() {
    let mut file: serde_json::Value = serde_json::from_str(&json()).unwrap();
    let template =
        serde_json::json!([{"SpecialToken": {"id": "[GONE]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]);
    let processor =
        |single| serde_json::json!({"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": {}});
    for broken in [processor(&template), serde_json::json!({"type": "Sequence", "processors": [processor(&template)]})]
    {
        file["post_processor"] = broken;
        let message = Tokenizer::from_bytes(file.to_string()).unwrap_err().to_string();
        assert!(message.contains("tokenizer.json"), "{message}");
    }
}

#[test]
fn room_for_special_tokens_is_needed() {
    for (input, max_tokens, least) in [
        (Input::Text("a".into()), 2, "at least 3"),
        (Input::Pair("a".into(), "b".into()), 4, "at least 5"),
        (words(&["a"]), 0, "at least 3"),
    ] {
        let error = tokenizer().encode(&[&input], max_tokens).unwrap_err().to_string();
        assert!(error.starts_with("`backbone.max_tokens`: found ") && error.contains(least), "{error}");
    }
}

#[test]
fn statistics_of_splits() {
    let row = |text: &str, class| Row { input: Input::Text(text.into()), target: Target::Class(class) };
    let rows = [row("a", 0), row("a b c a b c", 2), row("a b", 2), row("a b c", 0)];
    let examples = tokenizer().examples(&rows, 6).unwrap();
    let labels = ["x", "y", "z"].map(String::from);
    let splits = [("train", &examples[..]), ("validation", &examples[..0])];
    let task = TaskStatistics::new("t", TaskType::Classification, &labels, splits);
    let train = &task.splits["train"];
    assert_eq!(serde_json::to_value(&train.targets).unwrap(), json!({"counts": {"x": 2, "y": 0, "z": 2}}));
    let tokens = &train.tokens;
    assert_eq!((tokens.min, tokens.max, tokens.p95, tokens.total, tokens.truncated), (3, 6, 6, 18, 1));
    assert_eq!((tokens.median, tokens.mean), (4.5, 4.5));
    assert_eq!((task.splits["validation"].rows, task.splits["validation"].tokens.max), (0, 0));

    let values = [1.0, 3.0, 5.0].map(|value| Row { target: Target::Value(value), ..row("a", 0) });
    let task = TaskStatistics::new(
        "t",
        TaskType::Regression,
        &[],
        [("train", &tokenizer().examples(&values, 9).unwrap()[..])],
    );
    let sd = (8.0f64 / 3.0).sqrt();
    assert_eq!(task.splits["train"].targets, TargetStatistics::Values { mean: 3.0, sd, min: 1.0, max: 5.0 });
}

#[test]
fn as_transformers_does() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let golden = std::fs::read_to_string(root.join("tests/golden/tokenizer.json")).unwrap();
    let golden: Value = serde_json::from_str(&golden).unwrap();
    let tokenizer = Tokenizer::from_file(root.join("zoo/bundled/backbone/tokenizer.json")).unwrap();
    let made_with = golden["tokenizer"].as_str().unwrap();
    assert_eq!(tokenizer.fingerprint(), made_with, "run scripts/make_tokenizer_goldens.py again");
    let texts = |value: &Value| serde_json::from_value::<Vec<String>>(value.clone()).ok();
    let numbers = |value: &Value| -> Vec<u32> {
        value.as_array().unwrap().iter().map(|id| id.as_u64().map_or(NO_TOKEN, |id| id as u32)).collect()
    };
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() > 200);
    for case in cases {
        let input = match (case["text"].as_str(), texts(&case["pair"]), texts(&case["words"])) {
            (Some(text), ..) => Input::Text(text.into()),
            (_, Some(pair), _) => Input::Pair(pair[0].clone(), pair[1].clone()),
            (_, _, words) => Input::Words(words.unwrap()),
        };
        let expected = Encoded {
            ids: numbers(&case["ids"]),
            type_ids: numbers(&case["type_ids"]),
            first_tokens: numbers(&case["first_tokens"]),
            truncated: case["truncated"].as_bool().unwrap(),
        };
        let max_tokens = case["max_tokens"].as_u64().unwrap() as usize;
        assert_eq!(tokenizer.encode(&[&input], max_tokens).unwrap()[0], expected, "{case}");
    }
}

#[test]
fn a_cache_gives_the_same_tokens_and_mends_itself() {
    let folder = tempfile::tempdir().unwrap();
    let cache = TokenCache::new(folder.path().join("tokens"));
    let row = |input| Row { input, target: Target::Class(1) };
    let rows = [
        row(Input::Text("a b c a b c".into())),
        row(Input::Pair("longer word".into(), "c".into())),
        row(words(&["longest", "\u{7}", "a", "b", "c"])),
    ];
    let files = || {
        let mut files: Vec<_> =
            std::fs::read_dir(folder.path().join("tokens")).unwrap().map(|f| f.unwrap().path()).collect();
        files.sort();
        files
    };
    let tokenizer = tokenizer();
    let direct = tokenizer.examples(&rows, 6).unwrap();
    assert_eq!(cache.examples(&tokenizer, &rows, 6).unwrap(), direct, "made");
    assert_eq!(files().len(), 1);
    assert_eq!(cache.examples(&tokenizer, &rows, 6).unwrap(), direct, "read");
    assert_eq!(files().len(), 1);

    // That it is read: another program's tokens under the same name would come back.
    let path = files().remove(0);
    let whole = std::fs::read(&path).unwrap();
    for damaged in [&whole[..whole.len() - 1], &whole[..20], b"", &[&whole[..40], &[9], &whole[41..]].concat()] {
        std::fs::write(&path, damaged).unwrap();
        assert_eq!(cache.examples(&tokenizer, &rows, 6).unwrap(), direct, "mended");
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }

    // Whatever decides the tokens decides the file.
    cache.examples(&tokenizer, &rows, 7).unwrap();
    cache.examples(&tokenizer, &rows[..2], 6).unwrap();
    let moved = [row(Input::Pair("longer wor".into(), "dc".into()))];
    let one = [rows[1].clone()];
    assert_ne!(cache.examples(&tokenizer, &moved, 6).unwrap(), cache.examples(&tokenizer, &one, 6).unwrap());
    assert_eq!(files().len(), 5);
    let other_targets = [Row { target: Target::Class(0), ..one[0].clone() }];
    assert_eq!(cache.examples(&tokenizer, &other_targets, 6).unwrap()[0].target, Target::Class(0));
    assert_eq!(files().len(), 5, "targets are not tokens");
    assert!(cache.examples(&tokenizer, &rows, 1).is_err(), "errors come through");
}

#[test]
fn a_cache_that_cannot_be_written_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").unwrap();
    let rows = [Row { input: Input::Text("a b".into()), target: Target::Class(1) }];
    let tokenizer = tokenizer();
    assert_eq!(TokenCache::new(&file).examples(&tokenizer, &rows, 6).unwrap(), tokenizer.examples(&rows, 6).unwrap());
}
