"""What `mxfp4 test` has pytest load: chooses tests, and writes down as JSON lines what becomes of each.

`MXFP4_PYTEST_OPTIONS` is a JSON file of what is wanted, `MXFP4_PYTEST_EVENTS` the file to write to.
"""

import json
import os
import re
import shlex
import sys
import traceback

import pytest
from _pytest.mark.expression import Expression

with open(os.environ["MXFP4_PYTEST_OPTIONS"], encoding="utf-8") as _file:
    _wanted = json.load(_file)
# Not for the processes that a test starts: pytest may be among them.
_path = os.environ.pop("MXFP4_PYTEST_EVENTS")
_events = open(_path, "a", encoding="utf-8", buffering=1)
_pid = os.getpid()
_phases = []
_root = None
_WISHES = {"first": False, "apart": False}

# pytest's own options that would have `mxfp4 test` run other tests than it says, or run them otherwise: what each is
# called, and the value that leaves it out. They come from PYTEST_ADDOPTS, and from `addopts` of a file in the workspace
# or above it.
_LEFT_OUT = {
    "maxfail": ("-x/--maxfail", 0),
    "collectonly": ("--collect-only", False),
    "stepwise": ("--stepwise", False),
    "stepwise_skip": ("--stepwise-skip", False),
    "lf": ("--last-failed", False),
    "setuponly": ("--setup-only", False),
    "setupplan": ("--setup-plan", False),
    "usepdb": ("--pdb", False),
    "trace": ("--trace", False),
    "version": ("--version", 0),
    "showfixtures": ("--fixtures", False),
    "show_fixtures_per_test": ("--fixtures-per-test", False),
    "markers": ("--markers", False),
    "cacheshow": ("--cache-show", None),
    # pytest-xdist, pytest-rerunfailures and pytest-forked.
    "numprocesses": ("-n", None),
    "dist": ("--dist", "no"),
    "distload": ("-d", False),
    "tx": ("--tx", []),
    "looponfail": ("--looponfail", False),
    "reruns": ("--reruns", 0),
    "forked": ("--forked", False),
}
# Those that choose tests hold, and are told.
_CHOOSING = {
    "keyword": "-k",
    "markexpr": "-m",
    "deselect": "--deselect",
    "ignore": "--ignore",
    "ignore_glob": "--ignore-glob",
}


def _text(value):
    """Text without lone surrogates, which a file's name may bring and JSON cannot carry."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def _name(item):
    """pytest's name of a test, as it is told and asked for."""
    return _text(item.nodeid)


def _path_text(path):
    """A path in which each character stands for one byte: a path need not be text."""
    return os.fsencode(path).decode("latin-1")


def _say(event, **fields):
    # A process that a test forked is no second run of it.
    if os.getpid() != _pid:
        return
    for key, value in fields.items():
        if isinstance(value, str):
            fields[key] = _text(value)
    _events.write(json.dumps({"event": event, **fields}) + "\n")


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def _end_what_was_forked():
    """Ends a process that a test has forked and that comes back from it: it would run all further tests once more."""
    begun = os.getpid()
    outcome = yield
    if os.getpid() == begun:
        return
    code = 0
    if outcome.excinfo is not None:
        error = outcome.excinfo[1]
        code = error.code if isinstance(error, SystemExit) else 1
        if not isinstance(error, SystemExit):
            traceback.print_exception(*outcome.excinfo)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


pytest_make_collect_report = _end_what_was_forked
pytest_runtest_setup = _end_what_was_forked
pytest_runtest_call = _end_what_was_forked
pytest_runtest_teardown = _end_what_was_forked


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_cmdline_main(config):
    global _root
    _root = config.rootpath
    _say("options", **_settle(config))
    yield


def _settle(config):
    """Leaves out the options that this run cannot have; tells which, which choose tests, and where all come from."""
    option = config.option
    keep = {"collectonly"} if _wanted["collect"] else set()
    left_out = []
    for name, (flag, value) in _LEFT_OUT.items():
        given = getattr(option, name, None)
        if name in keep or not given or given == value:
            continue
        setattr(option, name, value)
        left_out.append(flag)
    if _wanted["only"] is not None:
        # These were chosen already, with other options perhaps.
        option.keyword, option.markexpr, option.deselect = "", "", None
    if option.keyword == _wanted["keyword"]:
        keep.add("keyword")
    choosing = [
        flag
        for name, flag in _CHOOSING.items()
        if name not in keep and getattr(option, name, None)
    ]
    return {
        "left_out": left_out,
        "choosing": choosing,
        "sources": [_text(name) for name in _sources(config, left_out + choosing)],
    }


