"""Pages of runs and sweeps: the list, one run, and several runs beside each other."""

import json
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from games.errors import UserError
from games.text import duration
from marl.agents.cost import CPU, WALL
from marl.training import curves
from marl.training.curves import EVALUATED, UNITS
from marl.training.logs import Log, RunLogs
from tournaments.web.pages import Data, many, url_of
from tournaments.web.places import MEMBERS, Place
from tournaments.web.progress import STATES, Progress, progress_of

MOST_COMPARED = 64  # runs
MOST_SMALL = 120  # points of a small curve
RETURN = "rollout/return_mean"


def run_routes() -> list[Route]:
    """Return the routes of runs and sweeps."""
    return [
        Route("/", _list),
        Route("/runs/{name:path}", _run),
        Route("/sweeps/{name:path}", _sweep),
        Route("/compare", _compare),
        Route("/api/curves", _curves),
        Route("/api/runs/{name:path}", _metrics),
    ]


def _list(request: Request) -> Response:
    state = request.app.state
    places = state.places.all()
    sweeps = [place for place in places if "sweep" in place.kinds]
    populations = [place for place in places if "population" in place.kinds]
    inside = tuple(f"{place.name}/" for place in (*sweeps, *populations))
    runs = [place for place in places if "run" in place.kinds and not place.name.startswith(inside)]
    found = sorted(map(progress_of, runs), key=lambda run: (run.state != "running", -run.changed))
    answer: Response = state.pages.answer(
        request,
        "runs.j2",
        title="Runs",
        runs=found,
        sweeps=[(place, _members(request, place)) for place in sweeps],
        populations=[(place, sum(each.name.startswith(f"{place.name}/") for each in places)) for place in populations],
        boards=sum("tournament" in place.kinds for place in places),
        states=STATES,
    )
    return answer


def _members(request: Request, place: Place) -> list[Progress]:
    """Return how far the members of a sweep are, in the order of their names."""
    places = request.app.state.places
    names = sorted(path.name for path in (place.path / MEMBERS).iterdir() if path.is_dir())
    members = []
    for name in names:
        try:
            members.append(progress_of(places.find(f"{place.name}/{MEMBERS}/{name}", "run")))
        except UserError:  # not begun yet, or a link
            continue
    return members


def _run(request: Request) -> Response:
    state = request.app.state
    place = state.places.find(request.path_params["name"], "run")
    progress, growing = progress_of(place), state.index.growing(place)
    logs = growing.logs
    answer: Response = state.pages.answer(
        request,
        "run.j2",
        title=place.name.rpartition("/")[2],
        run=progress,
        parent=_parent(request, place),
        query=f"run={url_of(place.name)[1:]}",
        metrics=_choices(logs),
        panel=list(logs.evaluations),
        spent=_spent(progress, logs.metrics),
        config=_settings(progress),
        checkpoints=_checkpoints(place),
        reading="" if growing.whole else f"{100 * growing.share:.0f} %",
        fault=growing.fault,
        states=STATES,
    )
    return answer


def _parent(request: Request, place: Place) -> Place | None:
    """Return the sweep or the population of which a run is a member."""
    above, members, _ = place.name.rpartition(f"/{MEMBERS}/")
    for kind in ("sweep", "population") if members else ():
        try:
            found: Place = request.app.state.places.find(above, kind)
            return found
        except UserError:
            continue
    return None


def _sweep(request: Request) -> Response:
    place = request.app.state.places.find(request.path_params["name"], "sweep")
    members = _members(request, place)
    return _beside(request, place.name.rpartition("/")[2], [member.place for member in members], place, members)


def _compare(request: Request) -> Response:
    names = list(dict.fromkeys(request.query_params.getlist("run")))
    if not names:
        return RedirectResponse("/", 303)
    places = [request.app.state.places.find(name, "run") for name in names[:MOST_COMPARED]]
    return _beside(request, many(len(places), "run"), places, None, list(map(progress_of, places)))


