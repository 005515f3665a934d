//! `llem plugin add`: takes a component in, by its hash, with what the user allows it.
//!
//! Nothing is kept before everything is decided; where that fails, nothing has changed.

use std::io::Write as _;

use llem_plugin::{Origin, Plugin, Registry};

use crate::{
    cli::PluginAddArgs,
    commands::output,
    diagnostics::{Failure, printable},
    exit::ExitStatus,
    grants::{Book, Gate, permission_name},
    planning::broken,
    plugins::{Fetched, Locked, Store, compiled_cache, fetch, registry},
};

/// Adds a component.
pub(crate) fn run(args: &PluginAddArgs) -> Result<ExitStatus, Failure> {
    let Fetched { bytes, source, digest } = fetch(&args.source).map_err(|error| {
        Failure::new(ExitStatus::Usage, &error)
            .hint("a file, a directory with one `.wasm`, an https address, or `oci://HOST/REPOSITORY:TAG`")
    })?;
    let plugin = load(&bytes)?;
    let descriptor = plugin.describe().map_err(broken)?;
    let id = descriptor.id.clone();
    if Registry::is_reserved(&id) {
        let message = format!("`{id}` is the name of a built-in plugin");
        return Err(Failure::message(ExitStatus::Usage, message)
            .hint("LLEM_PLUGIN_PATH names a directory of components that take their place"));
    }
    plugin.releases().map_err(broken)?;
    let mut store = Store::open()?;
    let before = store.plugins().iter().find(|it| it.id == id).cloned();
    if let Some(before) = &before
        && before.sha256 != plugin.sha256()
        && !args.replace
    {
        let message = format!(
            "there is a plugin `{id}` {} already, from {}, with another component",
            before.version, before.source
        );
        return Err(Failure::message(ExitStatus::Usage, message)
            .hint("`--replace` puts this one in its place; it needs grants of its own"));
    }
    let gate = Gate::new(args.allow.clone()).asking();
    gate.admit(&plugin, &descriptor, |_| true)?;
    let verdict = gate.verdict(&plugin, &descriptor)?;
    let granted: Vec<String> = verdict.granted.iter().map(permission_name).collect();
    let mut book = Book::open()?;
    book.add(plugin.sha256(), &descriptor, granted.clone(), Vec::new());
    let sha256 = plugin.sha256().to_owned();
    let locked = Locked {
        id: id.clone(),
        version: descriptor.version.clone(),
        source,
        digest,
        sha256: sha256.clone(),
        added_at: jiff::Timestamp::now().to_string(),
    };
    store.add(locked, &bytes)?;
    if let Some(before) = before.filter(|it| it.sha256 != sha256) {
        book.remove(&before.sha256);
    }
    book.write()?;
    let may = if granted.is_empty() { "nothing".to_owned() } else { granted.join(", ") };
    output(&printable(&format!(
        "added {id} {}\n  sha256  {sha256}\n  may use {may}\n",
        descriptor.version
    )))
}

/// Loads a component from its bytes in a process of its own first, which its compilation can't outgrow.
fn load(bytes: &[u8]) -> Result<Plugin, Failure> {
    let failed = |it: &dyn std::error::Error| Failure::new(ExitStatus::Environment, it);
    let mut file = tempfile::Builder::new().suffix(".wasm").tempfile().map_err(|it| failed(&it))?;
    file.write_all(bytes).map_err(|it| failed(&it))?;
    let itself = std::env::current_exe().map_err(|it| failed(&it))?;
    let compiled = std::process::Command::new(itself).arg("compile").arg(file.path()).output();
    let compiled = compiled.map_err(|it| failed(&it))?;
    if !compiled.status.success() {
        let said = String::from_utf8_lossy(&compiled.stderr);
        let why = if said.trim().is_empty() {
            format!("its compilation needs too much time or memory ({})", compiled.status)
        } else {
            said.trim().to_owned()
        };
        return Err(Failure::message(
            ExitStatus::Usage,
            format!("failed to take the component: {why}"),
        )
        .hint("`llem plugin test FILE` says more"));
    }
    let path = file.path().to_owned();
    Plugin::load("component", Origin::File(path), bytes, &compiled_cache())
        .map_err(|it| Failure::new(ExitStatus::Usage, &it))
}

/// Processor seconds that the compilation of a component may take.
const COMPILE_SECONDS: u64 = 120;
/// Memory that it may take.
const COMPILE_BYTES: u64 = 4 << 30;

/// Compiles a component into the cache; the hidden `llem compile FILE`.
pub(crate) fn compile(path: &std::ffi::OsStr) -> std::process::ExitCode {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let limit = |it| Rlimit { current: Some(it), maximum: Some(it) };
    let limited = setrlimit(Resource::Cpu, limit(COMPILE_SECONDS))
        .and_then(|()| setrlimit(Resource::As, limit(COMPILE_BYTES)))
        .and_then(|()| setrlimit(Resource::Core, limit(0)));
    let loaded = match limited {
        Ok(()) => registry().load(&path.to_string_lossy()).map_err(|it| it.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match loaded {
        Ok(_) => std::process::ExitCode::SUCCESS,
        Err(why) => {
            drop(writeln!(std::io::stderr(), "{}", printable(&why)));
            std::process::ExitCode::FAILURE
        }
    }
}
