#!/usr/bin/env python3
"""Writes tests/golden/metrics.json: inputs and the values that scikit-learn, SciPy and seqeval give for them.

    pip install scikit-learn scipy seqeval
    python scripts/make_metric_goldens.py

Last run with scikit-learn 1.9.1, SciPy 1.17.1, seqeval 1.2.2. A value that these libraries leave undefined (NaN, or an
error) is null. Deviations are made here, each where the metric is computed, and documented in src/metrics/.
"""

import json
import math
import pathlib
import warnings

import numpy as np
from scipy import stats
from seqeval.metrics import accuracy_score as tag_accuracy
from seqeval.metrics import f1_score as entity_f1
from seqeval.metrics.sequence_labeling import get_entities
from sklearn import metrics as sk

warnings.simplefilter("ignore")
rng = np.random.default_rng(20240229)
cases = []


def defined(compute):
    """A finite float, or None where the library has no value."""
    try:
        value = float(compute())
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def f32(values):
    """What the Rust side reads: decimals rounded to f32, computed with in f64."""
    return np.asarray(values, dtype=np.float32).astype(np.float64)


# --- Classes ---------------------------------------------------------------------------------------------------------


def classes(name, expected, predicted, probabilities, count):
    expected, predicted = [int(c) for c in expected], [int(c) for c in predicted]
    scores = f32(probabilities).reshape(len(expected), count)

    def auroc():
        if count == 2:
            return sk.roc_auc_score(expected, scores[:, 1])
        return sk.roc_auc_score(expected, scores, multi_class="ovr", average="macro", labels=list(range(count)))

    def f1(average):
        return sk.f1_score(expected, predicted, average=average, zero_division=0)

    values = {
        "accuracy": defined(lambda: sk.accuracy_score(expected, predicted)),
        "balanced_accuracy": defined(lambda: sk.balanced_accuracy_score(expected, predicted)),
        "macro_f1": defined(lambda: f1("macro")),
        "micro_f1": defined(lambda: f1("micro")),
        "weighted_f1": defined(lambda: f1("weighted")),
        "matthews": defined(lambda: sk.matthews_corrcoef(expected, predicted)),
        "auroc": defined(auroc),
    }
    if not expected:
        values = dict.fromkeys(values)  # scikit-learn has 0 for some; an empty set has no accuracy.
    flat = [float(p) for row in probabilities for p in row]
    cases.append(dict(name=name, kind="classes", classes=count, expected=expected, predicted=predicted,
                      probabilities=flat, values=values))


def probabilities(expected, count, skill, parts):
    """Rows of multiples of 1/parts that sum to one and favour the expected class by `skill`; few parts make ties."""
    rows = []
    for c in expected:
        weights = rng.dirichlet(np.ones(count)) * (1 - skill)
        weights[c] += skill
        rows.append((rng.multinomial(parts, weights) / parts).round(6).tolist())
    return rows


def random_classes(name, examples, count, skill, parts=1000, prior=None, only=None):
    prior = np.ones(count) / count if prior is None else np.asarray(prior, dtype=float)
    expected = rng.choice(count if only is None else only, size=examples, p=prior)
    rows = probabilities(expected, count, skill, parts)
    classes(name, expected, np.argmax(rows, axis=1), rows, count)


random_classes("binary, random", 40, 2, 0.0)
random_classes("binary, skilled", 60, 2, 0.4)
random_classes("binary, imbalanced", 80, 2, 0.3, prior=[0.94, 0.06])
random_classes("binary, many ties", 60, 2, 0.3, parts=4)
random_classes("three classes", 50, 3, 0.3)
random_classes("three classes, ties", 50, 3, 0.3, parts=5)
random_classes("three classes, imbalanced", 90, 3, 0.2, prior=[0.8, 0.15, 0.05])
random_classes("seven classes", 70, 7, 0.4)
random_classes("eleven classes, few examples", 14, 11, 0.5)
random_classes("five classes, two never expected", 40, 5, 0.2, only=[0, 1, 3], prior=[0.5, 0.3, 0.2])
random_classes("four classes, one expected", 20, 4, 0.3, only=[2], prior=[1.0])
classes("binary, perfect", [0, 1, 1, 0], [0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3]], 2)
classes("binary, inverse", [0, 1, 1, 0], [1, 0, 0, 1], [[0.1, 0.9], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7]], 2)
classes("three classes, perfect", [0, 1, 2, 1], [0, 1, 2, 1], np.eye(3)[[0, 1, 2, 1]], 3)
classes("three classes, always wrong", [0, 1, 2, 1], [1, 2, 0, 0], np.eye(3)[[1, 2, 0, 0]], 3)
classes("binary, constant prediction", [0, 1, 0, 0, 1], [0] * 5, [[0.6, 0.4]] * 5, 2)
classes("three classes, constant prediction", [0, 1, 2, 2, 1], [2] * 5, [[0.25, 0.25, 0.5]] * 5, 3)
classes("single class, right", [1, 1, 1], [1, 1, 1], [[0.25, 0.75], [0.5, 0.5], [0.125, 0.875]], 2)
classes("single class, partly wrong", [1, 1, 1], [1, 0, 1], [[0.25, 0.75], [0.75, 0.25], [0.125, 0.875]], 2)
classes("predicted class never expected", [0, 1, 0, 1], [0, 2, 3, 1],
        [[0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1], [0.1, 0.1, 0.1, 0.7], [0.1, 0.7, 0.1, 0.1]], 4)
