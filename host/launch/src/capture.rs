//! Runs a program to its end for what it prints, as isolated as an engine.

use std::time::{Duration, Instant};

use llem_core::backend::{
    Arg, ArgPart, Command, GpuNeed, ImageRef, Limits, Network, Probe, Program, Readiness, Role,
    Runner, Step, Stop, StopSignal,
};

use crate::{Grant, HostEnvironment, LaunchError, Programs, Running, Site, policy};

/// What a granted program prints, at most its first 32 and last 64 KiB; none where it fails or takes longer than `limit`.
/// With an image, it is that image's program, in a container.
pub fn output_of(
    program: &str,
    args: &[String],
    image: Option<&ImageRef>,
    grant: &Grant,
    programs: &Programs,
    host: &HostEnvironment,
    limit: Duration,
) -> Result<Option<String>, LaunchError> {
    let literal = |it: &String| -> Arg { vec![ArgPart::Literal(it.clone())] };
    let step = Step {
        id: "probe".into(),
        title: program.into(),
        role: Role::Prepare { produces: None },
        runner: if image.is_some() { Runner::Container } else { Runner::Process },
        image: image.cloned(),
        command: Command {
            program: Program::Named(program.into()),
            args: args.iter().map(literal).collect(),
        },
        env: Vec::new(),
        mounts: Vec::new(),
        files: Vec::new(),
        gpus: GpuNeed::default(),
        network: Network::None,
        shm_mib: None,
        readiness: Readiness {
            probes: vec![Probe::Exits],
            interval_ms: 5,
            deadline_ms: u32::try_from(limit.as_millis()).unwrap_or(60_000),
        },
        signals: Vec::new(),
        limits: Limits::default(),
        stop: Stop { signal: StopSignal::Kill, grace_ms: 0 },
    };
    let violations = policy::check_step(&step, grant);
    if !violations.is_empty() {
        return Err(LaunchError::Refused(violations));
    }
    let site = Site {
        supervisor: programs.bundled("supervisor")?.to_owned(),
        scratch_parent: std::env::temp_dir(),
        model: String::new(),
        port: 0,
        artefacts: std::collections::BTreeMap::new(),
        log_file: None,
    };
    let started = Instant::now();
    let mut running = Running::start(&step, &site, programs, host)?;
    // A container's time is that of its deadline, which begins once its image is there.
    let ready = running.wait_ready(&|| image.is_none() && started.elapsed() > limit);
    running.stop();
    let log = running.log();
    Ok(ready.is_ok().then(|| log.head + &log.tail))
}
