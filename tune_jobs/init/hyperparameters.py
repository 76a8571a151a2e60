"""Which of a script's flags are hyperparameters, and which values to try.

The names that projects use are divided into words: ``learningRate``, ``--learning-rate`` and
``optimizer.learning_rate`` are all ``learning_rate``. A range contains the default, if there is
one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tune_jobs.init.flags import Flag


@dataclass(frozen=True)
class Range:
    """Range of a number, as in study.yaml."""

    kind: str
    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Choices:
    """Values of a parameter."""

    values: tuple[Any, ...]


_DECIMAL = r"(-?\d+(?:\.\d+)?(?:e-?\d+)?)"
_STATED = re.compile(
    rf"(?i)\b{_DECIMAL} (?:to|\.\.\.?) {_DECIMAL}\b|\bbetween {_DECIMAL} and {_DECIMAL}\b"
    rf"|[\[(]{_DECIMAL}, ?{_DECIMAL}[\])]"
)
_MAX_CHOICES = 20
Values = Range | Choices
_Propose = Callable[[Flag], "Values"]


def divide(name: str) -> str:
    """Return the words of a name in lower case, joined by underscores."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name.rpartition(".")[2])
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")


# -- ranges around a default ------------------------------------------------------------------


def around(low: float, high: float, limit: float = math.inf) -> _Propose:
    """Return a proposal of a range on a log scale: 10 times around the default, or this one.

    Args:
        low, high: Range if there is no default.
        limit: Upper limit of the range, unless the default is above it.
    """

    def propose(flag: Flag) -> Values:
        default = _number(flag)
        if default is None or default <= 0:
            return Range("float", low, high, log=True)
        highest = max(limit, default)
        return Range("float", _round(default / 10), min(_round(default * 10), highest), log=True)

    return propose


def share(low: float, high: float) -> _Propose:
    """Return a proposal of a range that is widened to contain the default, up to 0 and 1."""

    def propose(flag: Flag) -> Values:
        default = _number(flag)
        if default is None or 0 <= default <= 1:
            known = low if default is None else default
            return Range("float", min(low, known), max(high, known))
        return around(low or 0.01, high)(flag)

    return propose


def count(low: int, high: int) -> _Propose:
    """Return a proposal of small integers: from half of the default to twice, or these."""

    def propose(flag: Flag) -> Values:
        default = _number(flag)
        if default is None or default < 1:
            return Range("int", low, high)
        return Range("int", max(1, math.floor(default / 2)), math.ceil(default * 2))

    return propose


def size(low: int, high: int) -> _Propose:
    """Return a proposal of integers on a log scale: a factor of 4 around the default."""

    def propose(flag: Flag) -> Values:
        default = _number(flag)
        if default is None or default < 1:
            return Range("int", low, high, log=True)
        return Range("int", max(1, round(default / 4)), round(default * 4), log=True)

    return propose


def doubled(*values: int) -> _Propose:
    """Return a proposal of powers of two times the default, or of these values."""

    def propose(flag: Flag) -> Values:
        default = _number(flag)
        if default is None or default < 1 or default != int(default):
            return Choices(values)
        # Memory bounds what is large already.
        factors = (0.5, 1, 2, 4) if default <= 64 else (0.25, 0.5, 1, 2)
        found = [int(default * factor) for factor in factors]
        return Choices(tuple(dict.fromkeys(each for each in found if each >= 1)))

    return propose


def discount(flag: Flag) -> Values:
    """Propose a factor below 1: of a schedule, a moving average, or of rewards."""
    default = _number(flag)
    if default is not None and 0.9 <= default < 1:
        return Range("float", 0.9, max(0.999, default))
    if default is not None and 0 < default < 0.1:
        return around(1e-4, 1e-1)(flag)
    return Range("float", min(0.1, default or 0.1), max(0.99, default or 0.99))