def _sources(config, flags):
    """Where these options come from: all that hold options, unless some are seen to hold one of these."""
    options = {
        "PYTEST_ADDOPTS": shlex.split(os.environ.get("PYTEST_ADDOPTS", "")),
        f"`addopts` of {config.inipath}": config.getini("addopts"),
    }
    words = [word for flag in flags for word in flag.split("/")]
    holding = [
        name
        for name, given in options.items()
        if any(
            option.split("=")[0].startswith(word) for option in given for word in words
        )
    ]
    return holding or [name for name, given in options.items() if given]


def _needs_gpu(item):
    return "hopper" in getattr(item, "fixturenames", ()) or any(
        item.iter_markers("gpu")
    )


def _is_wanted(item):
    only, substring, pattern, gpu = (
        _wanted.get(key) for key in ("only", "substring", "regex", "gpu")
    )
    name = _name(item)
    return (
        (only is None or name in only)
        and (substring is None or substring in name)
        and (pattern is None or re.search(pattern, name) is not None)
        and (gpu is None or _needs_gpu(item) == gpu)
    )


def _names_in(module):
    """A module's name, and as far as its text tells those of its tests."""
    try:
        with open(_root / module, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        text = ""
    found = re.findall(r"^\s*(?:async +)?(?:def|class) +([Tt]est\w*)", text, re.M)
    module = _text(module)
    return [module, *(f"{module}::{name}" for name in found)]


def _may_be_wanted(name):
    """Whether the filters that go by names leave this one."""
    keyword, substring, pattern = (
        _wanted.get(key) for key in ("keyword", "substring", "regex")
    )
    return (
        (not keyword or Expression.compile(keyword).evaluate(_has_word(name)))
        and (substring is None or substring in name)
        and (pattern is None or re.search(pattern, name) is not None)
    )


def _has_word(name):
    return lambda word, **_: word.lower() in name.lower()


def _wishes(item):
    """How the markers `job` want it to be run; the closest one counts."""
    wishes = {}
    for marker in item.iter_markers("job"):
        unknown = [*map(repr, marker.args), *sorted(marker.kwargs.keys() - _WISHES)]
        if unknown:
            raise pytest.UsageError(
                f"{item.nodeid}: the marker `job` takes {' and '.join(_WISHES)}, "
                f"and not {', '.join(unknown)}"
            )
        wishes = marker.kwargs | wishes
    return _WISHES | wishes


def pytest_configure(config):
    config.addinivalue_line("markers", "job(first, apart): how `mxfp4 test` runs it")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    chosen = [item for item in items if _is_wanted(item)]
    rest = [item for item in items if not _is_wanted(item)]
    if rest:
        config.hook.pytest_deselected(items=rest)
    items[:] = chosen


def pytest_collection_finish(session):
    # What other plugins have left out by now is not run.
    settings = session.config.inipath
    _say(
        "root",
        path=_path_text(session.config.rootpath),
        settings=None if settings is None else str(settings),
    )
    for item in session.items:
        _say(
            "collected",
            id=item.nodeid,
            gpu=_needs_gpu(item),
            file=_path_text(item.path),
            **_wishes(item),
        )


def _reason_of_skip(report):
    if hasattr(report, "wasxfail"):
        return f"expected to fail: {report.wasxfail}".rstrip(": ")
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)


def _reason_of_failure(report):
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        return crash.message
    lines = report.longreprtext.strip().splitlines()
    return lines[-1].removeprefix("E").strip() if lines else "no reason given"


def _output(report):
    parts = [report.longreprtext]
    parts += [f"--- {name} ---\n{text}" for name, text in report.sections]
    return "\n".join(part.rstrip() for part in parts)


def pytest_collectreport(report):
    if report.failed:
        _say(
            "end",
            id=report.nodeid or "collection",
            outcome="failed",
            reason=_reason_of_failure(report),
            output=_output(report),
            seconds=0.0,
        )
    elif report.skipped:
        names = _names_in(report.nodeid)
        if not any(map(_may_be_wanted, names)):
            return
        # A folder's name asks for nobody in it.
        own = [name.rpartition("/")[2] for name in names]
        _say(
            "end",
            id=report.nodeid,
            outcome="skipped",
            reason=_reason_of_skip(report),
            output="",
            seconds=0.0,
            asked=_wanted["by_name"] and any(map(_may_be_wanted, own)),
        )


def pytest_runtest_logstart(nodeid, location):
    _phases.clear()
    _say("start", id=nodeid)


def pytest_runtest_logreport(report):
    _phases.append(report)


def pytest_runtest_logfinish(nodeid, location):
    failed = next((phase for phase in _phases if phase.failed), None)
    skipped = next((phase for phase in _phases if phase.skipped), None)
    if failed is not None:
        outcome, reason, output = "failed", _reason_of_failure(failed), _output(failed)
    elif skipped is not None:
        outcome, reason, output = "skipped", _reason_of_skip(skipped), ""
    else:
        outcome, reason, output = "passed", "", ""
    _say(
        "end",
        id=nodeid,
        outcome=outcome,
        reason=reason,
        output=output,
        seconds=sum(phase.duration for phase in _phases),
    )
