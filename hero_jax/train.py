"""A training run, the same for every task, objective, language and mesh.

take the next task's batch · update · log · evaluate · save · stop if asked
"""

import contextlib
import dataclasses
import itertools
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hero_jax import carried, checkpoint, integrity, processes, sharding, warm_start
from hero_jax import config as configs
from hero_jax.adapters import Adapters
from hero_jax.errors import UserError
from hero_jax.learner import Learner, TrainState
from hero_jax.logs import Curves, MetricsLog, Progress, Speed
from hero_jax.mixture import Mixture
from hero_jax.model.hero import HeroConfig
from hero_jax.model.multitask import TaskModel
from hero_jax.optimizer import OptimizerConfig
from hero_jax.pipeline import Pipeline
from hero_jax.sharding import MeshConfig
from hero_jax.tasks.base import Task
from hero_jax.types import Metrics, PyTree
from hero_jax.warm_start import Start

OnLog = Callable[[int, Mapping[str, float]], None]
"""Called with a step and what the metrics log says about it."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """A whole run. Nothing about it is decided anywhere else."""

    tasks: Mapping[str, Task]
    """What is learned, by name."""
    model: HeroConfig = HeroConfig()
    """The encoder that the tasks share."""
    steps: int = 100_000
    """Updates."""
    start: Start | None = None
    """Weights to begin with; None begins with random ones."""
    encoders: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    """Parts of the parameters that begin as the encoder of another run, such as
    `heads_moments/teacher_0`: path -> run directory."""
    seed: int = 77
    """Of parameters, dropout, the order of the data and the mixture of tasks."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """How gradients become updates."""
    adapters: Adapters | None = None
    """Low-rank factors that learn in place of the encoder; None trains all of it."""
    mesh: MeshConfig = MeshConfig()
    """The devices that share the work."""
    accumulation: int = 1
    """Batches whose gradients make one update; all of one task."""
    is_accumulation_mean: bool = False
    """Average those gradients; officially they are summed (G.3)."""
    pack_groups: int = 1
    """Groups of videos whose rows stay on one data shard: 1, or a multiple of
    mesh.data. Another number is another packing, and so another run."""
    num_workers: int = 0
    """Processes that prepare batches; 0 prepares in threads."""
    log_every: int = 50
    """Steps from one line of metrics to the next."""
    save_every: int = 500
    """Steps from one checkpoint to the next."""
    save_seconds: float = 0.0
    """Save also when so many seconds have passed since; 0 counts steps only."""
    eval_every: int = 0
    """Steps from one evaluation of all tasks to the next; 0 for none."""
    eval_split: str = "val"
    """The split they are evaluated on."""
    eval_splits: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Of tasks that are evaluated on another split."""
    keep: int = 2
    """Checkpoints kept; at least 2, so that a damaged one can be done without."""
    max_bad_steps: int = 10
    """Steps in a row without a finite gradient after which the run stops."""
    watchdog_seconds: float = 1800.0
    """Among several processes, end one that has made no step for so long."""
    tensorboard: bool = False
    """Write curves for TensorBoard, too."""


def train(
    config: TrainConfig,
    run_dir: str | Path,
    *,
    fresh: bool = False,
    on_log: OnLog | None = None,
) -> TrainState:
    """Trains until `config.steps`, going on from the newest checkpoint if there is one.

    `fresh` wants an empty directory. SIGTERM saves and exits with 143; the same call
    goes on. The state of a finished run is returned as it is.
    """
    run_dir = Path(run_dir).absolute()
    check(config)
    checkpoint.check_writable(run_dir)
    with contextlib.ExitStack() as stack:
        if jax.process_index() == 0:
            check_fresh(run_dir, fresh)
            stack.enter_context(checkpoint.RunLock(run_dir))
        preemption = stack.enter_context(processes.Preemption())
        saved = stack.enter_context(checkpoint.Checkpoints(run_dir, keep=config.keep))
        run = Run(config, run_dir, saved, preemption, on_log)
        return run.train()


