//! The trait that a plugin implements, and its translation to the component's exports.

use std::marker::PhantomData;

use crate::{
    Canonical, Config, Context, Descriptor, EngineRelease, Error, ErrorKind, Finding, LaunchPlan,
    Observation, RunOutput, Schema, Setting, StepReport, VersionProbe, log,
    wit::exports::llem::backend::{info, launch, params, results},
};

/// A backend plugin: who it is, what can be set, what to run, what came of it.
///
/// Every function is pure: the same input gives the same output. It is the whole contract, four functions of
/// which most plugins need; an engine with an OpenAI-compatible server needs three of [`Server`](crate::Server).
/// The example in the [crate's documentation](crate) implements it.
pub trait Backend {
    /// Who the plugin is and what its plans may contain.
    fn describe() -> Descriptor;

    /// The engine releases that it knows, newest first; the first stable one is the default.
    fn releases() -> Vec<EngineRelease>;

    /// Ways to find the installed engine version, tried in order.
    fn version_probes() -> Vec<VersionProbe> {
        Vec::new()
    }

    /// The parameter space of a release.
    fn schema(release: &str) -> Result<Schema, Error>;

    /// Applies what the schema's rules cannot express to one configuration.
    ///
    /// Called only where the schema says `has_code_rules`.
    fn canonicalise(
        release: &str,
        config: &mut Config,
        findings: &mut Vec<Finding>,
    ) -> Result<(), Error> {
        let _ = (release, config, findings);
        Ok(())
    }

    /// What to run for a configuration.
    fn plan(config: &Config, context: &Context) -> Result<LaunchPlan, Error>;

    /// The plan again, after a prepare step of a `revisable` plan.
    fn revise(
        config: &Config,
        context: &Context,
        plan: LaunchPlan,
        done: &[StepReport],
    ) -> Result<LaunchPlan, Error> {
        let _ = (config, context, done);
        Ok(plan)
    }

    /// Reads what the engine said after a trial.
    fn parse(config: &Config, context: &Context, output: &RunOutput) -> Result<Observation, Error> {
        let _ = (config, context, output);
        Ok(Observation::default())
    }
}

/// A [`Backend`] as the component exports it; [`export!`](crate::export) makes use of it.
#[derive(Debug)]
pub struct Exported<B>(PhantomData<B>);

impl<B: Backend> info::Guest for Exported<B> {
    fn describe() -> Descriptor {
        log::panics();
        B::describe()
    }

    fn releases() -> Vec<EngineRelease> {
        log::panics();
        B::releases()
    }

    fn version_probes() -> Vec<VersionProbe> {
        log::panics();
        B::version_probes()
    }
}

impl<B: Backend> params::Guest for Exported<B> {
    fn schema_of(release: String) -> Result<Schema, Error> {
        log::panics();
        B::schema(&release)
    }

    fn canonicalise(release: String, configs: Vec<Vec<Setting>>) -> Result<Vec<Canonical>, Error> {
        log::panics();
        configs
            .into_iter()
            .map(|settings| {
                let mut config = Config::from(settings);
                let mut findings = Vec::new();
                B::canonicalise(&release, &mut config, &mut findings)?;
                Ok(Canonical { config: config.into(), findings })
            })
            .collect()
    }
}

impl<B: Backend> launch::Guest for Exported<B> {
    fn plan(config: Vec<Setting>, context: Context) -> Result<LaunchPlan, Error> {
        log::panics();
        B::plan(&config.into(), &context)
    }

    fn revise(
        config: Vec<Setting>,
        context: Context,
        plan: LaunchPlan,
        done: Vec<StepReport>,
    ) -> Result<LaunchPlan, Error> {
        log::panics();
        B::revise(&config.into(), &context, plan, &done)
    }
}

impl<B: Backend> results::Guest for Exported<B> {
    fn parse(
        config: Vec<Setting>,
        context: Context,
        output: RunOutput,
    ) -> Result<Observation, Error> {
        log::panics();
        B::parse(&config.into(), &context, &output)
    }
}

impl Error {
    /// An error of a class, with its message.
    ///
    /// ```
    /// use llem_sdk::{Error, ErrorKind};
    /// let error = Error::new(ErrorKind::Unsupported, "the engine has no offline mode").at("engine.mode");
    /// assert_eq!(error.path.as_deref(), Some("engine.mode"));
    /// ```
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), path: None, hint: None }
    }

    /// No schema for this release.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// assert_eq!(Error::unknown_release("9").kind, ErrorKind::UnknownRelease);
    /// ```
    pub fn unknown_release(release: &str) -> Self {
        Self::new(
            ErrorKind::UnknownRelease,
            format!("this plugin knows no engine release `{release}`"),
        )
    }

    /// A combination that the plugin does not support.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// assert_eq!(Error::unsupported("no offline mode").message, "no offline mode");
    /// ```
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// Names the parameter at fault.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let error = Error::unsupported("too large").at("engine.size");
    /// assert_eq!(error.path.as_deref(), Some("engine.size"));
    /// ```
    #[must_use]
    pub fn at(mut self, path: &str) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    /// Says what the user can do.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let error = Error::unsupported("too large").with_hint("at most 9");
    /// assert_eq!(error.hint.as_deref(), Some("at most 9"));
    /// ```
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
