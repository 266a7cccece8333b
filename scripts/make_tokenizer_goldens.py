#!/usr/bin/env python3
"""Makes tests/golden/tokenizer.json: what Hugging Face transformers makes of texts, pairs and pre-split words.

    python scripts/make_tokenizer_goldens.py

Needs: transformers. Tokenizer: zoo/bundled/backbone, called with `truncation=True, max_length=max_tokens`.
"""

import hashlib
import json
from pathlib import Path

from transformers import AutoTokenizer

ROOT = Path(__file__).resolve().parent.parent
BACKBONE = ROOT / "zoo" / "bundled" / "backbone"
GOLDEN = ROOT / "tests" / "golden" / "tokenizer.json"

SHORT = "Not bad."
MIDDLE = "The battery lasts two days, but the viewfinder is unbelievably uncomfortable!"
LONG = " ".join(["An over-long, meandering review that never comes to the point;"] * 6)
ODD = "Ünïcödé — “quotes”, 漢字, emoji 🙂 and a\ttab\u200b; [SEP] in the text, #hashtag @user 3.14 http://a.b/c?d=e"

TEXTS = [SHORT, MIDDLE, LONG, ODD, "a", "...", "\u0007", "[MASK] it", "e\u0301tude", "x" * 150]
PAIRS = [
    (SHORT, MIDDLE),
    (MIDDLE, SHORT),
    (MIDDLE, MIDDLE),
    (LONG, SHORT),
    (SHORT, LONG),
    (LONG, MIDDLE),
    (LONG, LONG),
    (ODD, LONG),
    ("\u0007", MIDDLE),
]
WORDS = [
    ["Confidence", "in", "the", "pound", "is", "widely", "expected"],
    ["@paulwalk", "It", "'s", "the", "unbelievable", "Empire", "State", "Building", "=", "ESB", "."],
    ["one", "\u0007", "two", "", "uncomfortableness", "\u200b", "three"],
    ["\u0007", "first", "is", "gone"],
    ["last", "is", "gone", "\u0007", "\u0000"],
    ["New York", "two words", "in one", "item"],
    ["漢字", "🙂", "naïve", "-", "http://a.b/c?d=e"],
    ["[SEP]", "is", "text"],
    ["internationalization"] * 12,
]
LIMITS = [4, 5, 6, 7, 8, 9, 13, 16, 32, 128]


def first_tokens(word_ids, words, truncated):
    """Position of each word's first token, None for words without tokens; words behind the cut are left out."""
    known = [word for word in word_ids if word is not None]
    count = (max(known) + 1 if known else 0) if truncated else words
    return [word_ids.index(word) if word in word_ids else None for word in range(count)]


def case(tokenizer, kind, value, limit):
    split = kind == "words"
    arguments = value if kind == "pair" else (value,)
    full = tokenizer(*arguments, is_split_into_words=split)
    cut = tokenizer(*arguments, is_split_into_words=split, truncation=True, max_length=limit)
    truncated = len(cut["input_ids"]) < len(full["input_ids"])
    words = first_tokens(cut.word_ids(), len(value), truncated) if split else []
    return {
        kind: value,
        "max_tokens": limit,
        "ids": cut["input_ids"],
        "type_ids": cut["token_type_ids"],
        "first_tokens": words,
        "truncated": truncated,
    }


def main():
    tokenizer = AutoTokenizer.from_pretrained(BACKBONE)
    cases = [
        case(tokenizer, kind, value, limit)
        for kind, values in [("text", TEXTS), ("pair", PAIRS), ("words", WORDS)]
        for value in values
        for limit in LIMITS
        if limit > 4 or kind != "pair"
    ]
    digest = hashlib.sha256((BACKBONE / "tokenizer.json").read_bytes()).hexdigest()
    rows = ",\n".join(json.dumps(row) for row in cases)
    GOLDEN.write_text(f'{{"tokenizer": "{digest}", "cases": [\n{rows}\n]}}\n')
    print(f"{len(cases)} cases in {GOLDEN.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