class Run:
    """A configuration at work in a directory."""

    def __init__(
        self,
        config: TrainConfig,
        run_dir: Path,
        saved: checkpoint.Checkpoints,
        preemption: processes.Preemption,
        on_log: OnLog | None,
    ):
        self.config, self.run_dir = config, run_dir
        self.saved, self.preemption, self.on_log = saved, preemption, on_log
        self.mesh = sharding.make_mesh(config.mesh)
        self.pipelines = make_pipelines(config)
        self.learner = make_learner(config, self.pipelines)
        self.data = data_fingerprint(config, self.pipelines)
        self.speed, self.last_save = Speed(), time.monotonic()

    def train(self) -> TrainState:
        state = self.resume()
        start = int(state.step)
        if start > self.config.steps:
            raise UserError(
                f"{self.run_dir}: steps: found {self.config.steps}, but this run has "
                f"made {start}; ask for {start} or more, or name another directory"
            )
        if start == self.config.steps:
            logging.info("%s: already finished at step %d", self.run_dir, start)
            return state
        with contextlib.ExitStack() as stack:
            self.open_outputs(start, stack)
            return self.loop(state, start)

    def resume(self) -> TrainState:
        """The newest undamaged checkpoint, or a fresh state."""
        wanted = items(self.learner.abstract_state)
        restored = self.saved.restore(wanted, data=self.data)
        if restored is None:
            return self.begin()
        step, parts = restored
        logging.info("%s: going on from step %d", self.run_dir, step)
        return TrainState(params=parts["params"], **parts["training"])

    def begin(self) -> TrainState:
        """A fresh state, with the weights to begin with in it if there are any."""
        state = self.learner.initial_state()
        params, left = state.params, None
        if self.config.start is not None:
            params, left = warm_start.begin(
                self.config.start, params, self.config.model
            )
        for place, run_dir in self.config.encoders.items():
            params = warm_start.put_encoder(params, place, run_dir)
        if left is not None and jax.process_index() == 0:
            carried.save(left, self.run_dir)
        return dataclasses.replace(state, params=params)

    def loop(self, state: TrainState, start: int) -> TrainState:
        batches = draw_batches(self.config, self.pipelines, self.mesh, start)
        for step, (task, batch) in enumerate(batches, start + 1):
            state, metrics = self.learner.step(state, batch, task=task)
            self.progress.advance()
            self.watchdog.beat()
            self.speed.count(
                self.config.tasks[task].batch_size * self.config.accumulation
            )
            self.log(step, task, metrics, state)
            is_last = step == self.config.steps
            is_asked = self.preemption.is_asked(step)
            if is_last or is_asked or self.is_save_due(step):
                self.save(step, state)
            if is_last or is_asked:
                self.saved.finish(step)
            if is_last:
                return state
            if is_asked:
                logging.warning("%s: stopped and saved at step %d", self.run_dir, step)
                raise SystemExit(processes.STOPPED)
        raise AssertionError("the stream of batches has no end")

    def log(self, step: int, task: str, metrics: Metrics, state: TrainState) -> None:
        """Writes and shows what is due at this step, in one line."""
        values: dict[str, Any] = {}
        is_last = step == self.config.steps
        if step % self.config.log_every == 0 or is_last:
            numbers = {name: float(v) for name, v in jax.device_get(metrics).items()}
            self.check_finite(step, numbers)
            values = named(task, numbers)
            values["videos_per_second"] = speed = self.speed.per_second()
            values["fill"] = self.pipelines[task].fill
            self.progress.show(numbers["loss"], speed)
        if self.config.eval_every and (step % self.config.eval_every == 0 or is_last):
            values |= self.evaluate(state)
        if values:
            for output in self.outputs:
                output(step, values)

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Every task's own metrics on the evaluation split."""
        values: dict[str, float] = {}
        params = self.learner.whole(state.params)
        for name, task in self.config.tasks.items():
            split = self.config.eval_splits.get(name, self.config.eval_split)
            found = task.evaluate(self.config.model, params, split)
            where = f"{split}/{name}"
            values |= flat(found, where, separator="/") if found else {}
            self.watchdog.beat()
        return values

    def check_finite(self, step: int, numbers: Mapping[str, float]) -> None:
        """Stops a run that has long ceased to learn; what is saved stays good."""
        if numbers["num_bad"] >= self.config.max_bad_steps:
            raise UserError(
                f"{self.run_dir}: step {step}: loss {numbers['loss']}, gradient norm "
                f"{numbers['grad_norm']} for {numbers['num_bad']:.0f} steps in a row; "
                f"lower optimizer.learning_rate or look at the data"
            )

    def is_save_due(self, step: int) -> bool:
        if step % self.config.save_every == 0:
            return True
        elapsed = time.monotonic() - self.last_save
        limit = self.config.save_seconds
        return limit > 0 and processes.all_have(elapsed) > limit

    def save(self, step: int, state: TrainState) -> None:
        if not integrity.is_finite(state.params):
            raise UserError(
                f"{self.run_dir}: step {step}: a parameter is not finite, so nothing "
                f"is saved; lower optimizer.learning_rate and start the run again"
            )
        config = configs.to_json(self.config)
        self.saved.save(step, items(state), config=config, data=self.data)
        self.last_save = time.monotonic()

    def open_outputs(self, start: int, stack: contextlib.ExitStack) -> None:
        """What the run writes to; with several processes the first one writes."""
        is_first = jax.process_index() == 0
        self.outputs: list[OnLog] = []
        if is_first:
            configs.save(self.config, self.run_dir / "config.json")
            log = MetricsLog(self.run_dir / "metrics.jsonl", resumed_step=start)
            self.outputs.append(stack.enter_context(contextlib.closing(log)).write)
        if is_first and self.config.tensorboard:
            curves = Curves(self.run_dir / "tensorboard", resumed_step=start)
            self.outputs.append(stack.enter_context(contextlib.closing(curves)).write)
        if is_first and self.on_log:
            self.outputs.append(self.on_log)
        progress = Progress(
            self.config.steps, start=start, name=self.run_dir.name, is_shown=is_first
        )
        self.progress = stack.enter_context(contextlib.closing(progress))
        seconds = self.config.watchdog_seconds if jax.process_count() > 1 else math.inf
        watchdog = processes.Watchdog(seconds)
        self.watchdog = stack.enter_context(contextlib.closing(watchdog))


