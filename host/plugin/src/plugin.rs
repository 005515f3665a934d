//! A loaded plugin: one method for each function of the contract.

use std::{
    fmt, fs,
    io::Read as _,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use llem_core::backend as core;
use sha2::{Digest as _, Sha256};
use wasmtime::{Store, component::Component};

use crate::{
    BadReply, Cache, CallError, Cause, LoadError, LogLevel, LogLine, PluginFault,
    bindings::{Backend, BackendPre, llem::backend::types},
    cache::Compiled,
    call, check, convert,
    engine::{Shared, shared},
    log::safe,
    mark::{Mark, hex},
    store::State,
};

/// Configurations in one call of `canonicalise`: larger batches only grow the guest's memory.
const BATCH: usize = 100;

/// Lines that are kept for [`Plugin::take_log`]; older ones go first.
const MAX_LOG_LINES: usize = 1024;

/// Largest accepted component.
const MAX_COMPONENT_BYTES: u64 = 32 << 20;

/// From this size on, hashing a component costs more than looking up its hash.
const LARGE_BYTES: u64 = 1 << 20;

/// Where a plugin comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Linked into this program.
    Bundled,
    /// A file of the override folder.
    Override(PathBuf),
    /// A file that the user has added.
    Installed(PathBuf),
    /// A file that was named.
    File(PathBuf),
}

/// A loaded plugin. Every call blocks, runs in a fresh instance and is bounded in time and memory.
pub struct Plugin {
    name: String,
    sha256: String,
    origin: Origin,
    shared: &'static Shared,
    instance: BackendPre<State>,
    log: Mutex<Vec<LogLine>>,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, sha256, origin, .. } = self;
        f.debug_struct("Plugin")
            .field("name", name)
            .field("sha256", sha256)
            .field("origin", origin)
            .finish()
    }
}

impl Plugin {
    /// Loads a component from its bytes.
    pub fn load(
        name: &str,
        origin: Origin,
        bytes: &[u8],
        cache: &Cache,
    ) -> Result<Self, LoadError> {
        let shared = shared()?;
        let sha256 = hex(&Sha256::digest(bytes));
        if wasmtime::Engine::detect_precompiled(bytes).is_some() {
            let reason =
                "it is compiled already, and compiled code is taken from nobody".to_owned();
            return Err(LoadError::NotAComponent { name: name.to_owned(), reason });
        }
        let compiled = cache.component(&shared.engine, &sha256, bytes).map_err(|error| {
            LoadError::NotAComponent { name: name.to_owned(), reason: safe(&format!("{error:#}")) }
        })?;
        Self::linked(name, origin, sha256, &compiled)
    }

