"""Command line. TensorFlow is imported by the commands that need it, never for `--help`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..components.errors import ImbalanceError

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


@app.command()
def init(
    data: Annotated[str, typer.Argument(metavar="DATA", help="CSV, Parquet or TFRecord file.")],
    label: Annotated[str, typer.Option("--label", help="The column to predict.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Config to write; DATA's name, .yaml.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the config.")] = False,
) -> None:
    """Look at DATA and write a commented config for it."""
    from .init import write_config

    path = write_config(data, label, output, force=force)
    typer.echo(f"wrote {path}; next: tfx-imbalance run {path}")


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
    try:
        app(standalone_mode=True)
    except ImbalanceError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
