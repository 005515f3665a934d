//! Containers through Apptainer or Singularity, which clusters have where Docker is not allowed.
//!
//! There is no engine to speak to: the container is a child of this process, so that the supervisor above ends it with
//! everything else. Images are SIF files in a directory, pulled from registries where they are missing.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    io::{self, Read as _},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use llem_core::backend::Network;
use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use super::{
    attend::{Ends, tell},
    client,
    image::{self, Image},
    say,
    spec::{ADDRESS, Bind, Spec, State, VARIABLE},
};
use crate::{Programs, environment::CONTAINER_PROGRAMS};

/// How often it is looked whether a program has ended.
const LOOK: Duration = Duration::from_millis(50);
/// How long a killed container may take to be gone.
const GONE: Duration = Duration::from_secs(5);

/// Programs with this command line, the first that is there.
const PROGRAMS: [&str; 2] = ["apptainer", "singularity"];

/// The program, where there is one.
pub(super) fn find() -> Option<PathBuf> {
    let programs = Programs::new(&[], Some(&std::env::var("PATH").ok()?));
    PROGRAMS.iter().find_map(|it| programs.find(it).ok())
}

/// Prints what an image is, which is pulled if it is missing. Labels are not asked for: probes tell the engine's version.
pub(super) async fn tell_image(program: &Path, wanted: &OsStr) -> Result<u8, String> {
    let wanted = image::wanted(wanted)?;
    let mut ends = Ends::new().map_err(|it| it.to_string())?;
    let (_, id) = pulled(program, &client::name(&wanted), &mut ends).await?;
    Image { id, engine_version: None }.print()
}

/// Runs a container and gives its exit code.
pub(super) async fn attend(program: &Path, spec: &Spec) -> Result<u8, String> {
    let mut ends = Ends::new().map_err(|it| it.to_string())?;
    let name = client::name(&spec.image);
    let (image, record) = pulled(program, &name, &mut ends).await?;
    let work = spec.state.with_file_name("container");
    std::fs::create_dir_all(&work).map_err(|it| format!("`{}`: {it}", work.display()))?;
    let mut command = bare(program);
    command
        .args(arguments(spec, &image, &work))
        .envs(variables(program, spec, |name| std::env::var(name).ok()))
        .stdin(if spec.has_input { Stdio::inherit() } else { Stdio::null() });
    let mut child = start(&mut command, program)?;
    tell(
        spec,
        &State {
            id: format!("process-{}", child.id()),
            pid: Some(child.id()),
            image: record,
            shares_network: true,
        },
    )?;
    let signal = match spec.signal.as_str() {
        "SIGINT" => Signal::INT,
        "SIGKILL" => Signal::KILL,
        _ => Signal::TERM,
    };
    let grace = Duration::from_millis(spec.grace_ms.into());
    let status = ended(&mut child, &mut ends, signal, grace).await?;
    Ok(status
        .code()
        .or(status.signal().map(|it| 128 + it))
        .map_or(u8::MAX, |code| u8::try_from(code).unwrap_or(u8::MAX)))
}

/// The program with an environment of its own; nothing of it reaches the container.
fn bare(program: &Path) -> Command {
    let mut command = Command::new(program);
    let passed =
        CONTAINER_PROGRAMS.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
    command.env_clear().envs(passed);
    command
}

fn start(command: &mut Command, program: &Path) -> Result<Child, String> {
    command.spawn().map_err(|it| format!("`{}`: {it}", program.display()))
}

/// Waits for a program; where an end is asked for, with this signal first and with force after the grace.
async fn ended(
    child: &mut Child,
    ends: &mut Ends,
    signal: Signal,
    grace: Duration,
) -> Result<ExitStatus, String> {
    let mut kill_at = None;
    loop {
        if let Some(status) = child.try_wait().map_err(|it| it.to_string())? {
            return Ok(status);
        }
        tokio::select! {
            () = ends.next() => if kill_at.is_none() {
                send(child, signal);
                kill_at = Some(Instant::now() + grace);
            },
            () = sleep(LOOK) => if kill_at.is_some_and(|it| it <= Instant::now()) {
                send(child, Signal::KILL);
                kill_at = Some(Instant::now() + GONE);
            },
        }
    }
}

fn send(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(Err(error)) = pid.map(|it| kill_process(it, signal)) {
        say(&format!("{signal:?}: {error}"));
    }
}

