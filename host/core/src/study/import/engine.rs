//! The engines of `LLenergyMeasure` 0.7 and where their settings went.

use serde_json::{Value as Json, json};

/// An old engine and the plugin that it became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Engine {
    pub(super) old: &'static str,
    pub(super) plugin: &'static str,
}

/// Settings of a plugin, in their order; a later one of the same path replaces an earlier.
#[derive(Default)]
pub(super) struct Settings(pub(super) Vec<(String, Json)>);

impl Settings {
    pub(super) fn set(&mut self, path: impl Into<String>, value: Json) {
        let path = path.into();
        self.0.retain(|(known, _)| *known != path);
        self.0.push((path, value));
    }
}

const TRANSFORMERS: Engine = Engine { old: "transformers", plugin: "pytorch" };
const QUANTIZATION: &str = "quantization.BitsAndBytesConfig";

impl Engine {
    pub(super) const ALL: [Self; 3] = [
        TRANSFORMERS,
        Self { old: "vllm", plugin: "vllm" },
        Self { old: "tensorrt", plugin: "tensorrt" },
    ];

    pub(super) fn named(old: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| engine.old == old)
    }

    /// Adds what a setting became; says why where it has no equal.
    pub(super) fn setting(
        self,
        path: &str,
        value: &Json,
        server: bool,
        settings: &mut Settings,
    ) -> Result<(), String> {
        let (table, name) = path.split_once('.').unwrap_or((path, ""));
        if value.is_null() {
            return Ok(());
        }
        match table {
            "engine_params" if self == TRANSFORMERS && is_bits_and_bytes(name) => {
                settings.set("quantization.config_class", json!("BitsAndBytesConfig"));
                settings.set(format!("{QUANTIZATION}.{name}"), value.clone());
            }
            "engine_params" => flatten(&format!("engine.{name}"), value, settings),
            // A server takes sampling settings with each request.
            "sampling_params" if server => flatten(&format!("completion.{name}"), value, settings),
            "sampling_params" => flatten(&format!("sampling.{name}"), value, settings),
            "llem_execution" => return execution(name, value, settings),
            _ => return Err("no such section".to_owned()),
        }
        Ok(())
    }

    /// Adds the settings of a sampling preset.
    pub(super) fn preset(self, preset: &str, settings: &mut Settings) {
        let values = match preset {
            // transformers takes no temperature of 0: greedy decoding is without sampling.
            "deterministic" if self == TRANSFORMERS => json!({"do_sample": false}),
            "deterministic" => json!({"temperature": 0.0}),
            "standard" => json!({"temperature": 1.0, "top_p": 0.95}),
            "creative" => json!({"temperature": 0.8, "top_p": 0.9, "repetition_penalty": 1.1}),
            "factual" => json!({"temperature": 0.3}),
            _ => json!({}),
        };
        for (name, value) in values.as_object().into_iter().flatten() {
            settings.set(format!("sampling.{name}"), value.clone());
        }
        if self == TRANSFORMERS && preset != "deterministic" {
            settings.set("sampling.do_sample", json!(true));
        }
    }
}

fn is_bits_and_bytes(name: &str) -> bool {
    matches!(name, "load_in_4bit" | "load_in_8bit")
        || name.starts_with("bnb_4bit_")
        || name.starts_with("llm_int8_")
}

/// A nested mapping as the paths of its values.
fn flatten(path: &str, value: &Json, settings: &mut Settings) {
    match value {
        Json::Object(object) if !object.is_empty() => {
            for (name, inner) in object {
                flatten(&format!("{path}.{name}"), inner, settings);
            }
        }
        _ => settings.set(path, value.clone()),
    }
}

fn execution(name: &str, value: &Json, settings: &mut Settings) -> Result<(), String> {
    match name {
        "batch_size" => settings.set("engine.batch_size", value.clone()),
        "torch_compile" => {
            let scope = if value == &Json::Bool(true) { "forward" } else { "none" };
            settings.set("engine.compile_scope", json!(scope));
        }
        "torch_compile_mode" => settings.set("torch.compile.mode", value.clone()),
        "torch_compile_backend" => settings.set("torch.compile.backend", value.clone()),
        "allow_tf32" => settings.set("torch.backends.cuda.matmul.allow_tf32", value.clone()),
        "autocast_enabled" if value == &Json::Bool(false) => {}
        "autocast_enabled" | "autocast_dtype" => {
            return Err(
                "weights are loaded in the type that is computed in: set `engine.dtype`".to_owned()
            );
        }
        _ => return Err("no plugin has such a parameter".to_owned()),
    }
    Ok(())
}