classes("one example", [1], [1], [[0.25, 0.75]], 2)
classes("one example, wrong", [0], [2], [[0.25, 0.25, 0.5]], 3)
classes("scores closer than f32 rounding of one", [0, 1, 0, 1, 1, 0], [0, 1, 0, 0, 1, 1],
        [[1 - p, p] for p in [1e-30, 2e-30, 1e-40, 5e-30, 0.3, 0.3000001]], 2)
classes("no examples", [], [], [], 3)

# --- Multi-label -----------------------------------------------------------------------------------------------------


def multi_label(name, expected, scores, threshold=0.5):
    expected = np.asarray(expected, dtype=bool)
    scores = np.asarray(scores, dtype=float).round(4)
    predicted = scores > threshold
    assert expected.shape[1] > 1, "scikit-learn takes one column for binary classes"

    def f1(average):
        return sk.f1_score(expected, predicted, average=average, zero_division=0)

    values = {
        "accuracy": defined(lambda: sk.accuracy_score(expected, predicted)),
        "macro_f1": defined(lambda: f1("macro")),
        "micro_f1": defined(lambda: f1("micro")),
        "weighted_f1": defined(lambda: f1("weighted")),
        "auroc": defined(lambda: sk.roc_auc_score(expected, f32(scores), average="macro")),
    }
    cases.append(dict(name=name, kind="multi_label", labels=expected.shape[1],
                      expected=[int(v) for v in expected.ravel()], predicted=[int(v) for v in predicted.ravel()],
                      probabilities=[float(v) for v in scores.ravel()], values=values))


def random_multi_label(name, examples, rates, skill, decimals=3):
    expected = rng.random((examples, len(rates))) < np.asarray(rates)
    scores = (1 - skill) * rng.random(expected.shape) + skill * expected
    multi_label(name, expected, scores.round(decimals))


random_multi_label("multi-label, random", 30, [0.5, 0.3, 0.6], 0.0)
random_multi_label("multi-label, skilled", 40, [0.5, 0.3, 0.2, 0.4], 0.4)
random_multi_label("multi-label, ties", 40, [0.5, 0.3, 0.2], 0.3, decimals=1)
random_multi_label("multi-label, imbalanced", 60, [0.9, 0.05, 0.5], 0.3)
random_multi_label("multi-label, one label never expected", 25, [0.5, 0.0, 0.5], 0.3)
random_multi_label("multi-label, one label always expected", 25, [0.5, 1.0, 0.5], 0.3)
random_multi_label("multi-label, perfect", 12, [0.5, 0.5], 0.9)
multi_label("multi-label, inverse", [[1, 0], [0, 1], [1, 1]], [[0.1, 0.9], [0.9, 0.2], [0.2, 0.3]])
multi_label("multi-label, nothing predicted", [[1, 0], [0, 1], [1, 1]], [[0.1, 0.2]] * 3)
multi_label("multi-label, nothing expected", [[0, 0], [0, 0]], [[0.1, 0.9], [0.6, 0.2]])
multi_label("multi-label, nothing at all", [[0, 0], [0, 0]], [[0.1, 0.2], [0.3, 0.2]])
multi_label("multi-label, one example", [[1, 0, 1]], [[0.9, 0.6, 0.2]])

# --- Values ----------------------------------------------------------------------------------------------------------