def make_pipelines(config: TrainConfig) -> dict[str, Pipeline]:
    """The stream of training batches of every task."""
    return {
        name: Pipeline(
            task,
            name=name,
            seed=config.seed,
            split=task.train_split,
            num_groups=config.pack_groups,
            multiple=config.mesh.data,
            num_workers=config.num_workers,
        )
        for name, task in config.tasks.items()
    }


def make_learner(config: TrainConfig, pipelines: Mapping[str, Pipeline]) -> Learner:
    heads = {name: task.head() for name, task in config.tasks.items()}
    return Learner(
        tasks=config.tasks,
        model=TaskModel(config.model, heads),
        optimizer=config.optimizer,
        num_steps=config.steps,
        mesh=sharding.make_mesh(config.mesh),
        samples={name: shapes(pipelines[name].batch(0)) for name in config.tasks},
        seed=config.seed,
        accumulation=config.accumulation,
        is_accumulation_mean=config.is_accumulation_mean,
        adapters=config.adapters,
    )


def make_mixture(config: TrainConfig) -> Mixture:
    weights = {name: task.weight for name, task in config.tasks.items()}
    return Mixture(weights, config.seed)


def draw_batches(
    config: TrainConfig, pipelines: Mapping[str, Pipeline], mesh: Any, start: int
) -> Iterator[tuple[str, PyTree]]:
    """After `start` steps: the task of each step, and its micro-batches on the mesh."""
    host, num_hosts = sharding.host_part(mesh)
    mixture = make_mixture(config)
    streams: dict[str, Iterator[PyTree]] = {}
    for step in itertools.count(start):
        name, num_before = mixture.at(step)
        if name not in streams:
            first = num_before * config.accumulation
            streams[name] = pipelines[name].batches(
                first, host=host, num_hosts=num_hosts
            )
        micro = itertools.islice(streams[name], config.accumulation)
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *micro)
        yield name, sharding.put_batch(stacked, mesh, num_leading=1)


