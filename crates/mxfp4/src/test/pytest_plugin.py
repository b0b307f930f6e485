"""What `mxfp4 test` has pytest load: chooses tests, and writes down as JSON lines what becomes of each.

`MXFP4_PYTEST_OPTIONS` is a JSON file of what is wanted, `MXFP4_PYTEST_EVENTS` the file to write to.
"""

import json
import os
import re

import pytest

with open(os.environ["MXFP4_PYTEST_OPTIONS"], encoding="utf-8") as _file:
    _wanted = json.load(_file)
# Not for the processes that a test starts: pytest may be among them.
_path = os.environ.pop("MXFP4_PYTEST_EVENTS")
_events = open(_path, "a", encoding="utf-8", buffering=1)
_phases = []
_WISHES = {"first": False, "apart": False}


def _say(event, **fields):
    _events.write(json.dumps({"event": event, **fields}) + "\n")


def _needs_gpu(item):
    return "hopper" in getattr(item, "fixturenames", ()) or any(
        item.iter_markers("gpu")
    )


def _is_wanted(item):
    only, substring, pattern, gpu = (
        _wanted.get(key) for key in ("only", "substring", "regex", "gpu")
    )
    return (
        (only is None or item.nodeid in only)
        and (substring is None or substring in item.nodeid)
        and (pattern is None or re.search(pattern, item.nodeid) is not None)
        and (gpu is None or _needs_gpu(item) == gpu)
    )


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
    _say("root", path=str(config.rootpath))
    for item in items:
        _say(
            "collected",
            id=item.nodeid,
            gpu=_needs_gpu(item),
            file=str(item.path),
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
        _say(
            "end",
            id=report.nodeid,
            outcome="skipped",
            reason=_reason_of_skip(report),
            output="",
            seconds=0.0,
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
