//! What a container engine is told of a container: nothing of it but the step's own needs is the plugin's to choose.

use std::collections::HashMap;

use bollard::{
    Docker,
    models::{
        ContainerCreateBody, DeviceRequest, HealthConfig, HostConfig, Mount, MountType, PortBinding,
    },
};
use llem_core::backend::Network;

use super::{
    leftovers::labels,
    spec::{ADDRESS, Bind, Spec, VARIABLE},
};

/// Processes and threads of one container.
const MOST_PROCESSES: i64 = 16_384;

/// Label of an image that works with a root file system that it can't write.
const READ_ONLY: &str = "llem.read-only-root";

/// The network of a container, as container engines call it.
pub(super) async fn network(docker: &Docker, spec: &Spec) -> &'static str {
    match (spec.network, spec.has_input) {
        (Network::None, _) | (Network::Local, true) => "none",
        // Where the engine has no bridge, only the host's own network leads to the container.
        _ if !host_network() && docker.inspect_network("bridge", None).await.is_ok() => "bridge",
        _ => "host",
    }
}

/// Everything that the engine has to know, hardening included; nothing of it is the plugin's to choose.
pub(super) async fn body(
    docker: &Docker,
    spec: &Spec,
    image: String,
    network: &str,
) -> ContainerCreateBody {
    // In a network of its own, a container is reached by its own address; in the host's, only this machine may.
    let address = if network == "host" { "127.0.0.1" } else { "0.0.0.0" };
    let known = |text: &str| text.replace(ADDRESS, address);
    let variable = |name: &String| {
        let value = std::env::var(format!("{VARIABLE}{name}")).ok()?;
        Some(format!("{name}={}", known(&value)))
    };
    let publishes = publishes(spec, network);
    let read_only = docker.inspect_image(&image).await.ok().and_then(|it| it.config?.labels);
    let read_only = read_only.is_some_and(|it| it.get(READ_ONLY).is_some_and(|it| it == "true"));
    ContainerCreateBody {
        image: Some(image),
        entrypoint: spec.entrypoint.clone().map(|it| vec![it]),
        cmd: Some(spec.args.iter().map(|it| known(it)).collect()),
        env: Some(spec.variables.iter().filter_map(variable).collect()),
        user: spec.user.clone(),
        exposed_ports: publishes.then(|| vec![port(spec)]),
        attach_stdin: Some(spec.has_input),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(spec.has_input),
        stdin_once: Some(spec.has_input),
        labels: Some(labels(spec.owner, &spec.step)),
        // An image's own check would start programs within windows; the plan's probes say whether it is well.
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".into()]),
            ..HealthConfig::default()
        }),
        host_config: Some(host_config(spec, network, read_only)),
        ..ContainerCreateBody::default()
    }
}

/// What of the machine a container gets.
fn host_config(spec: &Spec, network: &str, read_only: bool) -> HostConfig {
    let published =
        PortBinding { host_ip: Some("127.0.0.1".into()), host_port: Some(spec.port.to_string()) };
    HostConfig {
        mounts: Some(spec.mounts.iter().map(mount).collect()),
        network_mode: Some(network.into()),
        port_bindings: publishes(spec, network)
            .then(|| HashMap::from([(port(spec), Some(vec![published]))])),
        cap_drop: Some(vec!["ALL".into()]),
        security_opt: Some(vec!["no-new-privileges".into()]),
        pids_limit: Some(MOST_PROCESSES),
        init: Some(true),
        ipc_mode: Some("private".into()),
        readonly_rootfs: Some(read_only),
        cpuset_cpus: (!spec.cores.is_empty()).then(|| list(&spec.cores)),
        tmpfs: read_only.then(|| HashMap::from([("/tmp".to_owned(), String::new())])),
        shm_size: spec.shm_mib.map(|it| i64::from(it) << 20),
        memory: spec.memory_mib.map(|it| i64::from(it) << 20),
        memory_swap: spec.memory_mib.map(|it| i64::from(it) << 20),
        device_requests: (!spec.gpus.is_empty()).then(|| {
            vec![DeviceRequest {
                driver: Some("nvidia".into()),
                device_ids: Some(spec.gpus.clone()),
                capabilities: Some(vec![vec!["gpu".into()]]),
                ..DeviceRequest::default()
            }]
        }),
        ..HostConfig::default()
    }
}

