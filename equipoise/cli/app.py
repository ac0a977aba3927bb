"""The commands: parse, call, print."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Any

import typer

from equipoise._version import __version__

app = typer.Typer(
    name="equipoise",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Watch adversarial training, say what is wrong and since when, prescribe, and prove it.",
)

HEALTHY, SICK, INCONCLUSIVE = 0, 1, 3
VERDICT_CODES = {"healthy": HEALTHY, "sick": SICK, "inconclusive": INCONCLUSIVE}


class Guard(enum.Enum):
    """What a run does about a finding."""

    WARN = "warn"
    STOP = "stop"
    ROLLBACK = "rollback"


OnFinding = Annotated[
    Guard | None,
    typer.Option("--guard", help="On a finding: print it, stop, or go back and treat it."),
]
RunDir = Annotated[Path | None, typer.Option("--run-dir", help="New directory for the run.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="PATH=VALUE, a change of the recipe; repeatable.")
]
ImageFolder = Annotated[
    str | None, typer.Option("--data", help="Folder of images, for recipes such as `images`.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON with a versioned schema.")]
AsMarkdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown, to paste.")]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="No live display.")]
LedgerPath = Annotated[Path, typer.Option("--ledger", help="The ledger's file.")]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"equipoise {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--dir", help="Where everything goes.")] = Path(
        "runs/demo"
    ),
    seeds: Annotated[int, typer.Option(min=5, help="Pairs in the trial.")] = 5,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; default one per core.")
    ] = None,
    no_progress: NoProgress = False,
) -> None:
    """A sick GAN on real digits: watched, diagnosed, treated in a trial, reported; 2 minutes."""
    from equipoise.cli.demo import demonstrate

    demonstrate(folder, seeds, workers, live=not no_progress)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A preset's name, or a YAML file.")],
    settings: Settings = None,
    run_dir: RunDir = None,
    data: ImageFolder = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the run.")] = None,
    kimg: Annotated[
        float | None, typer.Option("--kimg", help="Thousands of reals to show.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved recipe, stop.")
    ] = False,
    guard: OnFinding = None,
    no_progress: NoProgress = False,
) -> None:
    """Train a recipe, watched; judge it at the end."""
    from equipoise.cli.play import resolved, train_recipe

    changes: dict[str, Any] = {}
    changes |= {"seed": seed} if seed is not None else {}
    changes |= {"kimg": kimg} if kimg is not None else {}
    chosen = resolved(recipe, changes, settings or [], data)
    train_recipe(chosen, run_dir, dry_run, not no_progress, guard.value if guard else None)


@app.command()
def resume(
    run_dir: Annotated[Path, typer.Argument(help="A run directory.")],
    guard: OnFinding = None,
    no_progress: NoProgress = False,
) -> None:
    """Go on with an interrupted or killed run, to bitwise the same end."""
    from equipoise.cli.play import resume_run

    resume_run(run_dir, not no_progress, guard.value if guard else None)


@app.command()
def check(
    recipe: Annotated[str, typer.Argument(help="A preset's name, or a YAML file.")],
    settings: Settings = None,
    data: ImageFolder = None,
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
) -> None:
    """Look over a recipe's networks, data and settings before the first step.

    Exit code 0 healthy, 1 sick, 3 inconclusive.
    """
    from equipoise.cli.check import check_recipe
    from equipoise.cli.play import resolved

    chosen = resolved(recipe, {}, settings or [], data)
    raise typer.Exit(VERDICT_CODES[check_recipe(chosen, as_json, as_markdown)])


@app.command()
def evaluate(
    fake: Annotated[
        Path, typer.Argument(help="Folder, zip or array of samples; a run, or a checkpoint of one.")
    ],
    real: Annotated[
        Path | None, typer.Argument(help="Likewise; of a run by default the data it learned from.")
    ] = None,
    metrics: Annotated[
        str | None, typer.Option("--metrics", help="Names with commas, see `list metrics`.")
    ] = None,
    features: Annotated[
        str | None, typer.Option("--features", help="Name of the features; default random_conv.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="A published convention, see `list conventions`.")
    ] = None,
    train_path: Annotated[
        Path | None, typer.Option("--train", help="The training set, for memorization.")
    ] = None,
    values: Annotated[
        str | None, typer.Option("--values", help="Range of float images: -1..1, 0..1 or 0..255.")
    ] = None,
    fakes: Annotated[int | None, typer.Option(min=2, help="How many fakes to measure.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images per pass.")] = 64,
    device: Annotated[str | None, typer.Option(help="Where features are taken: cpu, cuda.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of everything drawn.")] = 0,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Folder of features: reused, and gone on with.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="File of the features' weights.")
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch weights that are not on this machine.")
    ] = False,
    blind_spots: Annotated[
        bool, typer.Option(help="Score surrogates of the reals as well.")
    ] = True,
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
    no_progress: NoProgress = False,
) -> None:
    """Measure samples against samples, with intervals, and say what the measures cannot see."""
    from equipoise.cli.evaluate import evaluate_paths

    chosen: dict[str, Any] = {"path": weights} if weights else {}
    chosen |= {"download": True} if download else {}
    evaluate_paths(
        fake,
        real,
        metrics,
        as_json,
        as_markdown,
        not no_progress,
        features=features,
        preset=preset,
        train=train_path,
        values=values,
        fakes=fakes,
        batch=batch,
        device=device,
        seed=seed,
        cache=cache,
        check_blind_spots=blind_spots,
        extractor_options=chosen,
    )


@app.command()
def diagnose(
    path: Annotated[Path, typer.Argument(help="A run directory, a trace, or a log of any loop.")],
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", help="THEIRS=OURS, a name in a foreign log; repeatable."),
    ] = None,
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Watch it grow, say each new finding.")
    ] = False,
    on_finding: Annotated[
        str | None,
        typer.Option("--on-finding", help="With --follow: a command, or an http(s) address."),
    ] = None,
    every: Annotated[float, typer.Option(help="With --follow: seconds between two looks.")] = 10.0,
    idle: Annotated[
        float | None, typer.Option(help="With --follow: end after so many seconds of no growth.")
    ] = None,
) -> None:
    """Say whether a run is well, what is wrong, since when, and what to do.

    Exit code 0 healthy, 1 sick, 3 inconclusive.
    """
    from equipoise.cli.judge import diagnose_path, follow_path

    if follow:
        from equipoise.cli.follow import Watch

        watch = Watch(every, idle, on_finding, as_json)
        verdict = follow_path(path, mapping or [], watch)
    else:
        verdict = diagnose_path(path, mapping or [], as_json, as_markdown)
    raise typer.Exit(VERDICT_CODES[verdict])


@app.command()
def audit(
    target: Annotated[str, typer.Argument(help="MODULE:FUNCTION, which trains and observes.")],
    steps: Annotated[int, typer.Option(min=1, help="Updates of each player.")] = 2,
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
) -> None:
    """Audit the wiring of a loop: call it, watch two updates of each player, and stop it.

    FUNCTION takes no arguments, attaches equipoise.Monitor and calls observe; nothing else in it
    changes. Exit code 0 healthy, 1 sick, 3 inconclusive.
    """
    from equipoise.cli.audit import audit_function

    raise typer.Exit(VERDICT_CODES[audit_function(target, steps, as_json, as_markdown)])


@app.command()
def trial(
    recipe: Annotated[str, typer.Argument(help="The baseline: a preset's name, or a YAML file.")],
    arms: Annotated[
        list[str], typer.Option("--arm", help="A remedy, r1=10, or PATH=VALUE; repeatable.")
    ],
    seeds: Annotated[int, typer.Option(min=1, help="Pairs; at least 5 to decide one arm.")] = 5,
    first_seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    metric: Annotated[
        str | None, typer.Option(help="Primary metric; default the recipe's.")
    ] = None,
    minimal_effect: Annotated[
        float, typer.Option(min=0, help="Least improvement worth keeping.")
    ] = 0.0,
    settings: Settings = None,
    data: ImageFolder = None,
    folder: Annotated[Path, typer.Option("--dir", help="Where the runs go.")] = Path("runs/trials"),
    ledger: LedgerPath = Path("runs/ledger.sqlite"),
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; default one per core.")
    ] = None,
    as_json: AsJson = False,
    no_progress: NoProgress = False,
) -> None:
    """Try a change against the baseline: same seeds, one thing changed, exact test, ledger."""
    from equipoise.cli.play import resolved
    from equipoise.cli.trials import run_trial

    baseline = resolved(recipe, {}, settings or [], data)
    numbers = range(first_seed, first_seed + seeds)
    live = not no_progress and not as_json
    run_trial(
        baseline, arms, numbers, metric, minimal_effect, folder, ledger, workers, as_json, live
    )


@app.command()
def report(
    path: Annotated[Path, typer.Argument(help="A run directory, a trace, or a log of any loop.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page to write.")
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option("--ledger", help="Show this ledger's trials.")
    ] = None,
) -> None:
    """Write one self-contained HTML page about a run."""
    from equipoise.cli.judge import report_path

    report_path(path, output, ledger)


@app.command()
def ledger(
    path: Annotated[Path, typer.Argument(help="The ledger's file.")] = Path("runs/ledger.sqlite"),
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show what trials have decided."""
    from equipoise.cli.trials import show_ledger

    show_ledger(path, limit, as_json)


@app.command("list")
def list_family(
    family: Annotated[str, typer.Argument(help="presets, objectives, penalties, failures, ...")],
) -> None:
    """List a family of parts, one line each."""
    from equipoise.cli.catalogue import list_entries

    list_entries(family)


@app.command()
def explain(
    name: Annotated[str, typer.Argument(help="A failure, remedy, advice, check or signal.")],
) -> None:
    """Explain a failure, a remedy, contradicted advice, a check or a signal."""
    from equipoise.cli.catalogue import explain_entry

    explain_entry(name)
