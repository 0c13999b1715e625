"""TensorBoard beside a run's log; a room of its own, for the package is optional."""

from edl_jax.errors import require_package
from edl_jax.runs.directory import TENSORBOARD, RunDirectory


def attach(run: RunDirectory, wanted: bool, step: str, series: tuple[str, ...] = ()) -> None:
    """Let ``run`` write event files into its directory ``tensorboard``.

    Args:
      run: the run; one that is resumed and has event files goes on writing them, whatever
        ``wanted``.
      wanted: whether to write any.
      step: which entry of a logged row counts the steps; its other numbers become scalars.
      series: entries that tell one curve from another, where a row has them; each combination of
        their values is a run of its own in TensorBoard.

    Raises:
      EdlError: tensorboardX is not installed.
    """
    if not (wanted or (run.resumed and (run.path / TENSORBOARD).exists())):
        return
    require_package("--tensorboard", "tensorboardX", "tensorboard")
    from edl_jax.runs.event_files import EventFiles  # noqa: PLC0415  # needs the package

    run.listeners.append(EventFiles(run, step, series))
