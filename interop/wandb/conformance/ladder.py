"""Runs the capabilities of one script, and says of each whether it works.

A script is a list of functions marked with @capability(key, title). main() calls
them in order and prints a line of JSON for each, which `make interop` reads.
Every function checks by reading back: with wandb.Api(), or with Solera's own API.
"""

import argparse
import contextlib
import fnmatch
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import traceback
import urllib.error
import urllib.parse
import urllib.request

import wandb

BASE = os.environ["WANDB_BASE_URL"]
KEY = os.environ.get("WANDB_API_KEY", "")
ENTITY = "default"
PROJECT = os.environ["WANDB_PROJECT"]
VERSION = tuple(int(n) for n in re.findall(r"\d+", wandb.__version__)[:3])

# So many times as long as on a quiet machine may everything take.
PATIENCE = float(os.environ.get("INTEROP_PATIENCE", "2"))

_capabilities = []
_report = os.fdopen(os.dup(1), "w")  # the client captures sys.stdout


class NotInThisClient(Exception):
    """The client of this version has no such function: nothing to show."""


class TooSlow(BaseException):
    """Not an Exception, so that no client catches it."""


def capability(key, title, seconds=60):
    """Marks a function that shows one capability, and how long it may take."""

    def mark(function):
        _capabilities.append((key, title, seconds, function))
        return function

    return mark


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--list", action="store_true", help="name the capabilities, one JSON object a line")
    parser.add_argument("--only", default="*", help="a pattern of keys")
    parser.add_argument("--part", default="1/1", help="only the first of every three: 1/3")
    arguments = parser.parse_args()
    part, parts = (int(n) for n in arguments.part.split("/"))
    chosen = [c for c in _capabilities if any(fnmatch.fnmatch(c[0], p) for p in arguments.only.split(","))][part - 1 :: parts]
    if arguments.list:
        for key, title, _, _ in chosen:
            tell(key=key, title=title)
        return
    signal.signal(signal.SIGALRM, _alarm)
    failed = 0
    for key, title, seconds, function in chosen:
        result, note = "works", ""
        start = time.monotonic()
        try:
            signal.alarm(round(seconds * PATIENCE))
            note = function() or ""
        except NotInThisClient as e:
            result, note = "absent", str(e)
        except (Exception, TooSlow, SystemExit) as e:
            result, note = "fails", f"{type(e).__name__}: {e}".strip()
            traceback.print_exc(file=sys.__stderr__)
            failed += 1
        finally:
            signal.alarm(0)
        with contextlib.suppress(Exception, TooSlow):
            signal.alarm(20)
            if wandb.run is not None:
                wandb.run.finish(exit_code=1)
        signal.alarm(0)
        tell(key=key, title=title, result=result, seconds=round(time.monotonic() - start, 2), note=note[:600])
    sys.__stdout__.flush()
    # A client that failed may wait for its server for days when Python exits.
    if failed:
        sys.__stderr__.flush()
        os._exit(1)


def tell(**fields):
    _report.write("RESULT " + json.dumps(fields) + "\n")
    _report.flush()


def _alarm(*_):
    raise TooSlow("not done in time")


# What scripts check with.


def equal(got, want, what="value"):
    if got != want:
        raise AssertionError(f"{what}: got {got!r}, want {want!r}")


def true(condition, what):
    if not condition:
        raise AssertionError(what)


def raises(what, function, *wanted):
    """Calls function, which must fail with a message that has all of wanted."""
    try:
        function()
    except Exception as e:
        for text in wanted:
            if text.lower() not in str(e).lower():
                raise AssertionError(f"{what}: got {type(e).__name__}: {e}, want a message with {text!r}")
        return e
    raise AssertionError(f"{what}: did not fail")


def eventually(function, what, seconds=30, every=0.3):
    """Waits until function returns something true, and returns it."""
    end = time.monotonic() + seconds * PATIENCE
    last = None
    while time.monotonic() < end:
        try:
            last = function()
            if last:
                return last
        except (AssertionError, KeyError, urllib.error.HTTPError, wandb.errors.CommError, ValueError) as e:
            last = e
        time.sleep(every)
    raise AssertionError(f"{what}: not within {seconds} s; last: {last!r}")


def start(**options):
    """wandb.init, with the file stream hurried up: the client's own pause is 15 s."""
    settings = options.pop("settings", {})
    settings = {"x_file_stream_transmit_interval": 1, **settings}
    options.setdefault("project", PROJECT)
    return wandb.init(settings=wandb.Settings(**settings), **options)


def remote(run_id, project=PROJECT):
    """The run as wandb.Api() sees it now."""
    return wandb.Api().run(f"{ENTITY}/{project}/{run_id}")


def solera(path, body=None, method=None, raw=False):
    """Asks Solera's own API; path begins below the workspace."""
    request = urllib.request.Request(f"{BASE}/api/v1/workspaces/{ENTITY}{path}", method=method or ("POST" if body is not None else "GET"))
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    if KEY:
        request.add_header("Authorization", "Bearer " + KEY)
    with urllib.request.urlopen(request, timeout=20) as answer:
        content = answer.read()
    return content if raw else json.loads(content or b"null")


def alone(changes=()):
    """The environment of a program that has nothing to do with this one: without
    the variable by which it would share this one's connection."""
    return {**{k: v for k, v in os.environ.items() if k != "WANDB_SERVICE"}, **dict(changes)}


def wandb_command(*arguments, ok=True, seconds=60, **environment):
    """Runs `wandb …`; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "wandb", *arguments],
        env=alone(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds * PATIENCE,
    )
    print(done.stdout, file=sys.__stderr__)
    if ok and done.returncode != 0:
        raise AssertionError(f"wandb {' '.join(arguments)}: exit {done.returncode}: {done.stdout.strip()[-400:]}")
    return done.stdout


def python(code, seconds=60, ok=True, **environment):
    """Runs a program of its own, as a user's script is one; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code], env=alone(environment), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds * PATIENCE,
    )
    print(done.stdout, file=sys.__stderr__)
    if ok and done.returncode != 0:
        raise AssertionError(f"exit {done.returncode}: {done.stdout.strip()[-400:]}")
    return done.stdout


def folder(name):
    """An empty folder of that name."""
    path = pathlib.Path(name + "-" + os.urandom(3).hex())
    path.mkdir(parents=True)
    return path
