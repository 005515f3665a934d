//! A real Slurm cluster of one node, private to a test: its own keys, ports, state and configuration.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A daemon takes seconds to come up on a loaded machine.
const DEADLINE: Duration = Duration::from_mins(2);

/// The daemons of a cluster; they end with it.
#[derive(Debug)]
pub struct Cluster {
    directory: tempfile::TempDir,
    munged: Child,
    controller: Child,
    node: Child,
}

impl Cluster {
    /// Starts munge, slurmctld and slurmd, and waits until the node takes jobs.
    pub fn start() -> Self {
        let directory =
            tempfile::Builder::new().prefix("llem-slurm").tempdir().expect("a directory");
        let path = directory.path();
        for name in ["state", "spool", "munge"] {
            fs::create_dir(path.join(name)).expect("writable");
        }
        fs::write(path.join("slurm.conf"), configuration(path)).expect("writable");
        let munged = munged(&path.join("munge"));
        let mut cluster = Self {
            controller: daemon(path, "slurmctld"),
            node: daemon(path, "slurmd"),
            munged,
            directory,
        };
        cluster.wait_idle();
        cluster
    }

    /// The configuration, for `SLURM_CONF`.
    pub fn configuration(&self) -> PathBuf {
        self.directory.path().join("slurm.conf")
    }

    /// Runs one of Slurm's commands.
    pub fn slurm(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program)
            .args(arguments)
            .env("SLURM_CONF", self.configuration())
            .output()
            .expect("Slurm is installed");
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    }

    /// Kills slurmctld without warning and starts it again.
    pub fn crash_controller(&mut self) {
        self.controller.kill().expect("it runs");
        self.controller.wait().expect("it was started");
        self.controller = daemon(self.directory.path(), "slurmctld");
    }

    /// Kills slurmd without warning and starts it again.
    pub fn crash_node(&mut self) {
        self.node.kill().expect("it runs");
        self.node.wait().expect("it was started");
        self.node = daemon(self.directory.path(), "slurmd");
    }

    /// What the daemons logged, for a failed test.
    pub fn logs(&self) -> String {
        let read = |name: &str| {
            let text = fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            format!("== {name}\n{}\n", lines[lines.len().saturating_sub(40)..].join("\n"))
        };
        read("slurmctld.log") + &read("slurmd.log")
    }

    fn wait_idle(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        while !self.slurm("sinfo", &["--noheader", "--format=%T"]).contains("idle") {
            assert!(Instant::now() < deadline, "the node did not come up\n{}", self.logs());
            thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.slurm("scancel", &["--user=root", "--signal=KILL"]);
        for daemon in [&mut self.controller, &mut self.node, &mut self.munged] {
            drop(daemon.kill());
            drop(daemon.wait());
        }
    }
}

fn configuration(path: &Path) -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("Linux has a host name");
    let host = host.trim();
    let (controller, node) = ports();
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let user = String::from_utf8(Command::new("id").arg("-un").output().expect("id").stdout);
    let user = user.expect("a plain name");
    let user = user.trim();
    let path = path.display();
    format!(
        "ClusterName=llem\n\
         SlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={controller}\nSlurmdPort={node}\n\
         SlurmUser={user}\nSlurmdUser={user}\nAuthType=auth/munge\nAuthInfo=socket={path}/munge/socket\n\
         CredType=cred/munge\nProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nMpiDefault=none\n\
         SelectType=select/cons_tres\nSelectTypeParameters=CR_Core\nReturnToService=2\nMailProg=/bin/true\n\
         StateSaveLocation={path}/state\nSlurmdSpoolDir={path}/spool\n\
         SlurmctldPidFile={path}/slurmctld.pid\nSlurmdPidFile={path}/slurmd.pid\n\
         SlurmctldLogFile={path}/slurmctld.log\nSlurmdLogFile={path}/slurmd.log\n\
         KillWait=5\nSlurmdTimeout=60\nJobRequeue=1\n\
         SchedulerParameters=batch_sched_delay=0,sched_interval=2\n\
         NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus}\n\
         PartitionName=main Nodes=ALL Default=YES State=UP\n"
    )
}

/// Two ports that were free a moment ago.
fn ports() -> (u16, u16) {
    let bound = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let [one, other] = bound.map(|it| it.local_addr().expect("it is bound").port());
    (one, other)
}

fn munged(path: &Path) -> Child {
    let key: Vec<u8> = blake3::hash(path.display().to_string().as_bytes()).as_bytes().repeat(4);
    let file = path.join("key");
    fs::write(&file, key).expect("writable");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&file, private).expect("it is ours");
    let option = |name: &str, file: &str| format!("--{name}={}", path.join(file).display());
    Command::new("munged")
        .arg("--foreground")
        .arg("--force")
        .args([option("key-file", "key"), option("socket", "socket"), option("log-file", "log")])
        .args([option("pid-file", "pid"), option("seed-file", "seed")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("munge is installed")
}

fn daemon(path: &Path, program: &str) -> Child {
    Command::new(program)
        .arg("-D")
        .arg("-f")
        .arg(path.join("slurm.conf"))
        .env("SLURM_CONF", path.join("slurm.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("Slurm is installed")
}