def values(name, expected, predicted):
    expected = [float(f"{v:.7g}") for v in expected]
    predicted = [float(f"{v:.7g}") for v in predicted]
    x, y = f32(expected), f32(predicted)

    def r2():
        if len(set(x)) < 2:
            return math.nan  # `force_finite=False`, but free of the rounding of the mean of equal values.
        return sk.r2_score(x, y, force_finite=False)

    cases.append(dict(name=name, kind="values", expected=expected, predicted=predicted, values={
        "pearson": defined(lambda: stats.pearsonr(x, y).statistic),
        "spearman": defined(lambda: stats.spearmanr(x, y).statistic),
        "mse": defined(lambda: sk.mean_squared_error(x, y)),
        "mae": defined(lambda: sk.mean_absolute_error(x, y)),
        "r2": defined(r2),
    }))


def random_values(name, examples, noise, scale=1.0, offset=0.0):
    x = rng.normal(size=examples)
    y = x + noise * rng.normal(size=examples)
    values(name, x * scale + offset, y * scale + offset)


random_values("values, random", 40, 0.5)
random_values("values, no relation", 40, 50.0)
random_values("values, near perfect", 40, 1e-4)
random_values("values, huge", 20, 0.5, scale=1e37)
random_values("values, tiny", 20, 0.5, scale=1e-37)
random_values("values, small spread far from zero", 40, 0.5, scale=0.01, offset=1000)
values("values, ties", rng.integers(0, 5, 40), rng.integers(0, 5, 40) / 2)
values("values, ties in one", rng.integers(0, 3, 30), rng.normal(size=30))
values("values, monotone but not linear", range(10), [math.exp(v) for v in range(10)])
values("values, perfect", [0.5, 1.5, -2, 7], [0.5, 1.5, -2, 7])
values("values, inverse", [0.5, 1.5, -2, 7], [-0.5, -1.5, 2, -7])
values("values, constant prediction", [1, 2, 3, 5], [0.1] * 4)
values("values, constant target", [0.1] * 7, [1, 2, 3, 5, 8, 13, 21])
values("values, both constant", [0.1] * 7, [0.3] * 7)
values("values, constant and right", [0.1] * 7, [0.1] * 7)
values("values, one example", [1.0], [2.0])
values("values, two examples", [1.0, 3.0], [5.0, 4.0])
values("values, two examples, equal predictions", [1.0, 3.0], [5.0, 5.0])
values("values, signed zeros", [0.0, -0.0, 1.0], [1.0, 2.0, 2.0])
values("values, one outlier", [1, 2, 3, 4, 1e30], [4, 3, 2, 1, 2e30])
values("values, no examples", [], [])

# --- Tags ------------------------------------------------------------------------------------------------------------

LABEL_SETS = {
    "bio": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
    "bioes": ["O", "B-A", "I-A", "E-A", "S-A", "B-B", "I-B", "E-B", "S-B"],
    "odd": ["O", "B", "I", "E", "S", "B-", "I-", "B-A", "I-A", "I-A-B", "B--A", "I_A", "X", "X-A",
            ".", ".-A", "O-A", "Über"],
    "pos": ["NOUN", "VERB", "ADJ", "ADP", "DET", "PUNCT", "SCONJ", "INTJ", "AUX", "X", "O"],
}


def tags(name, label_set, expected, predicted):
    """`expected` and `predicted`: sequences of names, or of ids."""
    names = LABEL_SETS[label_set]
    ids = lambda sequences: [[t if isinstance(t, int) else names.index(t) for t in s] for s in sequences]
    text = lambda sequences: [[names[t] for t in s] for s in sequences]
    expected, predicted = ids(expected), ids(predicted)
    values = {
        "accuracy": defined(lambda: tag_accuracy(text(expected), text(predicted))) if any(expected) else None,
        "entity_f1": defined(lambda: entity_f1(text(expected), text(predicted))) if any(expected) else None,
    }
    # Positions count the `O` that seqeval puts after each sequence; `end` is one past the last tag here.
    spans = [[kind, start, end + 1] for kind, start, end in get_entities(text(expected))]
    cases.append(dict(name=name, kind="tags", label_set=label_set, expected=expected, predicted=predicted,
                      entities=spans, values=values))


def words(*sequences):
    return [s.split() for s in sequences]


tags("tags, the example of seqeval", "bio",
     words("O O O B-PER I-PER I-PER O", "B-LOC I-LOC O"), words("O O B-PER I-PER I-PER I-PER O", "B-LOC I-LOC O"))
