//! The guests of this repository: where their source lies and where their component goes.

/// A crate that becomes a component.
#[derive(Debug)]
pub struct Guest {
    /// Name of the component.
    pub name: &'static str,
    /// Cargo package.
    pub package: &'static str,
    /// Example of the package that is the guest; none: its library.
    pub example: Option<&'static str>,
    /// Folders and files that it is made of, besides the SDK, the contract and its dependencies.
    pub sources: &'static [&'static str],
    /// The committed component.
    pub component: &'static str,
}

/// All guests: the first-party plugins and those that tests run: one that misbehaves, one with a flaw at a time, one that says what a test has written into it.
pub const GUESTS: [Guest; 7] = [
    plugin(
        "candle",
        "llem-plugin-candle",
        &["plugins/candle/Cargo.toml", "plugins/candle/src"],
        "plugins/components/candle.wasm",
    ),
    plugin(
        "pytorch",
        "llem-plugin-pytorch",
        &["plugins/pytorch", "plugins/shared", "plugins/worker/llem_worker"],
        "plugins/components/pytorch.wasm",
    ),
    plugin(
        "tensorrt",
        "llem-plugin-tensorrt",
        &["plugins/tensorrt", "plugins/shared", "plugins/worker/llem_worker"],
        "plugins/components/tensorrt.wasm",
    ),
    plugin(
        "vllm",
        "llem-plugin-vllm",
        &["plugins/vllm", "plugins/shared", "plugins/worker/llem_worker"],
        "plugins/components/vllm.wasm",
    ),
    Guest {
        name: "hostile",
        package: "llem-sdk",
        example: Some("hostile"),
        sources: &["sdk/examples/hostile.rs"],
        component: "host/plugin/tests/hostile.wasm",
    },
    Guest {
        name: "flawed",
        package: "llem-sdk",
        example: Some("flawed"),
        sources: &["sdk/examples/flawed.rs"],
        component: "host/conformance/tests/flawed.wasm",
    },
    Guest {
        name: "scripted",
        package: "llem-scripted-plugin",
        example: None,
        sources: &["tests/scripted-plugin/Cargo.toml", "tests/scripted-plugin/src"],
        component: "tests/attacks/scripted.wasm",
    },
];

const fn plugin(
    name: &'static str,
    package: &'static str,
    sources: &'static [&'static str],
    component: &'static str,
) -> Guest {
    Guest { name, package, example: None, sources, component }
}
