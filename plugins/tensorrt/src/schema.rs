//! The parameter space. The rows are data that `tools/schema` writes.

use llem_sdk::prelude::*;

pub(crate) static TABLE: SchemaTable = SchemaTable {
    release: crate::RELEASE,
    sections: &[
        section(
            "engine",
            "Engine",
            "Arguments of the LLM class and the fields of its nested configurations; alike in both modes.",
        ),
        section("sampling", "Sampling", "`SamplingParams`, or the request field of the same name."),
        section("server", "Server", "Options of `trtllm-serve`."),
        section(
            "build",
            "Build",
            "What a TensorRT engine is built with; `engine.backend` tensorrt only.",
        ),
        section(
            "trtllm_build",
            "trtllm-build",
            "Options of the build program, which this plugin does not use.",
        ),
        section("env", "Environment", "Environment variables of the engine."),
    ],
    parameters: &include!("../data/parameters.in"),
    rules: &include!("../data/rules.in"),
    code_rules: false,
    unknown: UnknownPolicy::Reject,
};

const fn section(id: &'static str, title: &'static str, doc: &'static str) -> SectionDef {
    SectionDef { id, title, doc }
}
