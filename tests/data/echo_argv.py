"""A script to be tuned, in tests: prints as JSON what it was started with.

ECHO_OPTIONS may hold a JSON list of [names, keywords] for argparse's add_argument, the type by its
name; then what argparse made of the arguments is printed too.
"""

import argparse
import json
import os
import sys

TYPES = {"int": int, "float": float, "str": str, "json": json.loads}


def parsed(options):
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for names, keywords in options:
        if "type" in keywords:
            keywords["type"] = TYPES[keywords["type"]]
        parser.add_argument(*names, **keywords)
    return vars(parser.parse_args())


seen = {"argv": sys.argv[1:], "env": dict(os.environ)}
if "ECHO_OPTIONS" in os.environ:
    seen["parsed"] = parsed(json.loads(os.environ["ECHO_OPTIONS"]))
print(json.dumps(seen))
