"""The peers of benchmarks/sentiment.py, run by it in an environment of their own.

Reads tasks, one JSON object a line, from stdin: {"train": file, "tests": {name: file}, "peers":
[...]}; files hold JSON lines [text, label]. Answers each with one line: what every setting of every peer gave
each text of each test. Nothing of Tidewatch is used here.
"""

import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Pairs = list[tuple[str, int]]
Tests = dict[str, list[str]]
Answer = dict[str, Any]
SNOWNLP_SAMPLE = 300
"""It scores 30 to 140 posts a second: a seeded sample of the test texts, and its n is told."""


def tfidf() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True, min_df=2)


def linear_svc(train: Pairs, tests: Tests) -> Iterator[Answer]:
    from sklearn.svm import LinearSVC

    vectors = tfidf()
    seen = vectors.fit_transform([text for text, _ in train])
    for cost in (0.5, 1.0):
        model = LinearSVC(C=cost).fit(seen, [label for _, label in train])

        def score(texts: list[str], model: Any = model) -> Answer:
            return {"labels": model.predict(vectors.transform(texts)).tolist()}

        yield answer(f"C={cost}", tests, score)


def logistic(train: Pairs, tests: Tests) -> Iterator[Answer]:
    from sklearn.linear_model import LogisticRegression

    vectors = tfidf()
    seen = vectors.fit_transform([text for text, _ in train])
    model = LogisticRegression(C=10, max_iter=100).fit(seen, [label for _, label in train])

    def score(texts: list[str]) -> Answer:
        chances = model.predict_proba(vectors.transform(texts))
        labels = model.classes_[chances.argmax(axis=1)].tolist()
        return {"labels": labels, "chances": chances.max(axis=1).round(5).tolist()}

    yield answer("C=10", tests, score)


def fasttext(train: Pairs, tests: Tests) -> Iterator[Answer]:
    import fasttext as library

    shuffled = train[:]
    random.Random(1).shuffle(shuffled)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8", delete=False) as file:
        file.writelines(f"__label__{label} {_spaced(text)}\n" for text, label in shuffled)
    for rate, epochs in ((0.5, 10), (0.2, 20)):
        model = library.train_supervised(
            file.name, lr=rate, epoch=epochs, wordNgrams=3, dim=50, bucket=500_000, thread=1, verbose=0
        )

        def score(texts: list[str], model: Any = model) -> Answer:
            # `predict` of the wheel knows only numpy 1; what it calls works.
            given = [model.f.predict(_spaced(text) + "\n", 1, 0.0, "strict") for text in texts]
            return {"labels": [int(one[0][1].removeprefix("__label__")) if one else 0 for one in given]}

        yield answer(f"lr={rate}, {epochs} epochs", tests, score)
    Path(file.name).unlink()


def snownlp(train: Pairs, tests: Tests) -> Iterator[Answer]:
    from snownlp import SnowNLP

    def score(texts: list[str]) -> Answer:
        places = sorted(random.Random(1).sample(range(len(texts)), min(SNOWNLP_SAMPLE, len(texts))))
        tidy = [texts[at].strip() for at in places]
        return {"labels": [2 if not t or SnowNLP(t).sentiments >= 0.5 else 0 for t in tidy], "places": places}

    yield answer("as shipped", tests, score)


PEERS: dict[str, Callable[[Pairs, Tests], Iterator[Answer]]] = {
    "LinearSVC": linear_svc, "LogisticRegression": logistic, "fastText": fasttext, "SnowNLP": snownlp,
}  # fmt: skip


def pipeline_speed(train: Pairs, posts: list[str]) -> float:
    """Posts a second of scikit-learn's pipeline, vectoriser and LinearSVC, from texts to labels."""
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    pipeline = make_pipeline(tfidf(), LinearSVC()).fit([t for t, _ in train], [label for _, label in train])
    began = time.perf_counter()
    pipeline.predict(posts)
    return len(posts) / (time.perf_counter() - began)


def answer(setting: str, tests: Tests, score: Callable[[list[str]], Answer]) -> Answer:
    return {"setting": setting, "tests": {name: score(texts) for name, texts in tests.items()}}


def _spaced(text: str) -> str:
    return " ".join(c for c in text if not c.isspace())


def _read(file: str) -> Pairs:
    with Path(file).open(encoding="utf-8") as lines:
        return [(text, label) for text, label in map(json.loads, lines)]


def main() -> None:
    for line in sys.stdin:
        task = json.loads(line)
        train = _read(task["train"])
        if "speed" in task:
            found: Any = pipeline_speed(train, [text for text, _ in _read(task["speed"])])
        else:
            tests = {name: [text for text, _ in _read(file)] for name, file in task["tests"].items()}
            found = {name: list(PEERS[name](train, tests)) for name in task["peers"]}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
