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
    "bert-base-multilingual-cased"
    "bert-base-uncased"
    "bge-base-en-v1.5"
    "bge-small-en-v1.5"
    "bundled"
    "paraphrase-minilm-l3-v2"
);

pub(super) const TASKS: Texts = cards!("tasks":
    "vader-amazon"
    "vader-movies"
    "vader-nyt"
    "vader-tweets"
);

pub(super) const RECIPES: Texts = cards!("recipes":
    "sentiment"
);
