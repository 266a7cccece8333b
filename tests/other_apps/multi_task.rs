//! What `MultiTask` promises.

use crate::{TEXTS, compare, make, texts};
use indexmap::IndexMap;
use mtl_zoo::checkpoint::MANIFEST_FILE;
use mtl_zoo::files::sha256_hex;
use mtl_zoo::recipe::CheckpointDtype;
use mtl_zoo::{Answer, Error, Fault, Input, MultiTask};
use serde_json::{Value, json};
use std::fs;

fn predictor(max_tokens: usize) -> MultiTask {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), CheckpointDtype::F32, max_tokens);
    MultiTask::load(dir.path()).unwrap()
}

fn argument(result: mtl_zoo::Result<Vec<IndexMap<String, Answer>>>) -> String {
    match result {
        Err(Error::Argument(problem)) => problem.to_string(),
        other => panic!("expected an argument to be refused, not {other:?}"),
    }
}

#[test]
fn can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<MultiTask>();
}

#[test]
fn many_inputs_get_the_answers_of_each_alone() {
    let predictor = predictor(64);
    // More than one batch of 4096 tokens, long and short mixed.
    let many: Vec<Input> = (0..40).flat_map(|_| texts()).collect();
    let answers = predictor.predict(&many, &[]).unwrap();
    assert_eq!(answers.len(), many.len());
    for (index, input) in texts().iter().enumerate() {
        let alone = json!(predictor.predict(std::slice::from_ref(input), &[]).unwrap()[0]);
        for round in [0, 17, 39] {
            let off = compare(&alone, &json!(answers[round * TEXTS.len() + index]), TEXTS[index]);
            assert!(off < 1e-5, "{input:?}: {off:e}");
        }
    }
    assert!(predictor.predict(&[], &[]).unwrap().is_empty());
    assert!(predictor.predict(&[], &["tags"]).unwrap().is_empty());
}

#[test]
fn heads_answer_in_the_order_that_is_asked_for() {
    let predictor = predictor(64);
    let all = predictor.predict(&texts(), &[]).unwrap();
    for heads in [&["score", "topic"][..], &["tags"], &["tags", "moods"], &["moods"]] {
        for (answers, all) in predictor.predict(&texts(), heads).unwrap().iter().zip(&all) {
            assert!(answers.keys().eq(heads));
            for (head, answer) in answers {
                assert!(compare(&json!(answer), &json!(all[head]), head) < 1e-5);
            }
        }
    }
}

#[test]
fn answers_are_json_as_documented() {
    let predictor = predictor(64);
    let answers: Value = json!(predictor.predict(&[Input::Text("a good day".into())], &[]).unwrap()[0]);
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&answers["topic"]), ["label", "probabilities"]);
    assert_eq!(keys(&answers["topic"]["probabilities"]), ["a", "b \"quoted\"", "ü"]);
    assert_eq!(keys(&answers["moods"]), ["labels", "probabilities"]);
    assert_eq!(keys(&answers["score"]), ["score"]);
    assert_eq!(keys(&answers["tags"]), ["tokens", "tags", "probabilities"]);
    assert_eq!(answers["tags"]["tokens"], json!(["a", "good", "day"]));
    let sum: f64 = answers["topic"]["probabilities"].as_object().unwrap().values().map(|p| p.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-6);
    for (label, p) in answers["moods"]["probabilities"].as_object().unwrap() {
        assert_eq!(answers["moods"]["labels"].as_array().unwrap().contains(&json!(label)), p.as_f64().unwrap() > 0.5);
    }
}

#[test]
fn words_without_tokens_have_no_tag() {
    let predictor = predictor(7);
    let words = ["one", "\u{1}", "two", "three", "four", "five", "six"].map(str::to_owned).to_vec();
    let answers = predictor.predict(&[Input::Words(words.clone())], &["tags"]).unwrap();
    let Answer::Tags { tokens, tags, probabilities } = &answers[0]["tags"] else { panic!("{answers:?}") };
    assert_eq!(*tokens, words);
    // Seven tokens: five pieces between [CLS] and [SEP], at least one a word.
    assert!(tags[0].is_some() && tags[1].is_none() && tags[2].is_some() && tags[6].is_none(), "{tags:?}");
    assert!(tags.iter().zip(probabilities).all(|(tag, p)| tag.is_some() == p.is_some()));
}

