"""The command `caesura` itself: its subcommands, and `--version`."""

from __future__ import annotations

import platform

import click

from caesura import __version__
from caesura.cli.bench import bench
from caesura.cli.connect import connect
from caesura.cli.demo import demo
from caesura.cli.serve import serve


class InOrder(click.Group):
    """A group that lists its commands in the order in which they were added."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """The names, first added first."""
        return list(self.commands)


def show_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    """Print the version, and those of what it stands on; then end."""
    if wanted and not context.resilient_parsing:
        click.echo(f"caesura {__version__}")
        click.echo(f"python {platform.python_version()}, " + ", ".join(map(_installed, ("cryptography", "greenlet"))))
        context.exit()


def _installed(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # it takes as long to import as rich

    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:  # it is importable, but was not installed as a package
        return package


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_version,
    help="Show the version and exit.",
)
def caesura() -> None:
    """TLS whose cryptographic operations may pause instead of block.

    Begin with `caesura demo`.
    """


for command in (demo, serve, connect, bench):
    caesura.add_command(command)