LEARNING_RATE = around(1e-5, 1e-1)
PENALTY = around(1e-6, 1e-1)
DIMENSION = doubled(32, 64, 128, 256)
_HIDDEN = "(hidden|hid|units|neurons|width|filters|feat(ure)?_maps)"
_RULES: Sequence[tuple[str, _Propose]] = (
    (r"(.*_)?(learning_rate|lr)|lr0|(learning_rate|lr)_(init|initial|base|max)", LEARNING_RATE),
    (r"lr_(actor|critic|g|d|generator|discriminator|backbone|head|encoder)", LEARNING_RATE),
    (r"eta|step_?size", around(1e-3, 3e-1, limit=1)),
    (r"wd|weight_?decay|(.*_)?(l1|l2)(_reg|_lambda)?|reg|regularization|decay", PENALTY),
    (r"reg_(alpha|lambda|strength|weight)|lambda|lambda_?l[12]|lam|lamda|c|nu", PENALTY),
    (r"alpha|ridge|lasso|.*_(coef|coeff|coefficient)", around(1e-4, 1e1)),
    (r"(adam_)?beta_?1|b1", share(0.8, 0.95)),
    (r"(adam_)?beta_?2|b2", share(0.9, 0.999)),
    (r"momentum|mom", share(0.5, 0.99)),
    (r"(.*_)?drop_?(out|path)?(_(rate|prob|p|path|ratio))?|droprate|p_drop", share(0.0, 0.6)),
    (r"(lr_)?(gamma|decay_rate|lr_decay|factor)|(gae_)?lambda_?(gae|return)|gae_lambda", discount),
    (r"label_smoothing(_factor)?|smoothing", share(0.0, 0.2)),
    (r"mix_?up(_alpha)?|cut_?mix(_alpha)?", share(0.0, 1.0)),
    (r"subsample|(bagging|feature)_fraction|col_?sample.*|max_samples", share(0.5, 1.0)),
    (r"l1_ratio|warmup_(ratio|proportion|frac)|.*_prob(ability)?|clip_range", share(0.0, 0.5)),
    (r"((train_|mini_?)?batch|per_device_train_batch)(_?size)?|bs|bsz", doubled(16, 32, 64, 128)),
    (r"max_grad_norm|(grad(ient)?_)?clip(ping|_norm|_value|_val|_grad)?", around(0.1, 10)),
    (r"temp(erature)?|tau|margin|sigma|noise(_std|_scale)?", around(0.01, 10)),
    (r"(n_?|num_?)?((hidden|conv|encoder|decoder|lstm|rnn)_?)?(layers?|blocks?)", count(1, 4)),
    (r"(max_)?depth", count(2, 10)),
    (r"n_?estimators|(n_|num_)(trees|rounds?|boost_rounds?)", size(50, 500)),
    (r"num_leaves|max_leaf_nodes|leaves", size(15, 255)),
    (r"min_(samples_(split|leaf)|child_(weight|samples)|data_in_leaf)", count(1, 20)),
    (r"((n|k|num)_)?neighbou?rs|k", count(1, 30)),
    (rf"(n_?|num_?|d_?)?{_HIDDEN}(_?(size|dim|units|channels|features|nodes))?", size(32, 512)),
    (r"hidden_.*|(n_|base_)?channels|ngf|ndf|nz|nhid", size(16, 256)),
    (r"(emb(ed(ding)?)?|em|model|head|ffn?)_?(dim|size|d)?|emsize|d_(model|ff)", DIMENSION),
    (r"latent(_.*)?|z_dim|embed(ding)?s?_.*|n_components", doubled(8, 16, 32, 64)),
    (r"lora_(r|rank)", doubled(4, 8, 16, 32)),
)
_CATEGORIES = re.compile(
    r"(.*_)?(optimi[sz]er|opt|solver|activation|act|act_fn|nonlinearity|scheduler|lr_schedule"
    r"|lr_scheduler(_type)?|schedule|loss|loss_fn|criterion|kernel|booster|init|initiali[sz]er|norm"
    r"|normali[sz]ation|pooling|arch|architecture|model|model_type|model_name|backbone|algorithm"
    r"|algo|cell|rnn_type|penalty|weights|splitter|max_features|augmentation|sampler|method)"
)
_SWITCHES = re.compile(
    r"(.*_)?(nesterov|amsgrad|augment(ation|ations)?|aug|batch_?norm|bn|bias|bidirectional|residual"
    r"|skip_connections?|layer_?norm|shuffle|bootstrap|balanced|class_weights?|cosine|normali[sz]e"
    r"|standardi[sz]e|mix_?up|cut_?mix|attention|freeze(_\w+)?|(h|v)?flip|whiten|ema|swa|gated"
    r"|weight_norm|spectral_norm|pre_?norm|dueling|double(_q|_dqn)?)"
)
_SECONDARY = re.compile(
    r"(adam_)?beta_?[12]|b[12]|label_smoothing.*|smoothing|max_grad_norm|(grad(ient)?_)?clip.*"
    r"|warmup_.*|(adam_)?eps(ilon)?|temp(erature)?"
)
_FIXED = re.compile(
    r"(.*_)?(seed|random_state|rng|epochs?|iterations?|iters?|niter|max_iter|max_steps|steps"
    r"|num_steps|n_steps|timesteps|total_timesteps|episodes|budget|workers|n_jobs|jobs|threads"
    r"|processes|nproc|cpus?|gpus?|ngpu|device|devices|cuda|tpu|mps|accel|accelerator|rank|world_size"
    r"|nodes|backend|strategy|precision|amp|fp16|bf16|half|compile|deterministic|benchmark|port|host"
    r"|url|addr(ess)?|data|dataset|datasets|data_?root|data_?dir|root|path|dir|directory|folder|file"
    r"|filename|files|input|inputs|output|outputs|out|outf|save|load|resume|checkpoints?|ckpt"
    r"|pretrained|log|logs|logging|print|verbose|verbosity|quiet|debug|dry_run|profile|test|eval"
    r"|evaluate|val|valid|validation|predict|version|config|cfg|name|tag|project|entity|group|notes"
    r"|experiment|exp|run|id|wandb|tensorboard|mlflow|token|user|password|key|timeout|interval|freq"
    r"|frequency|every|patience|classes|num_classes|n_classes|vocab|vocab_size|num_labels|samples"
    r"|num_samples|n_samples|subset|limit|split|folds?|n_splits|cache|download|overwrite|force|plot"
    r"|show|render|visuali[sz]e|task|mode|stage|lang|language|columns?|target|label|labels|features"
    r"|size_limit|total|max_len|seq_len|length|max_length|max_seq_length|img_size|image_size|imgsz"
    r"|input_dim|input_size|in_dim|output_dim|output_size|out_dim|in_channels|out_channels|num_channels"
    r"|n_features|nb_classes|threshold|top_?k|percent|fraction_data|train|backup|push_to_hub|bptt)"
    r"|(no|do|save|load|log|print|eval|test|val|valid|validation|data|dataset|wandb|dist|master"
    r"|local|checkpoint|ckpt|output|input|max_train|max_eval|max_predict|resume|pretrained|report"
    r"|start|end|disable|enable|skip|show|plot|num_workers|image|img|vocab|num_classes|n_classes"
    r"|seed|min_lr|per_device_eval|overwrite|push|hub|cache|preprocessing|tokenizer|manual|path|dir"
    r"|file|train_(file|data|path|dir|csv|set)|world|node|rank|ddp|deepspeed|fsdp|onnx)(_.*)?"
)