/// The image's file, pulled if it is missing, and what is to be recorded of it.
async fn pulled(program: &Path, name: &str, ends: &mut Ends) -> Result<(PathBuf, String), String> {
    let directory =
        images().ok_or("LLEM_CONTAINER_IMAGES, LLEM_CACHE_DIR or HOME has to be set")?;
    let failed = |path: &Path, it: io::Error| format!("`{}`: {it}", path.display());
    let path = directory.join(file_name(name));
    if !path.exists() {
        std::fs::create_dir_all(&directory).map_err(|it| failed(&directory, it))?;
        say(&format!("pulling {name}"));
        // Others may pull it, too: whoever is done first or last puts a whole file there.
        let partial = directory.join(format!(".{}-{}", std::process::id(), file_name(name)));
        let mut command = bare(program);
        command.arg("pull").arg(&partial).arg(format!("docker://{name}")).stdin(Stdio::null());
        // What it prints is no part of what the engine prints.
        command.stdout(Stdio::null());
        let mut child = start(&mut command, program)?;
        let status = ended(&mut child, ends, Signal::TERM, GONE).await?;
        if !status.success() {
            drop(std::fs::remove_file(&partial));
            return Err(format!(
                "`{}` could not pull `{name}` ({status}), and there is no `{}`",
                program.display(),
                path.display()
            ));
        }
        std::fs::rename(&partial, &path).map_err(|it| failed(&path, it))?;
    }
    if path.is_dir() {
        return Ok((
            path.clone(),
            format!("{name} (the directory {}, not hashed)", path.display()),
        ));
    }
    let hash = hash_of(&path).map_err(|it| failed(&path, it))?;
    Ok((path, format!("{name} (SIF sha256:{hash})")))
}

fn hash_of(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut file = std::fs::File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            let digits = hash.finalize();
            return Ok(fmt::from_fn(|f| digits.iter().try_for_each(|it| write!(f, "{it:02x}")))
                .to_string());
        }
        hash.update(&buffer[..read]);
    }
}

/// Where images are.
fn images() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
    named("LLEM_CONTAINER_IMAGES")
        .or_else(|| Some(named("LLEM_CACHE_DIR")?.join("images")))
        .or_else(|| Some(named("HOME")?.join(".cache/llem/images")))
}

/// The file of an image: `REPOSITORY@TAG.sif`, with `+` for each slash. Neither is in such names, so that no two images
/// share a file.
fn file_name(image: &str) -> String {
    format!("{}.sif", image.replace('/', "+").replace(':', "@"))
}

/// The command line; nothing of the isolation is the plugin's to choose.
fn arguments(spec: &Spec, image: &Path, work: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> =
        vec![if spec.entrypoint.is_some() { "exec" } else { "run" }.into()];
    // Own file systems, processes, IPC and environment; no capabilities; no shell looks at texts.
    arguments.extend(["--containall", "--no-eval", "--no-privs", "--pwd", "/"].map(OsString::from));
    // Else `/tmp` and the home are kept in memory, and small.
    arguments.extend(["--workdir".into(), work.into()]);
    if matches!((spec.network, spec.has_input), (Network::None, _) | (Network::Local, true)) {
        arguments.extend(["--net", "--network", "none"].map(OsString::from));
    }
    if !spec.gpus.is_empty() {
        arguments.push("--nv".into());
    }
    if let Some(memory) = spec.memory_mib {
        let bytes = (u64::from(memory) << 20).to_string();
        arguments.extend(["--memory", &bytes, "--memory-swap", &bytes].map(OsString::from));
    }
    for bind in &spec.mounts {
        arguments.extend(["--mount".into(), mount(bind).into()]);
    }
    arguments.push(image.into());
    arguments.extend(spec.entrypoint.iter().map(OsString::from));
    arguments.extend(spec.args.iter().map(|it| known(it).into()));
    arguments
}

/// A container shares the machine's network, where only this machine may reach it.
fn known(text: &str) -> String {
    text.replace(ADDRESS, "127.0.0.1")
}

/// A mount as one line of comma-separated values.
fn mount(bind: &Bind) -> String {
    let field = |text: String| {
        if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
    };
    let source = field(format!("source={}", bind.source.display()));
    let target = field(format!("destination={}", bind.target));
    let kind = if bind.writable { "" } else { ",ro" };
    format!("type=bind,{source},{target}{kind}")
}

