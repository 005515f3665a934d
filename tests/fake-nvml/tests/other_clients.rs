//! Other clients of the management library read from the fake one through the loader's path.

use std::{env, fs, process::Command};

use llem_fake_nvml::{Config, GpuConfig, Profile, library_path};

const CLIENT: &str = r#"
import sys
try:
    import pynvml
except ImportError:
    sys.exit(77)
pynvml.nvmlInit()
print(pynvml.nvmlSystemGetDriverVersion(), pynvml.nvmlDeviceGetCount())
gpu = pynvml.nvmlDeviceGetHandleByIndex(1)
print(pynvml.nvmlDeviceGetUUID(gpu), pynvml.nvmlDeviceGetPowerUsage(gpu))
print(pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) > 0)
"#;

#[test]
#[expect(clippy::print_stderr, reason = "a test that does nothing says why")]
fn nvidia_ml_py_reads_the_fake_gpus() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::copy(library_path(), folder.path().join("libnvidia-ml.so.1")).expect("a copy");
    let gpu = |uuid: &str, watts| GpuConfig {
        uuid: uuid.to_owned(),
        power: Profile::constant(watts),
        ..GpuConfig::default()
    };
    let config =
        Config { gpus: vec![gpu("GPU-a", 100.0), gpu("GPU-b", 250.0)], ..Config::default() };
    let config_file = folder.path().join("gpus.json");
    let text = serde_json::to_string(&config).expect("plain data");
    fs::write(&config_file, text).expect("a file");
    let python = env::var("LLEM_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = Command::new(python)
        .args(["-c", CLIENT])
        .env("LD_LIBRARY_PATH", folder.path())
        .env("LLEM_FAKE_NVML", &config_file)
        .output();
    let output = match output {
        Ok(output) if output.status.code() != Some(77) => output,
        _ => {
            eprintln!("skipped: needs python3 with nvidia-ml-py, or LLEM_TEST_PYTHON that has it");
            return;
        }
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "580.159.04 2\nGPU-b 250000\nTrue\n", "{errors}");
}