#[test]
fn words_are_read_as_a_text_by_the_other_heads() {
    let predictor = predictor(64);
    let words = Input::Words(["It", "'s", "a", "good", "day", "!"].map(str::to_owned).to_vec());
    let text = Input::Text("It 's a good day !".into());
    let both = predictor.predict(&[words, text], &[]).unwrap();
    assert!(compare(&json!(both[0]), &json!(both[1]), "words") < 1e-5);
}

#[test]
fn heads_that_cannot_read_the_input_are_refused() {
    let predictor = predictor(64);
    let text = Input::Text("one".into());
    let pair = Input::Pair("one".into(), "two".into());
    let answers = predictor.predict(std::slice::from_ref(&pair), &[]).unwrap();
    assert!(answers[0].keys().eq(["follows", "alike"]));

    let message = argument(predictor.predict(std::slice::from_ref(&text), &["topic", "mood"]));
    assert!(message.contains("\"mood\"") && message.contains("`moods`") && message.contains("inspect"), "{message}");
    let message = argument(predictor.predict(&[], &["mood"]));
    assert!(message.contains("`moods`"), "{message}");
    let message = argument(predictor.predict(std::slice::from_ref(&text), &["alike"]));
    assert!(message.contains("`alike`, which reads pairs") && message.contains("`topic`"), "{message}");
    assert!(!message.contains("`follows`"), "{message}");
    let message = argument(predictor.predict(std::slice::from_ref(&pair), &["tags"]));
    assert!(message.contains("`tags`, which reads words") && message.contains("`follows`"), "{message}");
    let message = argument(predictor.predict(&[text, pair], &[]));
    assert!(message.contains("no head can read") && message.contains("`alike` pairs of texts"), "{message}");
}

#[test]
fn files_of_different_models_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), CheckpointDtype::F32, 128);
    let path = dir.path().join(MANIFEST_FILE);
    let manifest = fs::read_to_string(&path).unwrap();
    fs::write(&path, manifest.replace("\"max_tokens\": 128", "\"max_tokens\": 1024")).unwrap();
    match MultiTask::load(dir.path()) {
        Err(Error::Checkpoint { fault: Fault::Value, problem }) => {
            let message = problem.to_string();
            assert!(message.contains("mtl_zoo.json: `max_tokens`: found 1024, expected at most 512"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn tokenizers_beyond_the_backbone_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), CheckpointDtype::F32, 128);
    let (tokenizer_path, manifest_path) = (dir.path().join("tokenizer.json"), dir.path().join(MANIFEST_FILE));
    let tokenizer: Value = serde_json::from_slice(&fs::read(&tokenizer_path).unwrap()).unwrap();
    let mut manifest: Value = serde_json::from_slice(&fs::read(&manifest_path).unwrap()).unwrap();
    // What a template adds is not in the vocabulary; a fuzzer found the first.
    let text = json!({"Sequence": {"id": "A", "type_id": 0}});
    let special = |id, segment| {
        let special = json!({"SpecialToken": {"id": "[CLS]", "type_id": segment}});
        let tokens = json!({"[CLS]": {"id": "[CLS]", "ids": [id], "tokens": ["[CLS]"]}});
        json!({"type": "TemplateProcessing", "single": [special, text], "pair": [special, text], "special_tokens": tokens})
    };
    let copies: Vec<Value> = vec![text.clone(); 600];
    let many = json!({"type": "TemplateProcessing", "single": copies, "pair": copies, "special_tokens": {}});
    for (processor, found) in [
        (special(2, 5), "found the segment 5, expected segments below 2"),
        (special(99_999, 0), "found the token id 99999, expected ids below"),
        (many, "tokens after truncation, expected at most 512"),
    ] {
        let mut tokenizer = tokenizer.clone();
        tokenizer["post_processor"] = processor;
        let bytes = tokenizer.to_string();
        fs::write(&tokenizer_path, &bytes).unwrap();
        manifest["sha256"]["tokenizer.json"] = json!(sha256_hex(bytes.as_bytes()));
        fs::write(&manifest_path, manifest.to_string()).unwrap();
        match MultiTask::load(dir.path()) {
            Err(Error::Checkpoint { fault: Fault::Value, problem }) => {
                let message = problem.to_string();
                assert!(message.contains(found) && message.contains("tokenizer.json: `post_processor`"), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
}
