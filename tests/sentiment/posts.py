"""Small made-up posts with labels: enough to learn from, none of them anybody's."""

import numpy as np

from tidewatch.sentiment import LABELS

_WORDS = {
    "negative": [
        "太差了",
        "再也不买",
        "客服不理人",
        "坏了要退款",
        "气死我了[怒]",
        "terrible service",
        "质量不行",
    ],
    "neutral": [
        "今天发货",
        "请问几点开门",
        "转发微博",
        "地址在东路",
        "型号是什么",
        "see the schedule",
        "明天到货",
    ],
    "positive": [
        "很喜欢",
        "质量很好",
        "推荐大家买",
        "物流真快[鼓掌]",
        "好吃极了😀",
        "really love it",
        "客服耐心",
    ],
}
_FILLER = [
    "这个东西",
    "我",
    "昨天",
    "@小店 ",
    "http://t.cn/a1",
    "包装",
    "2026",
    "的",
    "，",
    "。",
    "and the",
    "價格",
]


def posts(count: int, seed: int, classes: tuple[str, ...] = LABELS) -> tuple[list[str], np.ndarray]:
    """Texts and their labels. One in ten has a word of another class."""
    random = np.random.default_rng(seed)
    labels = random.choice([LABELS.index(name) for name in classes], count)
    texts = []
    for label in labels:
        parts = [*random.choice(_FILLER, 4), *random.choice(_WORDS[LABELS[label]], 2)]
        if random.random() < 0.1:
            parts.append(random.choice(_WORDS[str(random.choice(classes))]))
        texts.append("".join(random.permutation(parts)))
    return texts, labels.astype(np.int8)