tags("tags, perfect", "bio", words("B-PER I-PER O B-LOC", "O O"), words("B-PER I-PER O B-LOC", "O O"))
tags("tags, all wrong", "bio", words("B-PER I-PER O"), words("O O B-LOC"))
tags("tags, no entities at all", "bio", words("O O O", "O"), words("O O O", "O"))
tags("tags, none expected", "bio", words("O O O"), words("O B-PER O"))
tags("tags, none predicted", "bio", words("O B-PER O"), words("O O O"))
tags("tags, I after O", "bio", words("O I-PER I-PER O"), words("O B-PER I-PER O"))
tags("tags, I opens the sequence", "bio", words("I-PER I-PER", "I-LOC"), words("B-PER I-PER", "B-LOC"))
tags("tags, type changes within", "bio", words("B-PER I-LOC I-LOC"), words("B-PER B-LOC I-LOC"))
tags("tags, type changes back and forth", "bio", words("I-PER I-LOC I-PER I-LOC"), words("I-PER I-PER I-PER I-LOC"))
tags("tags, neighbours of one type", "bio", words("B-PER B-PER I-PER"), words("B-PER I-PER I-PER"))
tags("tags, entity at the end of a sequence, I at the start of the next", "bio",
     words("O B-PER", "I-PER O"), words("O B-PER", "O I-PER"))
tags("tags, right span, wrong type", "bio", words("B-PER I-PER O"), words("B-LOC I-LOC O"))
tags("tags, same end, other start", "bio", words("B-PER I-PER I-PER"), words("O B-PER I-PER"))
tags("tags, single tag", "bio", words("B-PER"), words("B-PER"))
tags("tags, an empty sequence among others", "bio", words("", "B-PER O"), words("", "B-PER O"))
tags("tags, only empty sequences", "bio", words("", ""), words("", ""))
tags("tags, BIOES", "bioes", words("B-A I-A E-A S-B O S-A"), words("B-A I-A E-A S-B O B-A"))
tags("tags, BIOES, E alone", "bioes", words("O E-A E-A I-A O"), words("O B-A E-A B-A O"))
tags("tags, BIOES, after S and E", "bioes", words("S-A I-A E-A I-A S-B E-B"), words("S-A B-A E-A S-A S-B S-B"))
tags("tags, BIOES, E of another type", "bioes", words("B-A I-A E-B O"), words("B-A E-A S-B O"))
tags("tags, prefixes without types", "odd", words("B I O B B I", "I E S"), words("B I O B I I", "I E B"))
tags("tags, empty types and underscore", "odd", words("B- I- I O B I-"), words("B I I O B- I"))
tags("tags, dashes in types", "odd", words("B-A I-A-B I-A-B B--A I_A"), words("B-A I-A I-A-B B--A I-A"))
tags("tags, unknown prefix", "odd", words("X X-A O X X B-A", "X O X-A X"), words("X X O X X-A B-A", "X X X-A O"))
tags("tags, dots and O with a type", "odd", words("B-A . I-A O-A I-A .-A", ". B"), words("B-A .-A I-A O I-A .", ". B"))
tags("tags, beyond ASCII", "odd", words("Über O Über Über"), words("Über Über O Über"))
tags("tags, parts of speech", "pos",
     words("DET ADJ NOUN VERB PUNCT", "INTJ PUNCT X"), words("DET NOUN NOUN VERB PUNCT", "INTJ O X"))

for label_set, count in [("bio", 110), ("bioes", 50), ("odd", 60), ("pos", 20)]:
    size = len(LABEL_SETS[label_set])
    for index in range(count):
        outside = rng.uniform(0, 0.6)
        noise = rng.uniform(0.05, 0.7)
        draw = lambda: 0 if rng.random() < outside else int(rng.integers(size))
        expected = [[draw() for _ in range(rng.integers(1, 12))] for _ in range(rng.integers(1, 4))]
        predicted = [[draw() if rng.random() < noise else t for t in s] for s in expected]
        tags(f"tags, {label_set} noise {index}", label_set, expected, predicted)

path = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "metrics.json"
path.parent.mkdir(parents=True, exist_ok=True)
compact = lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
lines = ",\n".join(compact(case) for case in cases)
path.write_text(f'{{"label_sets":{compact(LABEL_SETS)},\n"cases":[\n{lines}\n]}}\n', encoding="utf-8")
print(f"{len(cases)} cases, {path.stat().st_size} bytes: {path}")
