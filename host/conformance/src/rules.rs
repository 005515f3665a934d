//! The rules by id: what each wants, and what to do where it is broken. Documentation and reports are
//! made of this table.

/// One rule of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable id.
    pub id: &'static str,
    /// What holds for every plugin.
    pub wants: &'static str,
    /// What to do where it is broken.
    pub mend: &'static str,
}

const fn rule(id: &'static str, wants: &'static str, mend: &'static str) -> Rule {
    Rule { id, wants, mend }
}

/// All rules, in the order of a report.
pub const RULES: &[Rule] = &[
    rule(
        "load.component",
        "the file is a component that exports `llem:backend@0.1` and imports only `llem:backend` and WASI 0.2",
        "build for `wasm32-wasip2`, or make a component of the module with `wasm-tools component new`",
    ),
    rule(
        "call.trap",
        "no call traps",
        "return an error instead of panicking; the message says where it happened",
    ),
    rule(
        "limit.time",
        "every call answers in its time",
        "precompute; a plugin only looks up and joins",
    ),
    rule(
        "limit.memory",
        "the guest stays below 128 MiB",
        "keep tables as `static` data and build less at run time",
    ),
    rule("limit.reply", "a reply stays below 8 MiB", "shorten documentation, split what is large"),
    rule(
        "identity.reply",
        "`describe` answers with a usable id",
        "use `[a-z][a-z0-9-]{0,31}` as the id",
    ),
    rule("identity.text", "title, version and summary are there", "fill in the descriptor"),
    rule("identity.version", "the version has three numbers", "write it as `1.2.3`"),
    rule(
        "identity.modes",
        "at least one mode, each once",
        "list the modes that some release supports",
    ),
    rule(
        "identity.runners",
        "at least one runner, each once",
        "list `process`, `container` or both",
    ),
    rule(
        "identity.permissions",
        "every permission names something, once, and none but an image is `*` alone",
        "ask for the programs, images and variables that plans really contain",
    ),
    rule("releases.reply", "releases are unique", "list every engine release once"),
    rule(
        "releases.any",
        "there is a release, and a stable one",
        "list at least one release as `stable`",
    ),
    rule(
        "releases.modes",
        "a release has modes, all of them the descriptor's",
        "make the two lists agree",
    ),
    rule(
        "releases.covers",
        "a release covers its own version",
        "write `covers` as `>=1.2.0, <1.3.0` around the id",
    ),
    rule(
        "releases.unknown",
        "an unknown release has no schema",
        "answer `unknown-release` for any other release",
    ),
    rule(
        "probe.pattern",
        "a version probe's pattern compiles and has a group `version`",
        "write `(?<version>…)`",
    ),
    rule(
        "probe.permission",
        "a version probe runs a program that the descriptor asks for",
        "add the program's permission",
    ),
    rule(
        "schema.missing",
        "every release has a schema",
        "answer `schema-of` for each release of `releases`",
    ),
    rule("schema.reply", "a schema is well formed", "mend what the message names"),
    rule(
        "schema.section",
        "a parameter's section is listed, and each listed one is used",
        "list the first segments of all paths",
    ),
    rule("schema.doc", "every section, parameter and rule says what it is", "write a sentence"),
    rule(
        "schema.pattern",
        "patterns of texts compile",
        "use Rust `regex` syntax, without look-around",
    ),
    rule(
        "schema.default",
        "a fixed default is an allowed value",
        "correct the default or the type",
    ),
    rule(
        "schema.suggested",
        "suggested values are allowed values",
        "correct the suggestion or the type",
    ),
    rule("schema.choice", "no choice is listed twice", "remove the double"),
    rule(
        "rules.compile",
        "a rule's condition is CEL over known names",
        "correct the expression; names are paths, `model.*`, `gpu.*`, `mode`",
    ),
    rule(
        "rules.effects",
        "coerce and dormant rules have effects, the others none",
        "add `effects`, or change the severity",
    ),
    rule(
        "rules.value",
        "an effect sets an allowed value",
        "correct the value or the parameter's type",
    ),
    rule(
        "rules.settle",
        "applying the rules twice changes nothing more",
        "order coercions so that none feeds an earlier one",
    ),
    rule(
        "canonical.reply",
        "`canonicalise` answers one usable configuration for each",
        "mend what the message names",
    ),
    rule(
        "canonical.pure",
        "the same configuration has the same canonical form, wherever it stands in a batch",
        "keep no state between calls",
    ),
    rule(
        "canonical.idempotent",
        "the canonical form of a canonical form is itself",
        "apply changes until nothing changes",
    ),
    rule(
        "canonical.promise",
        "without `has-code-rules`, `canonicalise` changes nothing",
        "set `has-code-rules`, or express it as a rule",
    ),
    rule(
        "canonical.values",
        "canonical forms hold known paths with allowed values",
        "set only what the schema lists",
    ),
    rule(
        "plan.reply",
        "a plan is well formed: unique steps, one subject, last",
        "mend what the message names",
    ),
    rule(
        "plan.defaults",
        "the least configuration has a plan in every mode and runner",
        "give settings usable defaults, or make them `required`",
    ),
    rule(
        "plan.pure",
        "the same question has the same plan",
        "derive everything from configuration and context",
    ),
    rule(
        "plan.permission",
        "plans stay within the descriptor's permissions, and use no secret that the context does not name",
        "ask for the permission, or do without; look into `context.secrets` before a plan uses one",
    ),
    rule("plan.form", "plans pass the host's policy", "see the named policy rule in SECURITY.md"),
    rule(
        "plan.pattern",
        "log signals' patterns compile and name their captures",
        "use Rust `regex` syntax with `(?<name>…)`",
    ),
    rule("plan.effective", "`effective` has known paths only", "report settings of the schema"),
    rule("plan.ready", "a server's plan says when it is ready", "add an HTTP, TCP or signal probe"),
    rule(
        "parameter.lost",
        "every parameter changes the plan, or a rule or `canonicalise` drops it",
        "hand the parameter to the engine, or add a `dormant` rule that says when it has no effect",
    ),
    rule("parse.reply", "an observation is well formed", "mend what the message names"),
    rule(
        "parse.total",
        "`parse` answers whatever the engine printed",
        "read defensively: any text may come, or none",
    ),
    rule(
        "parse.pure",
        "the same output has the same observation",
        "derive everything from the output",
    ),
];

/// The rule of an id.
pub(crate) fn find(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|it| it.id == id)
}