/// Whether its port leads out of a network of its own.
fn publishes(spec: &Spec, network: &str) -> bool {
    network == "bridge" && !spec.has_input
}

fn port(spec: &Spec) -> String {
    format!("{}/tcp", spec.port)
}

fn list(numbers: &[usize]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Whether the user wants containers in the host's own network.
fn host_network() -> bool {
    std::env::var("LLEM_CONTAINER_NETWORK").is_ok_and(|it| it == "host")
}

fn mount(bind: &Bind) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(bind.source.display().to_string()),
        target: Some(bind.target.clone()),
        read_only: Some(!bind.writable),
        ..Mount::default()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use llem_core::backend::ImageRef;

    use super::*;

    fn spec() -> Spec {
        Spec {
            image: ImageRef { repository: "docker.io/x/y".into(), tag: None, digest: None },
            entrypoint: None,
            args: Vec::new(),
            variables: Vec::new(),
            mounts: vec![Bind { source: "/m".into(), target: "/models".into(), writable: false }],
            user: None,
            gpus: vec!["GPU-a".into(), "GPU-b".into()],
            network: Network::Local,
            port: 8000,
            has_input: false,
            cores: vec![1, 3],
            shm_mib: Some(64),
            memory_mib: Some(2),
            signal: "SIGTERM".into(),
            grace_ms: 1,
            step: "serve".into(),
            owner: 1,
            state: PathBuf::from("/scratch/state.json"),
        }
    }

    #[test]
    fn every_container_is_hardened_whatever_its_step_says() {
        for (network, read_only) in [("bridge", true), ("host", false), ("none", false)] {
            let it = host_config(&spec(), network, read_only);
            assert_eq!(it.cap_drop, Some(vec!["ALL".to_owned()]));
            assert_eq!(it.security_opt, Some(vec!["no-new-privileges".to_owned()]));
            assert_eq!((it.ipc_mode.as_deref(), it.init), (Some("private"), Some(true)));
            assert_eq!(it.pids_limit, Some(MOST_PROCESSES));
            assert_eq!(it.readonly_rootfs, Some(read_only));
            assert_eq!((it.memory, it.memory_swap), (Some(2 << 20), Some(2 << 20)));
            assert_eq!(it.mounts.expect("one")[0].read_only, Some(true));
            assert!(it.cap_add.is_none() && it.devices.is_none() && it.binds.is_none());
            assert!(it.privileged.is_none() && it.pid_mode.is_none() && it.userns_mode.is_none());
        }
    }

    #[test]
    fn gpus_are_those_of_the_host_by_uuid_and_cores_those_that_it_leaves() {
        let it = host_config(&spec(), "bridge", false);
        let gpus = it.device_requests.expect("it has GPUs");
        assert_eq!(gpus[0].device_ids, Some(vec!["GPU-a".to_owned(), "GPU-b".to_owned()]));
        assert_eq!((gpus.len(), gpus[0].count), (1, None));
        assert_eq!(it.cpuset_cpus.as_deref(), Some("1,3"));
        let none = Spec { gpus: Vec::new(), cores: Vec::new(), ..spec() };
        let it = host_config(&none, "bridge", false);
        assert!(it.device_requests.is_none() && it.cpuset_cpus.is_none());
    }

    #[test]
    fn a_port_is_published_on_this_machine_alone() {
        let ports = |spec: &Spec, network| host_config(spec, network, false).port_bindings;
        let bound = ports(&spec(), "bridge").expect("a server")["8000/tcp"].clone();
        assert_eq!(bound.expect("one")[0].host_ip.as_deref(), Some("127.0.0.1"));
        assert!(ports(&spec(), "host").is_none(), "it has the machine's own");
        assert!(ports(&Spec { has_input: true, ..spec() }, "bridge").is_none(), "no server");
    }
}