    /// Loads a component from its file. A large one whose code is kept is not even read, as long as the
    /// file has not changed since it was hashed.
    pub(crate) fn open(
        name: &str,
        origin: Origin,
        path: &Path,
        cache: &Cache,
    ) -> Result<Self, LoadError> {
        let failed = |source| LoadError::Read { path: path.to_owned(), source };
        let mut file = fs::File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let found = metadata.len();
        if found > MAX_COMPONENT_BYTES {
            let allowed = MAX_COMPONENT_BYTES;
            return Err(LoadError::TooLarge { name: name.to_owned(), found, allowed });
        }
        let mark = (found >= LARGE_BYTES).then(|| Mark::of(&metadata));
        let shared = shared()?;
        if let Some(sha256) = mark.as_ref().and_then(|it| cache.known_hash(it))
            && let Some(component) = cache.kept(&shared.engine, &sha256)
        {
            return Self::linked(name, origin, sha256, &Compiled { component, not_kept: None });
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let plugin = Self::load(name, origin, &bytes, cache)?;
        if let Some(mark) = mark
            && file.metadata().is_ok_and(|it| Mark::of(&it) == mark)
        {
            cache.remember_hash(&mark, &plugin.sha256);
        }
        Ok(plugin)
    }

    fn linked(
        name: &str,
        origin: Origin,
        sha256: String,
        compiled: &Compiled,
    ) -> Result<Self, LoadError> {
        let shared = shared()?;
        let instance = link(shared, name, &compiled.component)?;
        let log = compiled.not_kept.as_deref().and_then(notice).into_iter().collect();
        Ok(Self { name: name.to_owned(), sha256, origin, shared, instance, log: Mutex::new(log) })
    }

    /// The name that it was loaded by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of its component, hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Where it comes from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Takes what it has logged since the last time, safe to print.
    pub fn take_log(&self) -> Vec<LogLine> {
        std::mem::take(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who it is.
    pub fn describe(&self) -> Result<core::Descriptor, PluginFault> {
        let reply = self.call("describe", SHORT, async |it, store| {
            it.llem_backend_info().call_describe(store).await
        })?;
        self.checked("describe", check::descriptor(reply.into()))
    }

    /// The engine releases that it knows, newest first.
    pub fn releases(&self) -> Result<Vec<core::EngineRelease>, PluginFault> {
        let reply = self.call("releases", SHORT, async |it, store| {
            it.llem_backend_info().call_releases(store).await
        })?;
        self.checked("releases", check::releases(reply.into_iter().map(Into::into).collect()))
    }

    /// How to find the installed engine version.
    pub fn version_probes(&self) -> Result<Vec<core::VersionProbe>, PluginFault> {
        let reply = self.call("version-probes", SHORT, async |it, store| {
            it.llem_backend_info().call_version_probes(store).await
        })?;
        Ok(reply.into_iter().map(Into::into).collect())
    }

    /// The parameter space of a release.
    pub fn schema(&self, release: &str) -> Result<core::Schema, CallError> {
        let reply = self.call("schema-of", LONG, async |it, store| {
            it.llem_backend_params().call_schema_of(store, release).await
        })?;
        let schema = accepted(reply)?;
        let checked = convert::schema(schema).and_then(|schema| check::schema(schema, release));
        Ok(self.checked("schema-of", checked)?)
    }

    /// Applies what the schema's rules cannot express. One reply for each configuration, in order.
    pub fn canonicalise(
        &self,
        release: &str,
        configs: &[core::Config],
    ) -> Result<Vec<core::Canonical>, CallError> {
        let mut all = Vec::with_capacity(configs.len());
        for batch in configs.chunks(BATCH) {
            let limit = SHORT + PER_CONFIG * u32::try_from(batch.len()).unwrap_or(u32::MAX);
            let sent: Vec<Vec<types::Setting>> = batch.iter().map(convert::to_config).collect();
            let reply = self.call("canonicalise", limit, async |it, store| {
                it.llem_backend_params().call_canonicalise(store, release, &sent).await
            })?;
            let checked = convert::canonicals(accepted(reply)?, batch.len());
            all.extend(self.checked("canonicalise", checked)?);
        }
        Ok(all)
    }

    /// What to run for a configuration.
    pub fn plan(
        &self,
        config: &core::Config,
        context: &core::Context,
    ) -> Result<core::LaunchPlan, CallError> {
        let (config, context) = (convert::to_config(config), context.clone().into());
        let reply = self.call("plan", PLAN, async |it, store| {
            it.llem_backend_launch().call_plan(store, &config, &context).await
        })?;
        let checked = convert::plan(accepted(reply)?).and_then(check::plan);
        Ok(self.checked("plan", checked)?)
    }

    /// The plan again, after a prepare step of a revisable plan.
    pub fn revise(
        &self,
        config: &core::Config,
        context: &core::Context,
        plan: &core::LaunchPlan,
        done: &[core::StepReport],
    ) -> Result<core::LaunchPlan, CallError> {
        let (config, context) = (convert::to_config(config), context.clone().into());
        let plan = plan.clone().into();
        let done: Vec<_> = done.iter().cloned().map(Into::into).collect();
        let reply = self.call("revise", PLAN, async |it, store| {
            it.llem_backend_launch().call_revise(store, &config, &context, &plan, &done).await
        })?;
        let checked = convert::plan(accepted(reply)?).and_then(check::plan);
        Ok(self.checked("revise", checked)?)
    }

    /// Reads what the engine said after a trial.
    pub fn parse(
        &self,
        config: &core::Config,
        context: &core::Context,
        output: &core::RunOutput,
    ) -> Result<core::Observation, CallError> {
        let (config, context) = (convert::to_config(config), context.clone().into());
        let output = output.clone().into();
        let reply = self.call("parse", LONG, async |it, store| {
            it.llem_backend_results().call_parse(store, &config, &context, &output).await
        })?;
        let checked = convert::observation(accepted(reply)?);
        Ok(self.checked("parse", checked)?)
    }

    fn call<R: Send>(
        &self,
        function: &'static str,
        limit: Duration,
        call: impl AsyncFnOnce(&Backend, &mut Store<State>) -> wasmtime::Result<R> + Send,
    ) -> Result<R, PluginFault> {
        let (answer, lines) = call::run(self.shared, &self.instance, limit, call);
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend(lines);
        let surplus = log.len().saturating_sub(MAX_LOG_LINES);
        log.drain(..surplus);
        drop(log);
        answer.map_err(|cause| self.fault(function, cause))
    }

    fn checked<T>(
        &self,
        function: &'static str,
        reply: Result<T, BadReply>,
    ) -> Result<T, PluginFault> {
        reply.map_err(|reason| self.fault(function, Cause::BadReply(reason)))
    }

    fn fault(&self, function: &'static str, cause: Cause) -> PluginFault {
        PluginFault { plugin: self.name.clone(), sha256: self.sha256.clone(), function, cause }
    }
}

const SHORT: Duration = Duration::from_secs(1);
const PLAN: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(5);
const PER_CONFIG: Duration = Duration::from_millis(5);

/// The reply, or the plugin's own error.
fn accepted<T>(reply: Result<T, types::Error>) -> Result<T, core::BackendError> {
    reply.map_err(Into::into)
}

/// Checks what a component imports and exports, before anything of it runs.
fn link(
    shared: &Shared,
    name: &str,
    component: &Component,
) -> Result<BackendPre<State>, LoadError> {
    let contract = component.component_type();
    let mut with_wasi = false;
    for (import, _) in contract.imports(&shared.engine) {
        let wasi = ["io", "clocks", "random", "cli", "filesystem", "sockets"].iter().any(|it| {
            import
                .strip_prefix("wasi:")
                .and_then(|rest| rest.strip_prefix(it))
                .is_some_and(|rest| rest.starts_with('/'))
        });
        with_wasi |= wasi;
        if !wasi && !import.starts_with("llem:backend/") {
            return Err(LoadError::Import { name: name.to_owned(), import: safe(import) });
        }
    }
    let linked = shared
        .linker(with_wasi)
        .and_then(|linker| linker.instantiate_pre(component))
        .and_then(BackendPre::new);
    linked.map_err(|error| {
        let exports: Vec<String> = contract
            .exports(&shared.engine)
            .map(|(export, _)| format!("`{}`", safe(export)))
            .collect();
        let exports = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
        LoadError::Contract { name: name.to_owned(), exports, reason: safe(&format!("{error:#}")) }
    })
}

/// A line that says, once in a process, that compiled code is not kept.
fn notice(reason: &str) -> Option<LogLine> {
    static SAID: AtomicBool = AtomicBool::new(false);
    let text = format!(
        "plugins are compiled at every start, because their code can't be kept: {}",
        safe(reason)
    );
    (!SAID.swap(true, Ordering::Relaxed)).then_some(LogLine { level: LogLevel::Warn, text })
}