def data_fingerprint(
    config: TrainConfig, pipelines: Mapping[str, Pipeline]
) -> dict[str, Any]:
    """What a run that goes on must share with its beginning, by field."""
    fields: dict[str, Any] = {
        "seed": config.seed,
        "accumulation": config.accumulation,
        "optimizer.kind": config.optimizer.kind,
    }
    for name, pipeline in pipelines.items():
        fields[f"tasks.{name}.weight"] = config.tasks[name].weight
        for field, value in pipeline.fingerprint().items():
            fields[f"tasks.{name}.{field}"] = value
    fields |= flat(configs.to_json(config.model), "model")
    if config.adapters:
        fields |= flat(configs.to_json(config.adapters), "adapters")
    return json.loads(json.dumps(fields))


def flat(value: Any, name: str, *, separator: str = ".") -> dict[str, Any]:
    """Leaves of nested objects under joined names."""
    if not isinstance(value, Mapping):
        return {name: value}
    nested = (
        flat(value[key], f"{name}{separator}{key}", separator=separator)
        for key in value
    )
    return {k: v for leaves in nested for k, v in leaves.items()}


def items(state: TrainState) -> dict[str, PyTree]:
    """The parts of a checkpoint: parameters can be read without the rest."""
    rest = {
        field.name: getattr(state, field.name)
        for field in dataclasses.fields(state)
        if field.name != "params"
    }
    return {"params": state.params, "training": rest}


def shapes(batch: PyTree) -> PyTree:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), batch)


def named(task: str, numbers: Mapping[str, float]) -> dict[str, Any]:
    """Numbers of a step as they are logged: terms of the loss under the task's name."""
    common = ("grad_norm", "learning_rate", "num_bad")
    values: dict[str, Any] = {"task": task}
    for name, value in numbers.items():
        values[name if name in common else f"{task}/{name}"] = value
    return values


def check(config: TrainConfig) -> None:
    """Refuses what cannot work, before anything is read or compiled."""
    least = {"steps": 1, "accumulation": 1, "log_every": 1, "save_every": 1, "keep": 2}
    for field, smallest in least.items():
        if getattr(config, field) < smallest:
            raise UserError(
                f"{field}: found {getattr(config, field)}; expected {smallest} or more"
            )
    if not config.tasks:
        raise UserError("tasks: found none; name at least one")
    if config.pack_groups != 1 and config.pack_groups % config.mesh.data:
        raise UserError(
            f"pack_groups: found {config.pack_groups}; expected 1 or a multiple of "
            f"mesh.data {config.mesh.data}"
        )
    rule, frozen = config.optimizer, config.adapters or config.encoders
    if frozen and not (rule.kind == "official" and rule.skips_untouched):
        raise UserError(
            "optimizer: found a rule whose weight decay changes the encoder beside "
            "adapters, or teachers, which have to stay: choose kind "
            '"official" with skips_untouched'
        )
    for name, task in config.tasks.items():
        sharding.check_batch_size(name, task.batch_size, config.mesh)


def check_fresh(run_dir: Path, fresh: bool) -> None:
    """With `fresh`, nothing may be there yet."""
    found = sorted(p.name for p in run_dir.iterdir() if p.name != ".lock")
    if fresh and found:
        raise UserError(
            f"{run_dir}: --fresh wants an empty directory, found {found[0]}; delete "
            f"it, name another one, or leave --fresh out to go on"
        )
