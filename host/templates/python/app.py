"""A backend of llem: what can be set, and how the engine is started."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import info, launch, params, results
from wit_world.imports import types

ID = "@ID@"
RELEASE = "0.1.0"
# What is started, and what the user has to allow: a stand-in that is part of llem.
PROGRAM = "fake"


def parameter(path, kind, default, doc, phase=params.Phase.LOAD, unit=None, native=None):
    """A parameter without the rarer properties."""
    return params.Parameter(
        path, [kind], False, default, doc, unit, phase, [], native, True, [], None, None, None, None, []
    )


PARAMETERS = [
    parameter(
        "engine.gap_ms",
        params.ParamType_Integer(params.IntRange(0, 1000, None, params.Scale.LINEAR)),
        params.DefaultValue_Fixed(types.Value_Integer(0)),
        "Time from one token to the next.",
        unit="ms",
    ),
    parameter(
        "sampling.temperature",
        params.ParamType_Number(params.FloatRange(0.0, 2.0, False, False, params.Scale.LINEAR)),
        params.DefaultValue_Engine("1"),
        "Spread of the distribution that tokens are drawn from.",
        phase=params.Phase.REQUEST,
        native="temperature",
    ),
]


class Info(exports.Info):
    def describe(self):
        return info.Descriptor(
            ID, ID, "0.1.0", "Says in one sentence what the engine is.", None, None,
            [types.Mode.SERVER], [types.Runner.PROCESS], [info.Permission_Bundled(PROGRAM)], [],
        )

    def releases(self):
        covers = ">=0.1.0, <0.2.0"
        return [info.EngineRelease(RELEASE, covers, None, [types.Mode.SERVER], None, "stable", [])]

    def version_probes(self):
        return []


class Params(exports.Params):
    def schema_of(self, release):
        if release != RELEASE:
            raise Err(types.Error(types.ErrorKind.UNKNOWN_RELEASE, f"no release {release}", None, None))
        sections = [
            params.Section("engine", "Engine", "How the engine starts."),
            params.Section("sampling", "Sampling", "How tokens are drawn."),
        ]
        return params.Schema(
            release, sections, PARAMETERS, [], False, params.UnknownPolicy.REJECT, []
        )

    def canonicalise(self, release, configs):
        return [params.Canonical(config, []) for config in configs]


class Launch(exports.Launch):
    def plan(self, config, context):
        given = {setting.path: setting.value for setting in config}
        gap = given["engine.gap_ms"].value if "engine.gap_ms" in given else 0
        body = [
            types.Field(it.native, given[it.path])
            for it in PARAMETERS
            if it.phase == params.Phase.REQUEST and it.path in given
        ]
        drive = launch.Drive_Http(
            launch.HttpApi("openai-completions", "/v1", context.model.id, body, True)
        )
        args = [
            [launch.ArgPart_Port()],
            [launch.ArgPart_Literal('{"gap_ms":%d}' % gap)],
        ]
        health = launch.HttpRequest("health", "GET", "/health", None, 200, None)
        step = launch.Step(
            id="serve",
            title="Engine",
            role=launch.Role_Subject(launch.Subject(drive, None, [])),
            runner=types.Runner.PROCESS,
            image=None,
            command=launch.Command(launch.Program_Bundled(PROGRAM), args),
            env=[],
            mounts=[],
            files=[],
            gpus=launch.GpuNeed(0, None),
            network=launch.Network.LOCAL,
            shm_mib=None,
            readiness=launch.Readiness([launch.Probe_Http(health)], 200, 60_000),
            signals=[],
            limits=launch.Limits(None, None, None),
            stop=launch.Stop(launch.StopSignal.TERM, 10_000),
        )
        return launch.LaunchPlan([step], config, False, [], [])

    def revise(self, config, context, plan, done):
        return plan


class Results(exports.Results):
    def parse(self, config, context, output):
        return results.Observation(None, [], [], [], None, [])
