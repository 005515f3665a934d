//! `llem doctor` on machines that lack something: each finds what is wrong, how much it matters and how to mend it, and
//! finds nothing else.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    path::Path,
    process::Command,
    thread,
};

use llem_fake_nvml::{Config, Fake, Faults, GpuConfig, Profile};
use llem_tests::Answer;
use serde_json::Value;

use crate::{energy::Bench, workspace};

const UUID: &str = "GPU-00000000-0000-0000-0000-000000000000";

fn gpu() -> GpuConfig {
    GpuConfig { power: Profile::constant(300.0), ..GpuConfig::default() }
}

fn with(faults: Faults) -> GpuConfig {
    GpuConfig { faults, ..gpu() }
}

fn machine(gpu: GpuConfig) -> Bench {
    Bench::with(&Config { gpus: vec![gpu], ..Config::default() })
}

fn findings(command: &mut Command) -> Vec<Value> {
    let answer = Answer::of(&command.output().expect("the program under test starts"));
    let found: Value = serde_json::from_str(&answer.stdout).expect("it is JSON");
    let found = found.as_array().expect("a list").clone();
    for it in &found {
        let is_mended = it["severity"] != "warning" || it["fix"].is_string();
        assert!(is_mended, "a warning says what to do: {it}");
    }
    found
}

/// What is found of a section that is not good, as `severity message`.
fn complaints(found: &[Value], section: &str) -> Vec<String> {
    let complaints = found.iter().filter(|it| it["section"] == section && it["severity"] != "good");
    let text = |it: &Value, key: &str| it[key].as_str().unwrap_or_default().to_owned();
    complaints.map(|it| format!("{} {}", text(it, "severity"), text(it, "message"))).collect()
}

fn check_gpu(bench: &Bench, args: &[&str], expected: &[&str]) {
    let found = findings(&mut bench.command(&[&["doctor", "--json"], args].concat()));
    let complaints = complaints(&found, "gpu");
    assert_eq!(complaints.len(), expected.len(), "{complaints:#?}");
    for (complaint, expected) in complaints.iter().zip(expected) {
        assert!(complaint.contains(expected), "`{expected}` in `{complaint}`");
    }
}

#[test]
fn each_fault_of_a_gpu_is_found_and_a_healthy_one_has_none() {
    let no = Faults::default;
    let seen_at_a_glance: Vec<(GpuConfig, &[&str])> = vec![
        (gpu(), &[]),
        (
            with(Faults { lost_at: Some(0.0), ..no() }),
            &["warning the GPU at index 0 does not answer"],
        ),
        (
            with(Faults { no_counter: true, ..no() }),
            &["warning this GPU or its driver has no energy counter"],
        ),
        (
            with(Faults { counter_denied: true, ..no() }),
            &["warning this user may not read the energy counter"],
        ),
        (
            with(Faults { stuck_at: Some(0.0), ..no() }),
            &["warning the energy counter did not advance"],
        ),
        // What was reset before is no fault any more.
        (with(Faults { reset_at: Some(0.0), ..no() }), &[]),
        (with(Faults { no_samples: true, ..no() }), &["note the driver does not give samples"]),
        (with(Faults { no_average: true, ..no() }), &["note the driver does not give average"]),
        // It tells them under other names.
        (with(Faults { no_violation_status: true, ..no() }), &[]),
        (GpuConfig { processes: vec![1], ..gpu() }, &["warning other processes compute on it: 1"]),
        (
            GpuConfig { slices: vec!["MIG-1111".into()], ..gpu() },
            &["warning MIG is on: energy is that of the whole GPU"],
        ),
        (
            GpuConfig { limit_watts: 500.0, ..gpu() },
            &["note the power limit is 500 W, the vendor's is 700 W"],
        ),
        (GpuConfig { persistence: false, ..gpu() }, &["note persistence mode is off"]),
        (
            GpuConfig { thermally_limited: Profile::constant(0.5), ..gpu() },
            &["warning clocks are held down by its temperature now"],
        ),
    ];
    thread::scope(|scope| {
        for (gpu, expected) in seen_at_a_glance {
            scope.spawn(|| check_gpu(&machine(gpu), &[], expected));
        }
        // These show only beside a second instrument.
        let fast = with(Faults { counter_gain: Some(1.3), ..no() });
        let instant = with(Faults { instant_watts: Some(1.0), ..no() });
        scope.spawn(|| check_gpu(&machine(fast), &["--measure"], &["one of them is wrong"]));
        scope.spawn(|| {
            check_gpu(&machine(instant), &["--measure"], &["instant power makes no sense"]);
        });
        scope.spawn(|| check_gpu(&machine(gpu()), &["--measure"], &[]));
    });
}

