from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tune_jobs.errors import ConfigError, did_you_mean
from tune_jobs.space.expressions import Expression

PARAMS: dict[str, Any] = {
    "lr": 0.01,
    "epochs": 10,
    "warmup": 3,
    "optimizer": "sgd",
    "hidden": [64, 128],
    "nesterov": True,
    "text_lr": "1e-5",  # as PyYAML reads it
    "model.depth": 4,
    "nothing": None,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("warmup < epochs", True),
        ("warmup < epochs < 5", False),
        ("1 < warmup <= 3 < epochs", True),
        ("optimizer == 'sgd'", True),
        ("optimizer != 'sgd' or lr <= 0.1", True),
        ("not optimizer == 'adam' and lr < 1e-1", True),
        ("optimizer in ['adam', 'sgd']", True),
        ("optimizer not in ('adam', 'sgd')", False),
        ("64 in hidden and 65 not in hidden", True),
        ("warmup + epochs * 2 - 1 == 22", True),
        ("epochs / 4 == 2.5 and epochs // 4 == 2 and epochs % 4 == 2", True),
        ("epochs ** 2 == 100 and -epochs == -10", True),
        ("min(warmup, epochs) == 3 and max(hidden) == 128 and abs(-lr) == lr", True),
        ("len(hidden) == 2", True),
        ("hidden == [64, 128]", True),
        ("nesterov == true and nothing == null and not nesterov == False", True),
        ("nesterov", True),
        ("text_lr < 0.1 and text_lr * 10 < 1 and text_lr == 1e-5", True),
        ("0.00001 in [text_lr]", True),
        ("model.depth > 3", True),
        ("  warmup <\n  epochs", True),
        # Absent parameters: no result, unless the other operand decides.
        ("momentum < 1", None),
        ("not momentum < 1", None),
        ("momentum < 1 and warmup < epochs", None),
        ("momentum < 1 and warmup > epochs", False),
        ("warmup > epochs and momentum < 1", False),
        ("momentum < 1 or warmup < epochs", True),
        ("max(momentum, 1) > 0", None),
        ("optimizer == 'adam' and 1 / 0 > lr", False),
    ],
)
def test_what_holds(text: str, expected: bool | None) -> None:
    assert Expression.parse(text).holds(PARAMS) is expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("warmup <", "column"),
        ("warmup < epocs", "column 10: unknown name 'epocs' (did you mean 'epochs'?)"),
        ("'äö' == epocs", "column 9: unknown name 'epocs'"),
        ("lr.real > 1", "column 1: unknown name 'lr.real'"),
        ("(1).real > lr", "attributes are not supported"),
        ("open('x') == lr", "column 1: \"open('x')\" is not supported"),
        ("lr is None", "'lr is None' is not supported"),
        ("max(lr, key=lr)", "is not supported"),
        ("[x for x in lr]", "is not supported"),
        ("lr if epochs else 1", "is not supported"),
        ("hidden[0] > 1", "is not supported"),
        ("lambda: lr", "is not supported"),
        ("(lr := 1)", "is not supported"),
        ("f'{lr}'", "is not supported"),
        ("{'a': lr}", "is not supported"),
        ("max(*hidden)", "is not supported"),
        ("lr & 1", "is not supported"),
        ("~lr", "is not supported"),
        ("lr == 3j", "is not supported"),
        ("lr == b'x'", "is not supported"),
        ("lr = 1", "column 4: write == instead of ="),
        ("lr > 1 && epochs > 2", "column 8: write and instead of &&"),
        ("lr > 1 || epochs > 2", "column 8: write or instead of ||"),
        ("!lr", "column 1: write not instead of !"),
        ("lr <> 1", "column 4: write != instead of <>"),
        ("optimizer == \u201csgd\u201d", 'column 14: write " instead of \u201c'),
        ("optimizer == '=' lr", "invalid syntax"),
        ("`\u00e4 b` > 1", "column 1: unknown name '\u00e4 b'"),
        ("`\u00e4 b` = 1", "column 7: write == instead of ="),
        ("lr == ...", "is not supported"),
        ("1 < 2", "contains no parameter"),
        ("", "column 1"),
        ("lr == '\0'", ""),
        ("-" * 60 + "lr", "nested deeper than 50"),
        ("lr" + " + lr" * 200, "has 1002 characters"),
        ("(" * 250 + "lr" + ")" * 245, ""),
    ],
)
def test_what_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        Expression.parse(text, names=PARAMS)
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("lr < optimizer", "optimizer='sgd'"),
        ("epochs / (warmup - 3) > 1", "division by zero"),
        ("optimizer * 3 == 1", "could not convert"),
        ("hidden + 1 > 2", "is not a number"),
        ("epochs in optimizer", "is not a list"),
        ("epochs ** epochs ** epochs > 1", "too large"),
        ("2.0 ** (epochs * 1000) > 1", "out of range"),
        ("(-epochs) ** 0.5 > 1", "not a real number"),
        ("epochs ** lr ** -1e9 > 1", ""),
        ("len(epochs) > 1", "len()"),
    ],
)
def test_what_cannot_be_computed_names_expression_and_values(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        Expression.parse(text, names=PARAMS).holds(PARAMS)
    assert problem in str(error.value)
    assert repr(text) in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("absent > 1", False),
        ("absent < 1", False),
        ("absent != 1", False),
        ("not absent > 1", True),
        ("absent > 1 or lr < 1", True),
        ("absent", False),
        ("absent + 1 > lr", False),
        ("'ada' in name", True),
        ("'x' not in name", True),
        ("`learning rate` > 0.1 and name == '`'", False),
        ("`learning rate` > 0.1 and name == 'adam'", True),
    ],
)
def test_what_matches(text: str, expected: bool) -> None:
    values = {"lr": 0.1, "name": "adam", "learning rate": 0.5}
    assert Expression.parse(text).matches(values) is expected


def test_a_condition_knows_its_names() -> None:
    parsed = Expression.parse("max(model.depth, 2) < epochs and nesterov == true")
    assert parsed.names == {"model.depth", "epochs", "nesterov"}
    assert parsed == Expression.parse("max(model.depth, 2) < epochs and nesterov == true")


def test_a_parameter_may_be_called_as_a_constant() -> None:
    assert Expression.parse("true == 3 and epochs > 1").holds({"true": 3, "epochs": 2}) is True


def test_did_you_mean() -> None:
    assert did_you_mean("batchsize", ["lr", "batch_size"]) == "(did you mean 'batch_size'?)"
    assert did_you_mean("x", ["lr", "batch_size"]) == "(known: batch_size, lr)"
    assert did_you_mean("x", []) == "(none is known here)"


_TOKENS = "absent 1 0 2.5 1e308 - + * ** / // % ( ) , [ ] < >= == in not and or min len ' 'a' . \\"
_WORDS = st.sampled_from([*_TOKENS.split(), "9" * 99, *PARAMS])


@settings(deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(_WORDS, max_size=15).map(" ".join)))
@example("a" + ".a" * 240)
@example("9" * 99 + " ** " + "lr ** 99")
@example("x == '\\d'")
def test_nothing_but_config_error_comes_out(text: str) -> None:
    with suppress(ConfigError):
        assert Expression.parse(text).holds(PARAMS) in (True, False, None)