/// The container's variables, under the names by which the program passes them on.
fn variables(
    program: &Path,
    spec: &Spec,
    own: impl Fn(&str) -> Option<String>,
) -> Vec<(String, String)> {
    let is_singularity = program.file_name().is_some_and(|it| it == PROGRAMS[1]);
    let prefix = if is_singularity { "SINGULARITYENV_" } else { "APPTAINERENV_" };
    let of_plan = spec.variables.iter().filter_map(|name| {
        Some((format!("{prefix}{name}"), known(&own(&format!("{VARIABLE}{name}"))?)))
    });
    // Devices are all there; which of them the engine may use is said to the driver.
    let gpus = ["CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"]
        .map(|name| (format!("{prefix}{name}"), spec.gpus.join(",")));
    of_plan.chain(gpus).collect()
}

#[cfg(test)]
mod tests {
    use llem_core::backend::ImageRef;

    use super::*;

    fn spec() -> Spec {
        Spec {
            image: ImageRef {
                repository: "vllm/vllm-openai".into(),
                tag: Some("v0.24.0".into()),
                digest: None,
            },
            entrypoint: None,
            args: vec![format!("--host={ADDRESS}"), "--port=8000".into()],
            variables: vec!["TOKEN".into(), "MISSING".into()],
            mounts: vec![Bind {
                source: "/data/a, \"b\"".into(),
                target: "/llem/model".into(),
                writable: false,
            }],
            user: None,
            gpus: vec!["GPU-1".into(), "GPU-2".into()],
            network: Network::Local,
            port: 8000,
            has_input: false,
            shm_mib: None,
            memory_mib: None,
            cores: Vec::new(),
            signal: "SIGTERM".into(),
            grace_ms: 1,
            step: "serve".into(),
            owner: 1,
            state: "/scratch/state.json".into(),
        }
    }

    fn line(spec: &Spec) -> String {
        let all = arguments(spec, Path::new("/images/x.sif"), Path::new("/scratch/container"));
        let all: Vec<_> = all.iter().map(|it| it.to_string_lossy().into_owned()).collect();
        all.join(" ")
    }

    const ISOLATED: &str = "--containall --no-eval --no-privs --pwd / --workdir /scratch/container";

    #[test]
    fn a_server_with_gpus_shares_the_network_and_sees_its_mounts_alone() {
        assert_eq!(
            line(&spec()),
            format!(
                "run {ISOLATED} --nv --mount type=bind,\"source=/data/a, \"\"b\"\"\",destination=/llem/model,ro \
                 /images/x.sif --host=127.0.0.1 --port=8000"
            )
        );
    }

    #[test]
    fn a_batch_engine_has_no_network_and_its_memory_is_bounded() {
        let spec = Spec {
            has_input: true,
            entrypoint: Some("python3".into()),
            memory_mib: Some(2),
            gpus: Vec::new(),
            mounts: Vec::new(),
            ..spec()
        };
        assert_eq!(
            line(&spec),
            format!(
                "exec {ISOLATED} --net --network none --memory 2097152 --memory-swap 2097152 /images/x.sif python3 \
                 --host=127.0.0.1 --port=8000"
            )
        );
    }

    #[test]
    fn variables_go_by_the_environment_never_by_the_command_line() {
        let own = |name: &str| (name == "LLEM_IN_TOKEN").then(|| "secret".to_owned());
        let of = |program: &str| variables(Path::new(program), &spec(), own);
        let of_gpus = |prefix: &str| {
            ["CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"]
                .map(|it| (format!("{prefix}{it}"), "GPU-1,GPU-2".to_owned()))
        };
        for (program, prefix) in
            [("/usr/bin/apptainer", "APPTAINERENV_"), ("/usr/bin/singularity", "SINGULARITYENV_")]
        {
            let found = of(program);
            assert_eq!(found[0], (format!("{prefix}TOKEN"), "secret".to_owned()));
            assert_eq!(found[1..], of_gpus(prefix));
        }
    }

    #[test]
    fn each_image_has_a_file_of_its_own() {
        assert_eq!(file_name("vllm/vllm-openai:v0.24.0"), "vllm+vllm-openai@v0.24.0.sif");
        assert_eq!(file_name("host:5000/x@sha256:ab"), "host@5000+x@sha256@ab.sif");
    }
}