def _beside(
    request: Request, title: str, places: Sequence[Place], sweep: Place | None, members: Sequence[Progress]
) -> Response:
    """Return a page of several runs with the curves of one metric."""
    state = request.app.state
    logs = [growing.logs for growing in state.index.all_growing(places[:MOST_COMPARED]).values()]
    names = [f"run={url_of(place.name)[1:]}" for place in places[:MOST_COMPARED]]
    answer: Response = state.pages.answer(
        request,
        "compare.j2",
        title=title,
        sweep=sweep,
        members=members,
        query="&".join(names),
        metrics=_choices(*logs),
        panel=list(dict.fromkeys(name for each in logs for name in each.evaluations)),
        watch=[sweep.name] if sweep else [place.name for place in places],
        states=STATES,
    )
    return answer


def _curves(request: Request) -> Response:
    """Answer with the curves that `marl plot` draws of some runs."""
    state, query = request.app.state, request.query_params
    places = [state.places.find(name, "run") for name in query.getlist("run")[:MOST_COMPARED]]
    if not places:
        raise UserError("expected runs to draw, got none; name some")
    growing = state.index.all_growing(places)
    begun = [path for path, each in growing.items() if each.logs.metrics or each.logs.evaluations]
    reading = [each.share for each in growing.values() if not each.whole]
    plot = curves.read(
        begun or list(growing)[:1],
        query.get("metric", "return"),
        query.get("against"),
        logs_of=lambda path: growing[path].logs,
    )
    more = {
        "title": plot.title,
        "reading": f"{100 * min(reading):.0f} %" if reading else "",
        "fault": next((each.fault for each in growing.values() if each.fault), ""),
    }
    return Data(plot.to_json() | more)


def _metrics(request: Request) -> Response:
    """Answer with a small curve of every metric that a run has logged."""
    place = request.app.state.places.find(request.path_params["name"], "run")
    log = request.app.state.index.growing(place).logs.metrics
    found = []
    for name in log.names:
        if log.columns[name].fault:
            continue
        step, value = (curves.thinned(values, MOST_SMALL) for values in log.points(name))
        found.append({"name": name, "title": UNITS.get(name, name), "step": step.tolist(), "value": value.tolist()})
    return Data({"metrics": sorted(found, key=lambda each: (not each["name"].startswith("rollout/"), each["name"]))})


def _choices(*logs: RunLogs) -> list[tuple[str, str, bool]]:
    """Return the metrics that may be drawn of runs: names, titles, and whether they are of evaluations."""
    evaluated = [(name, UNITS[name], True) for name in EVALUATED] if any(each.evaluations for each in logs) else []
    names = dict.fromkeys(name for each in logs for name in each.metrics.names)
    families = dict.fromkeys(name.partition(".")[0] for name in names if "." in name)
    trained = sorted({*names, *families}, key=lambda name: (not name.startswith(RETURN), name))
    return evaluated + [(name, UNITS.get(name, name), False) for name in trained]


def _spent(progress: Progress, log: Log) -> dict[str, str]:
    """Return what a run has cost, how fast it is, and how long it still takes."""
    try:
        wall, cpu = log.seconds(WALL), log.seconds(CPU)
        speed = log.points(WALL)[1][-20:].mean() if WALL in log.columns and len(log.columns[WALL].values) else 0.0
    except ValueError:  # a damaged value; the page says so
        return {}
    found = {"wall time": duration(wall), "CPU time": duration(cpu)}
    if speed > 0:
        found["steps a second"] = f"{speed:,.0f}"
        if progress.state == "running" and progress.config:
            found["left"] = duration((progress.config.steps - progress.step) / float(speed))
    return {name: text for name, text in found.items() if text}


def _settings(progress: Progress) -> dict[str, str]:
    """Return a run's config by dotted keys, as text."""
    settings = curves.flat(progress.config.model_dump(mode="json")) if progress.config else {}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in settings.items()}


def _checkpoints(place: Place) -> list[str]:
    """Return the names of a run's checkpoints, the newest first."""
    try:
        return sorted(
            (path.name for path in (place.path / "checkpoints").iterdir() if path.name.isdigit()), reverse=True
        )
    except OSError:
        return []