#[test]
fn an_old_library_and_one_that_does_not_start_are_told_apart() {
    let config = Config { gpus: vec![gpu()], ..Config::default() };
    let fake = Fake::lacking(&config, &["nvmlDeviceGetSamples", "nvmlDeviceGetViolationStatus"]);
    check_gpu(&Bench::of(fake.path(), &config), &[], &["note the driver does not give samples"]);
    let fails = |init_code| Bench::with(&Config { init_code, ..Config::default() });
    check_gpu(&fails(4), &[], &["warning this user may not talk to the NVIDIA driver"]);
    check_gpu(&fails(9), &[], &["warning the NVIDIA driver is not loaded"]);
    check_gpu(&fails(999), &[], &["warning the NVIDIA management library did not start: code 999"]);
}

#[test]
fn without_a_gpu_there_is_a_note_and_a_name_that_is_no_gpu_is_a_warning() {
    let bench = machine(gpu());
    let mut command = bench.command(&["doctor", "--json"]);
    let found = findings(command.env("CUDA_VISIBLE_DEVICES", "7"));
    let fix = found.iter().find(|it| it["severity"] == "warning").expect("there is one");
    assert!(fix["fix"].as_str().is_some_and(|it| it.contains(UUID)), "{fix}");
    // No library at all, whatever the machine has.
    fs::write(bench.workspace.path().join("libnvidia-ml.so.1"), "").expect("writable");
    check_gpu(&bench, &[], &["note the NVIDIA management library could not be loaded"]);
}

/// `llem doctor` by a user who may neither count for the whole machine nor read what is another user's.
fn by_a_user_without_rights(bench: &Bench) -> Command {
    let doctor = bench.command(&["doctor", "--json"]);
    if !rustix::process::geteuid().is_root() {
        return doctor;
    }
    let mut command = Command::new("setpriv");
    command.arg("--bounding-set=-dac_override,-dac_read_search,-perfmon,-sys_admin");
    command.arg(doctor.get_program()).args(doctor.get_args());
    command.current_dir(bench.workspace.path());
    command.envs(doctor.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

fn check_processor(bench: &Bench, sysfs: &Path, fix: &str) {
    let mut doctor = by_a_user_without_rights(bench);
    let found = findings(doctor.env("LLEM_SYSFS", sysfs));
    let line = found.iter().find(|it| it["subject"] == "rapl").expect("it is looked for");
    assert_eq!(line["severity"], "warning", "{line}");
    let message = line["message"].as_str().expect("text");
    assert!(message.contains("this user may not read"), "{line}");
    assert_eq!(line["fix"], fix);
}

#[test]
fn counters_that_may_not_be_read_come_with_the_command_that_permits_it() {
    let bench = machine(gpu());
    let sysfs = bench.workspace.path().join("sys");
    let zone = sysfs.join("class/powercap/intel-rapl:0");
    fs::create_dir_all(&zone).expect("writable");
    for (file, text) in
        [("name", "package-0"), ("max_energy_range_uj", "65536000000"), ("energy_uj", "1")]
    {
        fs::write(zone.join(file), text).expect("writable");
    }
    let counter = zone.join("energy_uj");
    fs::set_permissions(&counter, fs::Permissions::from_mode(0o000)).expect("it is ours");
    let fix = format!("sudo chmod a+r {}/class/powercap/intel-rapl:*/energy_uj", sysfs.display());
    check_processor(&bench, &sysfs, &fix);

    // A real counter of the kernel, refused like that of a processor's energy.
    let paranoid = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap_or_default();
    if paranoid.trim().parse().is_ok_and(|it: i32| it > 0) {
        let unit = sysfs.join("bus/event_source/devices/power");
        fs::create_dir_all(unit.join("events")).expect("writable");
        for (file, text) in [
            ("type", "1"),
            ("cpumask", "0"),
            ("events/energy-pkg", "event=0x00"),
            ("events/energy-pkg.scale", "1e-8"),
            ("events/energy-pkg.unit", "Joules"),
        ] {
            fs::write(unit.join(file), text).expect("writable");
        }
        check_processor(&bench, &sysfs, "sudo sysctl kernel.perf_event_paranoid=0");
    }
}

#[test]
fn a_container_engine_that_is_not_there_and_one_without_gpus_are_found() {
    let bench = machine(gpu());
    let socket = bench.workspace.path().join("engine.sock");
    let doctor = || {
        let mut command = bench.command(&["doctor", "--json"]);
        findings(command.env("DOCKER_HOST", format!("unix://{}", socket.display())))
    };
    let complaint = complaints(&doctor(), "containers").remove(0);
    assert!(complaint.contains("takes no connection: No such file"), "{complaint}");

    // None at all, unless the machine has one in a usual place.
    let usual = ["/var/run/docker.sock", "/run/podman/podman.sock"];
    if usual.iter().all(|it| !Path::new(it).exists()) {
        let mut command = bench.command(&["doctor", "--json"]);
        command.env_remove("CONTAINER_HOST").env("XDG_RUNTIME_DIR", bench.workspace.path());
        let complaint = complaints(&findings(command.env_remove("DOCKER_HOST")), "containers");
        assert_eq!(complaint, ["note no socket of Docker or Podman: engines run as processes"]);
    }

    let listener = UnixListener::bind(&socket).expect("the path is short");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("it is local");
            thread::spawn(move || {
                let mut request = [0_u8; 4096];
                while let Ok(length @ 1..) = stream.read(&mut request) {
                    let is_info = String::from_utf8_lossy(&request[..length]).contains("/info");
                    let body = if is_info {
                        r#"{"Runtimes":{"runc":{"path":"runc"}}}"#
                    } else {
                        r#"{"Version":"28.1.1","ApiVersion":"1.44"}"#
                    };
                    let head =
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
                    write!(stream, "{head} {}\r\n\r\n{body}", body.len()).expect("it reads");
                }
            });
        }
    });
    let found = doctor();
    let engine = found.iter().find(|it| it["subject"] == "engine").expect("it is looked for");
    assert!(engine["message"].as_str().is_some_and(|it| it.starts_with("28.1.1 at")), "{engine}");
    let toolkit = found.iter().find(|it| it["subject"] == "gpu toolkit").expect("there is a GPU");
    let has_descriptions =
        ["/etc/cdi", "/var/run/cdi"].iter().any(|it| fs::exists(it).unwrap_or(false));
    assert!(toolkit["severity"] == "warning" || has_descriptions, "{toolkit}");
}

