"""gpuq completion: the shell's completion script."""

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script with which a shell completes gpuq's commands, options and job ids.

    \b
    bash:  eval "$(gpuq completion bash)"                in ~/.bashrc
    zsh:   eval "$(gpuq completion zsh)"                 in ~/.zshrc
    fish:  gpuq completion fish > ~/.config/fish/completions/gpuq.fish
    """
    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(ctx.find_root().command, {}, "gpuq", "_GPUQ_COMPLETE").source())
