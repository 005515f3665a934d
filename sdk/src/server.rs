//! The short way to a plugin: an engine that serves an OpenAI-compatible API as one process.

use std::marker::PhantomData;

use crate::{
    Arg, Backend, Command, Config, Context, Descriptor, Drive, EngineRelease, Error, Failure,
    LaunchPlan, LogPattern, Mode, Observation, Phase, Program, RunOutput, Schema, SchemaTable,
    Step, VersionProbe,
};

/// An engine with an OpenAI-compatible server: what is left to say of one.
///
/// Three functions are needed. Everything else that [`Backend`] wants follows from them: one release
/// for each table, `/v1/completions` with the request-phase settings in every body, readiness when
/// `/health` answers 200, failures by their traces in the log.
///
/// ```
/// use llem_sdk::prelude::*;
///
/// static TABLE: SchemaTable = SchemaTable {
///     release: "1.4.0",
///     sections: &[SectionDef { id: "engine", title: "Engine", doc: "How the engine starts." }],
///     parameters: &[Param::new("engine.threads", &[int(1, 256)], Fallback::Engine("one a core"))
///         .doc("Worker threads.")
///         .flag("--threads")],
///     rules: &[],
///     code_rules: false,
///     unknown: UnknownPolicy::Reject,
/// };
///
/// struct Example;
///
/// impl Server for Example {
///     fn describe() -> Descriptor {
///         Descriptor::new("example", "Example", "1.0.0", "Serves models by example.")
///             .with_modes(&[Mode::Server])
///             .with_runners(&[Runner::Process])
///             .allowing(Permission::Program("example-server".to_owned()))
///     }
///
///     fn tables() -> Vec<&'static SchemaTable> {
///         vec![&TABLE]
///     }
///
///     fn command(table: &SchemaTable, config: &Config, _: &Context) -> Result<Command, Error> {
///         Ok(Command::named("example-server")
///             .with_args([arg("--model=").model(), arg("--port=").port()])
///             .with_args(table.arguments(config)))
///     }
/// }
///
/// llem_sdk::export_server!(Example);
///
/// assert_eq!(llem_sdk::testing::check::<Served<Example>>(), []);
/// ```
pub trait Server {
    /// Who the plugin is and what its plans may contain.
    fn describe() -> Descriptor;

    /// The parameter spaces of the engine's releases, newest first.
    fn tables() -> Vec<&'static SchemaTable>;

    /// What starts the engine; `table` is the one of the context's release.
    fn command(table: &SchemaTable, config: &Config, context: &Context) -> Result<Command, Error>;

    /// How the installed version is found.
    fn version_probe() -> Option<VersionProbe> {
        None
    }

    /// The step with what is special to this engine: another readiness path, its metrics, its environment.
    fn adjust(step: Step, config: &Config, context: &Context) -> Step {
        let _ = (config, context);
        step
    }

    /// Traces that this engine's failures leave in its log.
    fn failures() -> &'static [LogPattern] {
        COMMON_FAILURES
    }
}

/// What most engines print before they give up.
///
/// ```
/// # use llem_sdk::prelude::*;
/// let output = RunOutput { log_tail: "bind: Address already in use\n".to_owned(), ..RunOutput::default() };
/// assert_eq!(Failure::in_log(&output, COMMON_FAILURES).unwrap().kind, "port-in-use");
/// ```
pub const COMMON_FAILURES: &[LogPattern] = &[
    LogPattern {
        any_of: &["out of memory", "failed to allocate", "cannot allocate memory"],
        kind: "out-of-memory",
        hint: Some("use a smaller context, a smaller batch or a smaller model"),
        permanent: true,
    },
    LogPattern {
        any_of: &["address already in use"],
        kind: "port-in-use",
        hint: None,
        permanent: false,
    },
    LogPattern {
        any_of: &["failed to load model", "no such file or directory", "model not found"],
        kind: "model-not-found",
        hint: Some("check the model's path and its format"),
        permanent: true,
    },
    LogPattern {
        any_of: &["unrecognized arguments", "invalid argument", "unknown argument"],
        kind: "bad-parameter",
        hint: None,
        permanent: true,
    },
];

/// A [`Server`] as a [`Backend`], for [`export_server!`](crate::export_server) and for tests: see [`Server`].
#[derive(Debug)]
pub struct Served<S>(PhantomData<S>);

impl<S: Server> Backend for Served<S> {
    fn describe() -> Descriptor {
        S::describe()
    }

    fn releases() -> Vec<EngineRelease> {
        let release = |table: &SchemaTable| {
            EngineRelease::stable(table.release, &minor(table.release), &[Mode::Server])
        };
        S::tables().into_iter().map(release).collect()
    }

    fn version_probes() -> Vec<VersionProbe> {
        S::version_probe().into_iter().collect()
    }

    fn schema(release: &str) -> Result<Schema, Error> {
        table::<S>(release).map(SchemaTable::to_schema)
    }

    fn plan(config: &Config, context: &Context) -> Result<LaunchPlan, Error> {
        if context.mode != Mode::Server {
            return Err(Error::unsupported("this engine has a server only"));
        }
        let table = table::<S>(&context.release)?;
        let command = S::command(table, config, context)?;
        let drive = Drive::completions(&context.model.id, table.fields(config, Phase::Request));
        let step = Step::subject("serve", &S::describe().title, command.program, drive)
            .with_args(command.args)
            .with_env_vars(table.environment(config))
            .ready_on_health("/health", 600_000);
        Ok(LaunchPlan::of(S::adjust(step, config, context), config))
    }

    fn parse(_: &Config, _: &Context, output: &RunOutput) -> Result<Observation, Error> {
        let failure =
            Failure::crash(output).map(|it| Failure::in_log(output, S::failures()).unwrap_or(it));
        Ok(Observation { failure, ..Observation::default() })
    }
}

impl Command {
    /// A granted program, without arguments yet.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// assert_eq!(Command::named("server").program, Program::Named("server".to_owned()));
    /// ```
    pub fn named(program: &str) -> Self {
        Self { program: Program::Named(program.to_owned()), args: Vec::new() }
    }

    /// An engine that is linked into llem, such as the stand-in `fake`, without arguments yet.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let command = Command::bundled("fake").with_args([arg("").port()]);
    /// assert_eq!(command.args.len(), 1);
    /// ```
    pub fn bundled(engine: &str) -> Self {
        Self { program: Program::Bundled(engine.to_owned()), args: Vec::new() }
    }

    /// Appends arguments.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let command = Command::named("server").with_args([arg("--model=").model(), arg("--port=").port()]);
    /// assert_eq!(command.args.len(), 2);
    /// ```
    #[must_use]
    pub fn with_args(mut self, args: impl IntoIterator<Item = impl Into<Arg>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }
}

fn table<S: Server>(release: &str) -> Result<&'static SchemaTable, Error> {
    let found = S::tables().into_iter().find(|it| it.release == release);
    found.ok_or_else(|| Error::unknown_release(release))
}

/// The versions that share a release's first two numbers.
fn minor(release: &str) -> String {
    let mut numbers = release.split('.').map(|it| it.parse::<u64>().unwrap_or(0));
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    format!(">={major}.{minor}.0, <{major}.{}.0", minor + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_covers_its_patch_versions() {
        assert_eq!(minor("0.33.2"), ">=0.33.0, <0.34.0");
        assert_eq!(minor("2"), ">=2.0.0, <2.1.0");
    }
}
