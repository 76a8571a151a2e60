"""Metrics that packages print for a script: Keras, transformers, Lightning, XGBoost, meters.

Also those that a script writes to a file, and those that only a tracker such as wandb gets.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from tune_jobs.init.interpreting.modules import list_nodes
from tune_jobs.init.metrics import MetricGuess, make_guess

_TRACKERS = {"add_scalar", "log_metric", "log_metrics", "add_scalars", "log_scalar"}


class _Calls:
    """Calls in a program.

    Args:
        trees: Its files.
    """

    def __init__(self, trees: Mapping[str, ast.Module]) -> None:
        self.nodes = [
            (file, node)
            for file, tree in trees.items()
            for node in list_nodes(tree)
            if isinstance(node, ast.Call)
        ]
        imports = [
            node
            for tree in trees.values()
            for node in list_nodes(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        self.packages = {
            name.partition(".")[0] for node in imports for name in _list_imported(node)
        } | {name for node in imports for name in _list_imported(node)}

    def named(self, *names: str) -> Iterator[tuple[str, ast.Call]]:
        """Yield the calls of functions and methods with these names, with their files."""
        return ((file, node) for file, node in self.nodes if _get_name(node.func) in names)


def _list_imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or "", *(alias.name for alias in node.names)]
    return [alias.name for alias in node.names]


def _get_name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _get_keyword(call: ast.Call, *names: str) -> ast.expr | None:
    return next((each.value for each in call.keywords if each.arg in names), None)


def _get_string(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def find_framework_metrics(trees: Mapping[str, ast.Module]) -> list[MetricGuess]:
    """Return the metrics that packages print for a program."""
    calls = _Calls(trees)
    finders: Sequence[Callable[[_Calls], Iterator[MetricGuess]]] = (
        _find_reported,
        _find_keras,
        _find_transformers,
        _find_lightning,
        _find_xgboost,
        _find_meters,
    )
    found = [guess for finder in finders for guess in finder(calls)]
    # Rank them like lines in the middle of a program.
    return [replace(guess, position=guess.position or 1) for guess in found]


def _place(file: str, node: ast.AST) -> str:
    return f"{file}:{getattr(node, 'lineno', 1)}"


def _find_reported(calls: _Calls) -> Iterator[MetricGuess]:
    """Yield the metrics of ``tune_jobs.report(accuracy=...)``."""
    if "tune_jobs" not in calls.packages:
        return
    for file, node in calls.named("report"):
        names = [each.arg for each in node.keywords if each.arg and each.arg != "step"]
        names += [
            _get_string(key) for d in node.args[:1] if isinstance(d, ast.Dict) for key in d.keys
        ]
        for name in filter(None, names):
            yield make_guess(name, place=_place(file, node), position=10_000)


def _find_keras(calls: _Calls) -> Iterator[MetricGuess]:
    if not {"keras", "tensorflow", "tf_keras"} & calls.packages:
        return
    fits = [(file, n) for file, n in calls.named("fit") if not _is_silent(n)]
    if not fits:
        return
    file, fit = fits[-1]
    validated = _get_keyword(fit, "validation_data", "validation_split") is not None
    names = ["loss"]
    for _, node in calls.named("compile"):
        metrics = _get_keyword(node, "metrics")
        for each in metrics.elts if isinstance(metrics, ast.List | ast.Tuple) else []:
            names.append(_name_keras_metric(each))
    prefix = "val_" if validated else ""
    for position, name in enumerate(filter(None, names), 1):
        yield make_guess(
            f"{prefix}{name}",
            place=_place(file, fit),
            step="epoch",
            note="Keras prints it",
            position=position,
        )


def _is_silent(call: ast.Call) -> bool:
    verbose = _get_keyword(call, "verbose")
    return isinstance(verbose, ast.Constant) and verbose.value in (0, False)


def _name_keras_metric(node: ast.expr) -> str:
    if not isinstance(node, ast.Call):
        return _get_string(node) or _to_snake_case(_get_name(node))
    return _get_string(_get_keyword(node, "name")) or _to_snake_case(_get_name(node.func))


def _to_snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _find_transformers(calls: _Calls) -> Iterator[MetricGuess]:
    if "transformers" not in calls.packages:
        return
    trainers = [(f, n) for f, n in calls.nodes if _get_name(n.func).endswith("Trainer")]
    for file, trainer in trainers[:1]:
        names = ["loss"]
        if _get_keyword(trainer, "compute_metrics") is not None:
            names += _list_computed(calls)
        for name in dict.fromkeys(names):
            yield make_guess(
                f"eval_{name.removeprefix('eval_')}",
                place=_place(file, trainer),
                step="epoch",
                note="the Trainer prints it after each evaluation",
            )


def _list_computed(calls: _Calls) -> Iterator[str]:
    """Yield names of metrics that ``evaluate.load("accuracy")`` computes."""
    for _, node in calls.named("load", "load_metric", "combine"):
        first = node.args[0] if node.args else None
        items = first.elts if isinstance(first, ast.List) else [first]
        for name in map(_get_string, items):
            if re.fullmatch(
                r"accuracy|f1|precision|recall|mse|mae|bleu|rouge\w*|matthews_corr\w*", name
            ):
                yield name


def _find_lightning(calls: _Calls) -> Iterator[MetricGuess]:
    """Yield the metrics that the progress bar of Lightning shows."""
    for file, name, node in _list_logged(calls):
        shown = _get_keyword(node, "prog_bar")
        if isinstance(shown, ast.Constant) and shown.value is True:
            note = "the progress bar of Lightning shows it"
            yield make_guess(name, place=_place(file, node), note=note)


def _list_logged(calls: _Calls) -> Iterator[tuple[str, str, ast.Call]]:
    """Yield file, name and call of what a LightningModule logs."""
    if not {"lightning", "pytorch_lightning", "LightningModule"} & calls.packages:
        return
    for file, node in calls.named("log", "log_dict"):
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        first = node.args[0] if node.args else None
        keys = first.keys if isinstance(first, ast.Dict) else [first]
        for name in filter(None, map(_get_string, keys)):
            if isinstance(owner, ast.Name) and owner.id == "self":
                yield file, name, node


def _find_xgboost(calls: _Calls) -> Iterator[MetricGuess]:
    if "xgboost" not in calls.packages:
        return
    metrics = [
        _get_string(_get_keyword(node, "eval_metric")) or _find_in_dict(node, "eval_metric")
        for _, node in calls.nodes
    ]
    name = next(filter(None, metrics), "")
    for file, node in calls.named("train", "fit"):
        verbose = _get_keyword(node, "verbose", "verbose_eval")
        silent = isinstance(verbose, ast.Constant) and verbose.value is False
        evals = _get_keyword(node, "evals", "eval_set")
        if silent or not isinstance(evals, ast.List | ast.Tuple) or not evals.elts or not name:
            continue
        last = evals.elts[-1]
        data = (
            _get_string(last.elts[1]) if isinstance(last, ast.Tuple) and len(last.elts) > 1 else ""
        )
        data = data or f"validation_{len(evals.elts) - 1}"
        yield make_guess(f"{data}-{name}", place=_place(file, node), note="XGBoost prints it")


def _find_in_dict(call: ast.Call, key: str) -> str:
    for node in call.args:
        if isinstance(node, ast.Dict):
            for name, value in zip(node.keys, node.values, strict=True):
                if _get_string(name) == key:
                    return _get_string(value)
    return ""


def _find_meters(calls: _Calls) -> Iterator[MetricGuess]:
    """Yield the names of meters, as in ``AverageMeter("Acc@1", ":6.2f")``."""
    for file, node in calls.nodes:
        name = _get_string(node.args[0]) if node.args else ""
        is_meter = _get_name(node.func).endswith("Meter")
        if is_meter and name and make_guess(name).direction:
            yield make_guess(name, place=_place(file, node), step="epoch", note="a meter prints it")


def find_tracked(trees: Mapping[str, ast.Module]) -> list[MetricGuess]:
    """Return the metrics that are sent to a tracker, such as wandb, MLflow or TensorBoard."""
    calls = _Calls(trees)
    note = "is logged, but printed only with prog_bar=True"
    found = [
        make_guess(name, place=_place(file, node), note=note)
        for file, name, node in _list_logged(calls)
    ]
    for file, node in calls.named("log", *_TRACKERS):
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        if _get_name(node.func) == "log" and _get_name(owner or node) not in ("wandb", "run"):
            continue
        first = node.args[0] if node.args else None
        keys = first.keys if isinstance(first, ast.Dict) else [first]
        found += [
            make_guess(name, place=_place(file, node), note="goes to a tracker, but is not printed")
            for name in filter(None, map(_get_string, keys))
        ]
    return [guess for guess in found if guess.direction]


def find_written(trees: Mapping[str, ast.Module]) -> list[MetricGuess]:
    """Return the metrics that are written to a JSON file whose path is written in the source."""
    found = []
    for file, tree in trees.items():
        dicts = {
            target.id: node.value
            for node in list_nodes(tree)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for path, value, node in _find_dumps(tree):
            document = dicts.get(value.id) if isinstance(value, ast.Name) else value
            for key in document.keys if isinstance(document, ast.Dict) else []:
                guess = make_guess(_get_string(key), place=_place(file, node), metrics_file=path)
                found.append(guess)
    return [guess for guess in found if guess.name and guess.direction]


def _find_dumps(tree: ast.Module) -> Iterator[tuple[str, ast.expr, ast.AST]]:
    """Yield file, document and place of what is dumped as JSON to an open file."""
    for node in list_nodes(tree):
        if not isinstance(node, ast.With):
            continue
        opened = {
            item.optional_vars.id: _get_string(item.context_expr.args[0])
            for item in node.items
            if isinstance(item.context_expr, ast.Call)
            and _get_name(item.context_expr.func) == "open"
            and item.context_expr.args
            and isinstance(item.optional_vars, ast.Name)
        }
        for call in ast.walk(node):
            if isinstance(call, ast.Call) and _get_name(call.func) == "dump" and len(call.args) > 1:
                target = call.args[1]
                path = opened.get(target.id, "") if isinstance(target, ast.Name) else ""
                if path.endswith((".json", ".jsonl")) and not path.startswith(("/", "..")):
                    yield path, call.args[0], call
