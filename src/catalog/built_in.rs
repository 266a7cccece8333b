//! The cards that are compiled in. A test keeps this list the same as the files under `zoo/`.

/// Names and texts of the cards of a folder.
pub(super) type Texts = &'static [(&'static str, &'static str)];

macro_rules! cards {
    ($folder:literal: $($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../zoo/", $folder, "/", $name, ".toml")))),*]
    };
}

pub(super) const BACKBONES: Texts = cards!("backbones":
    "all-minilm-l12-v2"
    "all-minilm-l6-v2"
    "bert-base-cased"
    "bert-base-chinese"
    "bert-base-german-cased"
    "bert-base-multilingual-cased"
    "bert-base-multilingual-uncased"
    "bert-base-uncased"
    "bert-large-uncased"
    "bge-base-en-v1.5"
    "bge-base-zh-v1.5"
    "bge-large-en-v1.5"
    "bge-small-en-v1.5"
    "bge-small-zh-v1.5"
    "bundled"
    "e5-base-v2"
    "e5-small-v2"
    "gte-base"
    "gte-small"
    "labse"
    "multi-qa-minilm-l6-cos-v1"
    "multilingual-e5-small"
    "paraphrase-minilm-l3-v2"
    "paraphrase-multilingual-minilm-l12-v2"
    "rubert-tiny2"
);

pub(super) const TASKS: Texts = cards!("tasks":
    "afqmc"
    "ag-news"
    "banking77"
    "chnsenticorp"
    "civil-comments"
    "clinc150"
    "cola"
    "conll2003-ner"
    "conll2003-pos"
    "dbpedia14"
    "emotion"
    "go-emotions"
    "imdb"
    "language-identification"
    "massive-intent"
    "massive-intent-en"
    "massive-intent-zh"
    "mnli"
    "mrpc"
    "paws"
    "paws-x"
    "paws-x-zh"
    "qnli"
    "qqp"
    "rotten-tomatoes"
    "rte"
    "sst2"
    "sst5"
    "stsb"
    "tnews"
    "trec"
    "tweeteval-emotion"
    "tweeteval-hate"
    "tweeteval-irony"
    "tweeteval-offensive"
    "tweeteval-sentiment"
    "vader-amazon"
    "vader-movies"
    "vader-nyt"
    "vader-tweets"
    "wikiann"
    "wikiann-en"
    "wikiann-zh"
    "wnut17"
    "xnli-zh"
    "yelp-stars"
);

pub(super) const CHECKPOINTS: Texts = cards!("checkpoints":
    "sentiment"
);

pub(super) const RECIPES: Texts = cards!("recipes":
    "chinese"
    "pairs"
    "questions"
    "sentiment"
    "tagging"
    "tweets"
);