def propose(flag: Flag) -> Values | None:
    """Return the values to try for a flag; None if it is no hyperparameter by its name."""
    name = divide(flag.name)
    if flag.caution or flag.kind == "path":
        return None
    if flag.kind == "bool":
        return Choices((False, True)) if _SWITCHES.fullmatch(name) else None
    if len(flag.choices) > 1:
        is_number = all(isinstance(each, int | float) for each in flag.choices)
        wanted = _CATEGORIES.fullmatch(name) or (is_number and _find_rule(name))
        return choose(flag.choices) if wanted else None
    rule = _find_rule(name)
    if rule is None or flag.kind == "str":
        return None
    if flag.many or isinstance(flag.default, list):
        return _propose_lists(flag)
    return clip(flag, rule(flag))


def choose(values: Sequence[Any]) -> Choices | None:
    """Return a choice between values, as far as Optuna can tell them apart; None if it cannot."""
    distinct: list[Any] = []
    for value in values[:_MAX_CHOICES]:
        if value not in distinct:
            distinct.append(value)
    types = {type(value) for value in distinct}
    return Choices(tuple(distinct)) if len(distinct) > 1 and not {bool, str} <= types else None


def is_secondary(flag: Flag) -> bool:
    """Return whether a hyperparameter usually matters less than others."""
    return bool(_SECONDARY.fullmatch(divide(flag.name)))