#[test]
fn an_engine_of_a_version_that_no_schema_is_for_is_a_warning() {
    let bench = machine(gpu());
    let bin = bench.workspace.path().join("bin");
    fs::create_dir_all(&bin).expect("writable");
    let script = "#!/bin/sh\ncase \"$*\" in *\"'vllm'\"*) echo vllm 99.1.0;; *transformers*) echo transformers 5.17.0;; *) exit 1;; esac\n";
    fs::write(bin.join("python3"), script).expect("writable");
    fs::set_permissions(bin.join("python3"), fs::Permissions::from_mode(0o755)).expect("ours");
    let mut command = bench.command(&["doctor", "--json"]);
    let found = findings(command.env("PATH", format!("{}:/usr/bin:/bin", bin.display())));
    let engine = |name: &str| {
        let line = found.iter().find(|it| it["section"] == "engines" && it["subject"] == name);
        let line = line.unwrap_or_else(|| panic!("{name} in {found:#?}"));
        format!("{} {}", line["severity"], line["message"])
    };
    assert!(
        engine("vllm").starts_with("\"warning\" \"no schema for the installed version 99.1.0"),
        "{}",
        engine("vllm")
    );
    assert_eq!(engine("pytorch"), "\"good\" \"5.17.0, schema 5.17.0\"");
    assert_eq!(engine("tensorrt"), "\"note\" \"not installed\"");
    assert_eq!(engine("candle"), "\"good\" \"linked into llem\"");
}

#[test]
fn a_token_is_found_and_never_shown() {
    let bench = machine(gpu());
    let doctor = |token: &str, file: &str, args: &[&str]| {
        let mut command = bench.command(args);
        command.env("HF_TOKEN", token).env("HF_TOKEN_PATH", bench.workspace.path().join(file));
        command.env_remove("HUGGING_FACE_HUB_TOKEN").env("HF_HOME", bench.workspace.path());
        Answer::of(&command.output().expect("the program under test starts")).stdout
    };
    bench.workspace.write("open-token", "hf_secret_in_a_file");
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(bench.workspace.path().join("open-token"), open).expect("it is ours");
    let set = doctor("hf_secret", "none", &["doctor"]);
    assert!(set.contains("good     token: HF_TOKEN is set"), "{set}");
    let open = doctor("", "open-token", &["doctor"]);
    assert!(
        open.contains("warning  token: others may read") && open.contains("chmod 600"),
        "{open}"
    );
    let none = doctor("", "none", &["doctor"]);
    assert!(none.contains("note     token: there is none"), "{none}");
    assert!(![set, open, none].concat().contains("hf_secret"));
}

#[test]
fn check_fails_where_there_is_a_warning_only() {
    let bench = machine(gpu());
    let check = |name: &str, value: &str| {
        let mut command = bench.command(&["doctor", "--check"]);
        command.env("HF_TOKEN", "hf_x").env("DOCKER_HOST", "").env(name, value);
        Answer::of(&command.output().expect("the program under test starts"))
    };
    let bad = check("CUDA_VISIBLE_DEVICES", "7");
    assert_eq!(bad.code, Some(1), "{}", bad.stdout);
    let lines = workspace().llem(&["doctor"]).stdout;
    assert!(lines.contains("\nsystem\n") && lines.contains("\nengines\n"), "{lines}");
}
