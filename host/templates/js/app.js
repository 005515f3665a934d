// A backend of llem: what can be set, and how the engine is started.

const ID = "@ID@";
const RELEASE = "0.1.0";
// What is started, and what the user has to allow: a stand-in that is part of llem.
const PROGRAM = "fake";

// A parameter without the rarer properties.
const parameter = (path, type, def, doc, more) => ({
  path, types: [type], nullable: false, default: def, doc, phase: "load", modes: [],
  energyRelevant: true, suggested: [], extra: [], ...more,
});

export const PARAMETERS = [
  parameter(
    "engine.gap_ms",
    { tag: "integer", val: { min: 0, max: 1000, scale: "linear" } },
    { tag: "fixed", val: { tag: "integer", val: 0 } },
    "Time from one token to the next.",
    { unit: "ms" },
  ),
  parameter(
    "sampling.temperature",
    { tag: "number", val: { min: 0, max: 2, exclusiveMin: false, exclusiveMax: false, scale: "linear" } },
    { tag: "engine", val: "1" },
    "Spread of the distribution that tokens are drawn from.",
    { phase: "request", native: "temperature" },
  ),
];

export const info = {
  describe: () => ({
    id: ID, title: ID, version: "0.1.0", summary: "Says in one sentence what the engine is.",
    modes: ["server"], runners: ["process"], permissions: [{ tag: "bundled", val: PROGRAM }], extra: [],
  }),
  releases: () => [
    { id: RELEASE, covers: ">=0.1.0, <0.2.0", modes: ["server"], status: "stable", extra: [] },
  ],
  versionProbes: () => [],
};

export const params = {
  schemaOf(release) {
    if (release !== RELEASE) throw { kind: "unknown-release", message: `no release ${release}` };
    return {
      release,
      sections: [
        { id: "engine", title: "Engine", doc: "How the engine starts." },
        { id: "sampling", title: "Sampling", doc: "How tokens are drawn." },
      ],
      parameters: PARAMETERS, rules: [], hasCodeRules: false, unknown: "reject", extra: [],
    };
  },
  canonicalise: (release, configs) => configs.map((config) => ({ config, findings: [] })),
};

export const launch = {
  plan(config, context) {
    const given = new Map(config.map((it) => [it.path, it.value]));
    const gap = Number(given.get("engine.gap_ms")?.val ?? 0);
    const body = PARAMETERS
      .filter((it) => it.phase === "request" && given.has(it.path))
      .map((it) => ({ name: it.native, value: given.get(it.path) }));
    const step = {
      id: "serve",
      title: "Engine",
      role: {
        tag: "subject",
        val: {
          drive: {
            tag: "http",
            val: {
              protocol: "openai-completions", basePath: "/v1", servedModel: context.model.id, body,
              reportsUsage: true,
            },
          },
          inspections: [],
        },
      },
      runner: "process",
      command: {
        program: { tag: "bundled", val: PROGRAM },
        args: [[{ tag: "port" }], [{ tag: "literal", val: `{"gap_ms":${gap}}` }]],
      },
      env: [], mounts: [], files: [],
      gpus: { count: 0 },
      network: "local",
      readiness: {
        probes: [{ tag: "http", val: { id: "health", method: "GET", path: "/health", expectStatus: 200 } }],
        intervalMs: 200,
        deadlineMs: 60000,
      },
      signals: [],
      limits: {},
      stop: { signal: "term", graceMs: 10000 },
    };
    return { steps: [step], effective: config, revisable: false, notes: [], extra: [] };
  },
  revise: (config, context, plan, done) => plan,
};

export const results = {
  parse: () => ({ effective: [], measures: [], warnings: [], extra: [] }),
};
