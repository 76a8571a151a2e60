"""Files that several tests start from."""

SMALL_STUDY = """\
study: s
direction: maximize
command: [sh, train.sh]
metric: value
parameters: {x: {type: float, low: 0, high: 1}}
"""
"""A study.yaml without limits."""