def propose_any(flag: Flag) -> Values | None:
    """Return values to try for a number of an unknown name; None if it should rather be fixed."""
    is_list = flag.many or isinstance(flag.default, list)
    if flag.caution or flag.switch or is_list or _FIXED.fullmatch(divide(flag.name)):
        return None
    if len(flag.choices) > 1:
        return choose(flag.choices)
    default = _number(flag)
    if flag.kind == "float":
        if default is None or default <= 0:
            span = 1.0 if not default else abs(default) * 2
            return clip(flag, Range("float", -span if default and default < 0 else 0.0, span))
        if default < 0.1:
            return clip(flag, around(1e-3, 1.0)(flag))
        return clip(flag, Range("float", _round(default / 2), _round(default * 2)))
    if flag.kind == "int" and (default is None or default >= 0):
        return clip(flag, count(1, 10)(flag))
    return None


def is_fixed(flag: Flag) -> bool:
    """Return whether a flag is, by its name, no hyperparameter."""
    return bool(_FIXED.fullmatch(divide(flag.name)))


def _find_rule(name: str) -> _Propose | None:
    rules = (rule for pattern, rule in _COMPILED if pattern.fullmatch(name))
    found = next(rules, None)
    # What is measured on other data is set apart, as in test_batch_size.
    return None if re.match(r"(test|eval|val|valid|validation|min)_", name) and found else found


_COMPILED = [(re.compile(pattern), rule) for pattern, rule in _RULES]


def _propose_lists(flag: Flag) -> Values | None:
    """Propose lists with halves and doubles of a default such as ``[64, 64]``."""
    default = flag.default
    numbers = isinstance(default, list | tuple) and len(default) > 0
    if not numbers or not all(type(each) is int and each > 1 for each in default):
        return None
    return Choices(tuple([int(each * factor) for each in default] for factor in (0.5, 1, 2)))


def read_range(flag: Flag) -> Flag:
    """Return a flag with the range that its description names, as in ``1 to 200``."""
    found = _STATED.search(flag.help)
    if found is None or flag.low is not None or flag.high is not None:
        return flag
    low, high = (float(each) for each in found.groups() if each is not None)
    default = _number(flag)
    fits = low < high and (default is None or low <= default <= high)
    return replace(flag, low=low, high=high) if fits else flag


def clip(flag: Flag, values: Values | None) -> Values | None:
    """Keep a proposal within what the script accepts."""
    if not isinstance(values, Range):
        if (flag.low is None and flag.high is None) or values is None:
            return values
        low = -math.inf if flag.low is None else flag.low
        high = math.inf if flag.high is None else flag.high
        kept = [each for each in values.values if low <= each <= high]
        return Choices(tuple(kept)) if len(kept) > 1 else None
    low = values.low if flag.low is None else max(values.low, flag.low)
    high = values.high if flag.high is None else min(values.high, flag.high)
    whole = values.kind == "int" or flag.kind == "int"
    if whole:
        low, high = math.ceil(low), math.floor(high)
    if values.log and low <= 0:
        low = min(1.0, high) if whole else min(1e-6, high / 2)
    if not low < high:
        return None
    return Range("int" if whole else values.kind, low, high, values.log)


def _number(flag: Flag) -> float | None:
    value = flag.default
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def _round(value: float) -> float:
    """Round to two significant digits."""
    return float(f"{value:.1e}") if value else 0.0
