"""Where a command keeps its run, how it resumes one, and how several processes share it."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path

from edl_jax.errors import plain_numbers, require, require_int, require_number, require_package
from edl_jax.files import Json


@dataclass(frozen=True)
class RunOptions:
    """Where a command keeps its run, and how it resumes one."""

    output_dir: Path | None = None
    """Directory of the run; runs/COMMAND-DATE-TIME by default."""
    resume: bool = False
    """Resume the run in --output-dir; the other options are then that run's."""
    overwrite: bool = False
    """Replace the run that --output-dir holds."""
    checkpoint_every: float = 60.0
    """Seconds between checkpoints; 0 is as often as possible."""
    tensorboard: bool = False
    """Write what is logged as TensorBoard event files too, into the run's directory tensorboard."""

    def __post_init__(self) -> None:
        plain_numbers(self)
        require_number("checkpoint_every", self.checkpoint_every, 0.0)
        both = self.resume and self.overwrite
        require(not both, "overwrite", "with --resume", "one of the two")
        if self.tensorboard:
            require_package("--tensorboard", "tensorboardX", "tensorboard")

    def recorded(self) -> Json:
        """The options that decide the run's outcome, JSON-serialisable: all but these."""
        own = {f.name for f in fields(RunOptions)}
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(self).items()
            if name not in own
        }


@dataclass(frozen=True)
class ClusterOptions(RunOptions):
    """How a command runs as several processes; none of it decides the outcome but for rounding."""

    distributed: bool = False
    """Be one of several processes that share the population, each started with the same options."""
    coordinator_address: str | None = None
    """HOST:PORT at which the first process can be reached; by default as the cluster says."""
    num_processes: int | None = None
    """How many processes there are; by default as the cluster says."""
    process_id: int | None = None
    """Which one this is, from 0; by default as the cluster says."""

    def __post_init__(self) -> None:
        super().__post_init__()
        own = {f.name: getattr(self, f.name) for f in fields(ClusterOptions)[-3:]}
        for name, value in own.items():
            require(self.distributed or value is None, name, value, "--distributed with it")
        if not self.distributed:
            return
        address, count, number = own.values()
        host, _, port = (address or "host:1").rpartition(":")
        sound = bool(host) and port.isdecimal() and 0 < int(port) < 2**16
        require(sound, "coordinator_address", address, "HOST:PORT")
        if count is not None:
            require_int("num_processes", count, 1)
        if number is not None:
            require_int("process_id", number, 0, None if count is None else count - 1)
        require(not self.resume, "resume", "with --distributed", "one of the two: such a run "
                "writes no checkpoints; without --distributed it starts again")  # fmt: skip
        require(self.output_dir is not None, "distributed", "without --output-dir",
                "a directory, the same for all processes")  # fmt: skip

    def recorded(self) -> Json:
        """The options that decide the run's outcome, JSON-serialisable: all but these."""
        own = {f.name for f in fields(ClusterOptions)}
        return {name: value for name, value in super().recorded().items() if name not in own}
