"""Command line. TensorFlow is imported by the commands that need it, never for `--help`."""

import contextlib
import io
import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..components.errors import ImbalanceError, UserError
from ..components.masking import mask
from ..components.text import printable

if TYPE_CHECKING:
    from .config import Config
    from .runners.kubeflow import Compiled
    from .runners.submit import Job

app = typer.Typer(
    name="tfx-imbalance",
    help="Train, calibrate, gate and push classifiers on class-imbalanced data, on TFX.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML config.")]


@app.command()
def run(
    config: ConfigPath,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show all that TFX, Beam and TensorFlow say.")
    ] = False,
) -> None:
    """Run the pipeline of CONFIG.

    Exit code 0: pushed, or equal to the pushed model; 3: not blessed; 4: a data check failed;
    2: a mistake in config or data; 1: a fault of ours.
    """
    from .config import load_config
    from .runners import local

    raise typer.Exit(local.run(load_config(config), verbose=verbose))


@app.command(name="compile")
def compile_(
    config: ConfigPath,
    output: Annotated[Path, typer.Option("--output", "-o", help="YAML file to write.")],
    sample: Annotated[
        str | None,
        typer.Option(
            "--sample",
            help="A local file with the data's columns, where data.path is out of reach.",
        ),
    ] = None,
) -> None:
    """Compile the pipeline of CONFIG for Kubeflow Pipelines; its section `kubeflow` says how."""
    from .config import load_config

    _compiled(load_config(config), config, sample).write(output)
    _say(f"wrote {output}; next: tfx-imbalance submit {config}")


Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="NAME=VALUE",
        help="Of the compiled pipeline: data_path, span, serving_dir, pipeline_root. Repeatable.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would change; change nothing.")]
Sample = Annotated[str | None, typer.Option("--sample", help="As for compile.")]


@app.command()
def submit(
    config: ConfigPath,
    param: Parameters = None,
    dry_run: DryRun = False,
    sample: Sample = None,
    vertex: Annotated[
        bool, typer.Option("--vertex", help="To Vertex AI Pipelines instead of kubeflow.host.")
    ] = False,
    project: Annotated[
        str | None,
        typer.Option("--project", envvar="GOOGLE_CLOUD_PROJECT", help="Of Vertex AI."),
    ] = None,
    location: Annotated[
        str | None, typer.Option("--location", envvar="GOOGLE_CLOUD_REGION", help="Of Vertex AI.")
    ] = None,
    accelerator: Annotated[
        str | None,
        typer.Option("--accelerator", help="Vertex AI's name of the GPU, as NVIDIA_TESLA_T4."),
    ] = None,
) -> None:
    """Compile the pipeline of CONFIG and start a run of it on Kubeflow Pipelines.

    A new version is uploaded where the pipeline has changed. The token is read from the
    environment variable that kubeflow.token_env names.
    """
    from .config import load_config
    from .runners import submit as kubeflow_submit

    loaded = load_config(config)
    if not vertex:
        server = kubeflow_submit.connect(loaded)
        job, _ = _job(loaded, config, sample, param)
        kubeflow_submit.submit(job, server, dry_run=dry_run, say=_say)
        return
    from .runners import vertex as on_vertex

    place = on_vertex.Place(project, location, accelerator)
    place.check()
    job, compiled = _job(loaded, config, sample, param)
    platform = bool(compiled.platform_spec)
    on_vertex.submit(job, place, dry_run=dry_run, say=_say, platform=platform)


