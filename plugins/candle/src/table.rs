//! Parameters and rules of the engine. How they reach it is stated here, in what order is not.

use llem_sdk::prelude::*;

/// The one release: the engine is linked into the host and has the host's version.
pub(crate) static TABLE: SchemaTable = SchemaTable {
    release: env!("CARGO_PKG_VERSION"),
    sections: &[
        SectionDef {
            id: "engine",
            title: "Engine",
            doc: "How the model is loaded and computed. A change restarts the engine.",
        },
        SectionDef {
            id: "sampling",
            title: "Sampling",
            doc: "How the next token is chosen. Travels with each request.",
        },
    ],
    parameters: PARAMETERS,
    rules: RULES,
    code_rules: false,
    unknown: UnknownPolicy::Reject,
};

const FLOATS: &[Type] = &[Type::Words(&[
    ("f32", "32-bit floats."),
    ("bf16", "bfloat16: 8 bits of exponent, 8 of mantissa."),
    ("f16", "IEEE half precision: 5 bits of exponent, 11 of mantissa."),
])];

const CACHE_FLOATS: &[Type] = &[Type::Words(&[
    ("auto", "As `engine.dtype`."),
    ("f32", "32-bit floats."),
    ("bf16", "bfloat16."),
    ("f16", "IEEE half precision."),
])];

const BLOCK_FORMATS: &[Type] = &[Type::Words(&[
    ("none", "Weights stay as the model has them; a GGUF file keeps its own formats."),
    ("q8_0", "8 bits, one scale for 32 weights."),
    ("q6k", "6-bit k-quants, super-blocks of 256 weights."),
    ("q5k", "5-bit k-quants, super-blocks of 256 weights."),
    ("q5_1", "5 bits, scale and minimum for 32 weights."),
    ("q5_0", "5 bits, one scale for 32 weights."),
    ("q4k", "4-bit k-quants, super-blocks of 256 weights."),
    ("q4_1", "4 bits, scale and minimum for 32 weights."),
    ("q4_0", "4 bits, one scale for 32 weights."),
    ("q3k", "3-bit k-quants, super-blocks of 256 weights."),
    ("q2k", "2-bit k-quants, super-blocks of 256 weights."),
])];

const PARAMETERS: &[Param] = &[
    Param::new(
        "engine.threads",
        &[int(1, 4096)],
        Fallback::Engine("as many as the process may use"),
    )
    .doc("Compute threads.")
    .energy()
    .suggest(&[Val::Int(1), Val::Int(2), Val::Int(4), Val::Int(8)])
    .flag("--threads"),
    Param::new("engine.dtype", FLOATS, Fallback::Fixed(Val::Text("f32")))
        .doc("Number format of dense weights and of the activations that enter each product.")
        .energy()
        .suggest(&[Val::Text("f32"), Val::Text("bf16"), Val::Text("f16")])
        .flag("--dtype"),
    Param::new("engine.quantization", BLOCK_FORMATS, Fallback::Fixed(Val::Text("none")))
        .doc("Block format of the weight matrices.")
        .energy()
        .suggest(&[Val::Text("none"), Val::Text("q8_0"), Val::Text("q4_0")])
        .flag("--quantization"),
    Param::new("engine.max_batch_size", &[power_of_two(1, 4096)], Fallback::Fixed(Val::Int(16)))
        .doc("Sequences that decode together.")
        .unit("sequences")
        .energy()
        .suggest(&[Val::Int(1), Val::Int(4), Val::Int(16), Val::Int(64)])
        .flag("--max-batch-size"),
    Param::new("engine.prefill_chunk", &[power_of_two(1, 1 << 20)], Fallback::Fixed(Val::Int(512)))
        .doc("Prompt tokens that one step processes at most, all sequences together.")
        .unit("tokens")
        .energy()
        .suggest(&[Val::Int(64), Val::Int(256), Val::Int(512), Val::Int(2048)])
        .flag("--prefill-chunk"),
    Param::new("engine.kv_cache_dtype", CACHE_FLOATS, Fallback::Fixed(Val::Text("auto")))
        .doc("Number format of the key-value cache.")
        .energy()
        .suggest(&[Val::Text("auto"), Val::Text("f16")])
        .flag("--kv-cache-dtype"),
    Param::new("engine.context_length", &[at_least(1)], Fallback::Engine("the model's own bound"))
        .doc("Longest sequence, prompt and output together.")
        .unit("tokens")
        .energy()
        .suggest(&[Val::Int(512), Val::Int(2048)])
        .flag("--context-length"),
    Param::new("sampling.temperature", &[number(0.0, 100.0)], Fallback::Fixed(Val::Num(0.0)))
        .doc("Divisor of the logits; 0 takes the likeliest token.")
        .suggest(&[Val::Num(0.0), Val::Num(1.0)])
        .request("temperature"),
    Param::new("sampling.top_k", &[at_least(0)], Fallback::Fixed(Val::Int(0)))
        .doc("Draw from the likeliest tokens only; 0 draws from all.")
        .unit("tokens")
        .suggest(&[Val::Int(0), Val::Int(50)])
        .request("top_k"),
    Param::new("sampling.top_p", &[PROBABILITY], Fallback::Fixed(Val::Num(1.0)))
        .doc("Draw from the likeliest tokens that together have this probability.")
        .suggest(&[Val::Num(1.0), Val::Num(0.9)])
        .request("top_p"),
    Param::new("sampling.repetition_penalty", &[PENALTY], Fallback::Fixed(Val::Num(1.0)))
        .doc("Divisor of the logits of tokens that were there before; 1 changes nothing.")
        .suggest(&[Val::Num(1.0), Val::Num(1.1)])
        .request("repetition_penalty"),
];

const PROBABILITY: Type = above_zero(1.0);
const PENALTY: Type = above_zero(100.0);

const fn above_zero(max: f64) -> Type {
    Type::Number {
        min: Some(0.0),
        max: Some(max),
        exclusive_min: true,
        exclusive_max: false,
        scale: Scale::Linear,
    }
}

const RULES: &[RuleDef] = &[
    RuleDef::dormant(
        "candle.greedy-ignores-truncation",
        "sampling.temperature == 0.0",
        &[EffectDef::unset("sampling.top_k"), EffectDef::unset("sampling.top_p")],
        "at temperature 0 the likeliest token is taken, whatever top_k and top_p are",
    ),
    RuleDef::error(
        "candle.k-quants-need-rows-of-256",
        r#"engine.quantization in ["q2k", "q3k", "q4k", "q5k", "q6k"] && model.hidden_size % 256 != 0"#,
        "k-quants pack 256 weights and this model's rows do not divide into that; take q4_0 to q8_0",
    ),
    RuleDef::error(
        "candle.blocks-need-rows-of-32",
        r#"engine.quantization in ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0"] && model.hidden_size % 32 != 0"#,
        "block formats pack 32 weights and this model's rows do not divide into that",
    ),
];
