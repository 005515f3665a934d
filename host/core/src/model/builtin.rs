//! Configurations of public models, for `random:SHAPE`.

/// No shape of that name is built in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no built-in model shape `{name}`; the nearest is `{nearest}`, all are: {}", BUILT_IN.join(", "))]
pub struct UnknownShape {
    /// What was asked for.
    pub name: String,
    /// The most similar name.
    pub nearest: &'static str,
}

/// Names of the built-in shapes, small ones first.
pub const BUILT_IN: &[&str] = &[
    "tiny-llama-15m",
    "smollm2-135m",
    "smollm2-360m",
    "qwen2.5-0.5b",
    "llama-3.2-1b",
    "qwen2.5-1.5b",
    "llama-3.2-3b",
    "qwen2.5-7b",
    "llama-3.1-8b",
];

/// The `config.json` of a built-in shape.
pub fn built_in(name: &str) -> Result<&'static str, UnknownShape> {
    let text = match name {
        "tiny-llama-15m" => include_str!("shapes/tiny-llama-15m.json"),
        "smollm2-135m" => include_str!("shapes/smollm2-135m.json"),
        "smollm2-360m" => include_str!("shapes/smollm2-360m.json"),
        "qwen2.5-0.5b" => include_str!("shapes/qwen2.5-0.5b.json"),
        "qwen2.5-1.5b" => include_str!("shapes/qwen2.5-1.5b.json"),
        "qwen2.5-7b" => include_str!("shapes/qwen2.5-7b.json"),
        "llama-3.2-1b" => include_str!("shapes/llama-3.2-1b.json"),
        "llama-3.2-3b" => include_str!("shapes/llama-3.2-3b.json"),
        "llama-3.1-8b" => include_str!("shapes/llama-3.1-8b.json"),
        _ => {
            let nearest = BUILT_IN
                .iter()
                .max_by(|a, b| {
                    strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b))
                })
                .copied()
                .unwrap_or_default();
            return Err(UnknownShape { name: name.to_owned(), nearest });
        }
    };
    Ok(text)
}
