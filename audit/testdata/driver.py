"""Runs docs/verify/sago_verify.py many times in one process: a list of arguments a line in, exit code and output a line out.

What a signature check answered is remembered, as nearly all vectors bear the same checkpoint.
"""
import contextlib
import functools
import io
import json
import sys

sys.path.insert(0, sys.argv[1])
import sago_verify  # noqa: E402

for name in ("ecdsa_verify", "ed25519_verify"):
    setattr(sago_verify, name, functools.lru_cache(None)(getattr(sago_verify, name)))
for line in sys.stdin:
    sys.argv = ["sago_verify.py"] + json.loads(line)
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            sago_verify.main()
        code = 0
    except SystemExit as e:
        code = e.code
    print(json.dumps({"exit": code, "output": out.getvalue()}), flush=True)