@app.command()
def schedule(
    config: ConfigPath,
    cron: Annotated[
        str | None,
        typer.Option("--cron", help="Six fields, seconds first, or a crontab's five; UTC."),
    ] = None,
    param: Parameters = None,
    dry_run: DryRun = False,
    sample: Sample = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the schedule instead.")] = False,
) -> None:
    """Have Kubeflow Pipelines run CONFIG by the clock; called again, it updates the schedule.

    Missed times are not made up for, and no run starts while the one before is at work.
    """
    from .config import load_config
    from .runners import submit as kubeflow_submit
    from .runners.cron import parse_cron
    from .runners.kubeflow import pipeline_name

    if delete == (cron is not None):
        raise UserError("schedule: give --cron or --delete, one of the two")
    when = parse_cron(cron) if cron is not None else None
    loaded = load_config(config)
    server = kubeflow_submit.connect(loaded)
    if when is None:
        name = pipeline_name(loaded)
        kubeflow_submit.unschedule(name, server, dry_run=dry_run, say=_say)
        return
    job, _ = _job(loaded, config, sample, param)
    kubeflow_submit.schedule(job, when, server, dry_run=dry_run, say=_say)


def _say(text: str) -> None:
    typer.echo(printable(mask(text)))


def _job(
    loaded: "Config", path: Path, sample: str | None, given: list[str] | None
) -> tuple["Job", "Compiled"]:
    from .runners.submit import make_job

    compiled = _compiled(loaded, path, sample)
    return make_job(loaded, compiled, given or ()), compiled


def _compiled(loaded: "Config", path: Path, sample: str | None) -> "Compiled":
    """Compiles without TensorFlow's chatter."""
    import logging

    from .console import QUIET_ENVIRONMENT
    from .runners.kubeflow import compile_config

    os.environ.update({**QUIET_ENVIRONMENT, **os.environ})
    warnings.simplefilter("ignore")
    logging.getLogger("absl").setLevel(logging.ERROR)
    return compile_config(loaded, config_path=path, sample=sample)


@app.command()
def init(
    data: Annotated[str, typer.Argument(metavar="DATA", help="CSV, Parquet or TFRecord file.")],
    label: Annotated[str, typer.Option("--label", help="The column to predict.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Config to write; DATA's name, .yaml.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the config.")] = False,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="COLUMN", help="Leave a column out. Repeatable."),
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option("--delimiter", help="Of a CSV's fields; guessed when not given.")
    ] = None,
    decimal: Annotated[
        str | None,
        typer.Option("--decimal", help="Of a CSV's numbers: . or ,; guessed when not given."),
    ] = None,
) -> None:
    """Look at all rows of DATA and write a commented config for it."""
    from .console import QUIET_ENVIRONMENT
    from .init import write_config

    os.environ.update({**QUIET_ENVIRONMENT, **os.environ})  # TensorFlow reads TFRecord
    warnings.simplefilter("ignore")  # of the libraries that it loads
    path = write_config(
        data,
        label,
        output,
        force=force,
        exclude=exclude or (),
        delimiter=delimiter,
        decimal=decimal,
        tell=lambda line: _say(f"note: {line}"),
    )
    _say(f"wrote {path}; next: tfx-imbalance run {path}")


@app.command()
def report(
    run_folder: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run's folder, such as runs/bank/latest.")
    ],
) -> None:
    """Print a run's figures and name its page."""
    from .show import show_run

    show_run(run_folder)


@app.command()
def doctor() -> None:
    """Say which stack is installed, which GPUs are seen and what is missing."""
    from .doctor import examine

    raise typer.Exit(examine())


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from tfx_imbalance import __version__

        typer.echo(__version__)
        raise typer.Exit()


def main() -> None:
    """Entry point: our own errors become one line each and their exit code."""
    sys.path.append(str(Path.cwd()))  # a user's own functions are found beside the config
    from .console import Shown

    if isinstance(sys.stdout, io.TextIOWrapper):  # a letter that its encoding lacks is no error
        sys.stdout.reconfigure(errors="backslashreplace")
    with contextlib.redirect_stderr(Shown(sys.stderr)):
        try:
            app(standalone_mode=True)
        except ImbalanceError as error:
            for line in str(error).split("\n"):
                print(f"error: {line}", file=sys.stderr)
            sys.exit(error.exit_code)
        except Exception:  # printed here, where it is masked and cannot steer the terminal
            traceback.print_exc()
            sys.exit(ImbalanceError.exit_code)


if __name__ == "__main__":
    main()
