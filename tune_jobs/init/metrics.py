"""Which metric a script prints, in which direction it is better, and the name of its step.

The lines that a script would print are read by the same code as the output of its runs, so that a
metric that is proposed is one that will be found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tune_jobs.init.printed_lines import PrintedLine
from tune_jobs.runtime.extract import Extractor
from tune_jobs.runtime.records import Record

Direction = Literal["minimize", "maximize"]
_STEP_NAMES = ("epoch", "step", "iteration", "iter", "round", "episode", "global_step", "update")
_BETTER_HIGH = re.compile(
    r"acc|auc|f1|fbeta|f_?score|prec|recall|sensitivity|specificity|r2|r_squared|m?ap\b|map_?\d"
    r"|iou|dice|jaccard|bleu|rouge|meteor|cider|ndcg|mrr|hit|reward|return|score|kappa|mcc|matthews"
    r"|corr|pearson|spearman|psnr|ssim|elbo|likelihood|gain|lift|win|success|top.?[15]\b|fitness"
)
_BETTER_LOW = re.compile(
    r"loss|err|mse|mae|mape|rmse|rmsle|ppl|perplexity|nll|entropy|\bwer|\bcer|fid|deviance|cost|bpc"
    r"|brier|distance|regret|mpjpe|\bepe\b"
)
_SPLITS = (
    (r"val|valid|validation|dev|eval|evaluation|evaluate|validate|holdout|cv", 4),
    (r"test|testing", 3),
    (r"train|training", 0),
)
_UNNAMED_SPLIT = 2
_FINAL = re.compile(r"(?<![a-z])(best|final|max|min)(?![a-z])")
_WORD = r"[A-Za-z][\w@/.\-]*"
_LABEL = re.compile(rf"((?:{_WORD} )*{_WORD})(['\"]?(?:\s*(?:[:=|]|->)\s*|\s+)['\"]?)$")
_QUALIFIERS = re.compile(
    r"(?i)train(ing)?|val(id(ation)?)?|dev|test|set|eval(uation)?|avg|average|mean|best|final"
    r"|top-?\d|macro|micro|weighted|balanced|overall|total|cv|running"
)
_SHARE = re.compile(rf"({_WORD}(?: {_WORD})*)(\s*[:=])\s*[\d.]+/[\d.]+ *\($")
"""What precedes a percentage, as in ``Accuracy: 90/100 (90%)``."""
_ALONE = r"^\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*%?\s*$"
_PLAUSIBLE = re.compile(r"(?i)result|value|metric|objective|quality|performance")


@dataclass(frozen=True)
class MetricGuess:
    """Metric that the script prints.

    Attributes:
        name: Its name.
        direction: The better direction; None if the name does not show it.
        place: Where it is printed.
        line: What is printed there.
        split: What it is measured on: 4 for validation, 3 for test data, 0 for training data.
        final: Whether it is the best or the final one of several.
        position: Position among what is printed; what comes later is more likely a result.
        step: Name of the step that is printed with it; None if there is none.
        pattern: Regular expression that finds it, if its name does not.
        alone: Whether the number is printed without a name.
        metrics_file: File to which it is written, if it is not printed.
        label: The words before the number.
        logged: Whether it goes to a logger, which may not show it.
        note: What a person has to know.
    """

    name: str
    direction: Direction | None
    place: str = ""
    line: str = ""
    split: int = _UNNAMED_SPLIT
    final: bool = False
    position: int = 0
    step: str | None = None
    pattern: str = ""
    alone: bool = False
    metrics_file: str = ""
    label: str = ""
    logged: bool = False
    note: str = ""

    @property
    def rank(self) -> tuple[int, ...]:
        """How well it suits as the objective; larger is better."""
        kind = {"maximize": 2, "minimize": 1, None: 0}[self.direction]
        named = int(kind > 0 and not self.alone)
        return (named, int(kind > 0), self.split, kind, int(not self.final), self.position)


def find_direction(name: str) -> Direction | None:
    """Return the better direction of a metric; None if its name does not show it."""
    if _BETTER_LOW.search(name.lower()):
        return "minimize"
    return "maximize" if _BETTER_HIGH.search(name.lower()) else None


def find_split(*names: str) -> int:
    """Return what a metric is measured on, by the first name that shows it."""
    for name in names:
        words = re.sub(r"[^a-z0-9]+", " ", name.lower())
        for pattern, split in _SPLITS:
            if re.search(rf"\b(?:{pattern})\b", words):
                return split
    return _UNNAMED_SPLIT


def make_guess(name: str, *contexts: str, **attributes: object) -> MetricGuess:
    """Return a guess, with what its name and then the words around it show."""
    guess = MetricGuess(
        name=name,
        direction=find_direction(name),
        split=find_split(name, *contexts),
        final=bool(_FINAL.search(name.lower().replace("_", " "))),
    )
    return replace(guess, **attributes)  # type: ignore[arg-type]


def find_printed(lines: Sequence[PrintedLine]) -> list[MetricGuess]:
    """Return the metrics in what a program prints."""
    guesses = [each for i, line in enumerate(lines) for each in _read_line(line, i)]
    log = "".join(f"{line.text}\n" for line in lines).encode()
    return [_distinguish(guess, guesses, log) for guess in guesses]


def _read_line(line: PrintedLine, position: int) -> Iterator[MetricGuess]:
    for number, expression in line.values.items():
        before, found, after = line.text.partition(number)
        before, after = before.rpartition("\n")[2], after.partition("\n")[0]
        names = " ".join(re.findall(r"[A-Za-z_]\w*", expression))
        guess = _read_value(line, number, before, after, names) if found else None
        if guess is not None:
            yield replace(
                guess,
                split=find_split(guess.name, names, before, line.function),
                place=f"{line.file}:{line.line}",
                line=line.text.strip().partition("\n")[0],
                position=position,
                logged=line.logged,
            )


def _read_value(
    line: PrintedLine, number: str, before: str, after: str, names: str
) -> MetricGuess | None:
    """Return the metric that a number in a line is; None if it is none.

    Args:
        line: The line.
        number: The number.
        before: What precedes it.
        after: What follows it.
        names: The names in the expression that is printed.
    """
    if not (before.strip() or after.strip(" %")):
        return _read_alone(names)
    share = _SHARE.search(before) if after.startswith("%") else None
    if share is not None and find_direction(share[1]):
        pattern = rf"{re.escape(share[1])}{share[2]} *[\d.]+/[\d.]+ *\((\S+?)%"
        return make_guess(share[1], pattern=pattern)
    label = _LABEL.search(before)
    if label is None:
        return None
    name = _choose_name(label[1], before, line.text, float(number))
    if name is None:
        return None
    direction = find_direction(name)
    if direction is None and (label[2].strip() or _PLAUSIBLE.fullmatch(name)):
        # The expression may have a better name than what is printed: `print("Now:", accuracy)`.
        direction = find_direction(names)
    if direction is None and not _PLAUSIBLE.fullmatch(name):
        return None
    return replace(make_guess(name, label=label[1]), direction=direction)


def _read_alone(names: str) -> MetricGuess | None:
    """Return a metric that is printed without a name, by the name of its variable."""
    for name in names.split():
        if find_direction(name):
            return make_guess(name, pattern=_ALONE, alone=True)
    return None


def _choose_name(label: str, before: str, text: str, value: float) -> str | None:
    """Return the longest end of a label that is a name and by which the value is read.

    In nested JSON the name is the path of its keys, such as ``val.accuracy``.
    """
    words = label.split(" ")
    start = len(words) - 1
    while start > 0 and _belongs(words[start - 1]):
        start -= 1
    names = [" ".join(words[first:]) for first in range(start, len(words))]
    keys = re.findall(r"['\"]([^'\"]+)['\"]: ", before)
    names += [".".join(keys[first:]) for first in range(len(keys))]
    names += [f"{key}.{keys[-1]}" for key in reversed(keys[:-1])]
    return next((name for name in names if value in _read_values(name, text.encode())), None)


def _belongs(word: str) -> bool:
    """Return whether a word belongs to the name behind it: ``Average loss``, ``R2 score``."""
    return bool(_QUALIFIERS.fullmatch(word) or find_direction(word))


def _distinguish(guess: MetricGuess, others: Iterable[MetricGuess], log: bytes) -> MetricGuess:
    """Give a metric a longer name if the same name is printed for other data, too."""
    same = [each for each in others if each.name == guess.name]
    if guess.pattern or all(each.split == guess.split for each in same):
        return guess
    words = guess.label.split(" ")
    for first in range(len(words) - guess.name.count(" ") - 2, -1, -1):
        name = " ".join(words[first:])
        if len(set(_read_values(name, log))) == 1:
            return replace(guess, name=name)
    return guess


def _read_values(name: str, log: bytes) -> list[float]:
    return [record.values[name] for record in _extract(name, "", log, None)]


def _extract(name: str, pattern: str, log: bytes, step: str | None) -> list[Record]:
    try:
        extractor = Extractor([name], {name: pattern} if pattern else None, step)
    except ValueError:  # too long, or with characters that a name may not have
        return []
    return [*extractor.feed(log + b"\n", 0.0), *extractor.finish(0.0)]


def add_step(guess: MetricGuess, lines: Sequence[PrintedLine]) -> MetricGuess:
    """Return a guess with the name of the step that is printed with it, if there is one."""
    log = "".join(f"{line.text}\n" for line in lines).encode()
    for step in _STEP_NAMES if guess.step is None else ():
        records = _extract(guess.name, guess.pattern, log, step)
        if any(record.step is not None for record in records):
            return replace(guess, step=step)
    return guess


def choose_metrics(guesses: Iterable[MetricGuess]) -> list[MetricGuess]:
    """Return the guesses by name, the most suitable first."""
    best: dict[str, MetricGuess] = {}
    for guess in guesses:
        if guess.name not in best or best[guess.name].rank < guess.rank:
            best[guess.name] = guess
    return sorted(best.values(), key=lambda guess: guess.rank, reverse=True)
