//! What is known of GPUs and models decides rules before anything runs.

use crate::{fake::bench, workspace};

const STUDY: &str = r#"
name = "facts"
[model]
id = "me/tiny"
[plugin.vllm]
engine.dtype = "bfloat16"
[sweep]
"vllm.engine.tensor_parallel_size" = [1, 3]
"#;

#[test]
fn a_named_gpu_decides_what_is_undecided_without_one() {
    let workspace = workspace();
    workspace.write("study.toml", STUDY);
    let plan = |args: &[&str]| {
        let answer = workspace.llem(&[&["plan", "study.toml"], args].concat());
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        answer.stdout
    };
    let unknown = plan(&[]);
    assert!(unknown.contains("no GPU is known"), "{unknown}");
    assert!(unknown.contains("is undecided without gpu.cc"), "{unknown}");
    let h100 = plan(&["--gpu", "4xh100"]);
    assert!(h100.contains("planned for 4 x NVIDIA H100 80GB HBM3"), "{h100}");
    assert!(!h100.contains("undecided without gpu.cc") && h100.contains("2 experiments"), "{h100}");
    let v100 = plan(&["--gpu", "v100"]);
    assert!(v100.contains("0 experiments, 2 skipped"), "bfloat16 needs more than a V100: {v100}");

    let answer = workspace.llem(&["plan", "study.toml", "--gpu", "h1000"]);
    assert_eq!(answer.code, Some(2));
    assert!(answer.stderr.contains("there are h100, "), "{}", answer.stderr);
}

#[test]
fn a_downloaded_model_decides_what_is_undecided_without_one() {
    let workspace = bench("");
    workspace.write("study.toml", STUDY);
    let snapshot = workspace.path().join("hub/models--me--tiny/snapshots/abc");
    std::fs::create_dir_all(&snapshot).expect("writable");
    std::fs::create_dir_all(workspace.path().join("hub/models--me--tiny/refs")).expect("writable");
    workspace.write("hub/models--me--tiny/refs/main", "abc");
    let config = r#"{"model_type": "qwen2", "num_attention_heads": 28, "hidden_size": 3584,
        "num_hidden_layers": 28, "intermediate_size": 18944, "vocab_size": 152064}"#;
    workspace.write("hub/models--me--tiny/snapshots/abc/config.json", config);
    let output = workspace
        .command(&["plan", "study.toml", "--gpu", "4xh100"])
        .env("HF_HUB_CACHE", workspace.path().join("hub"))
        .output()
        .expect("the program under test starts");
    let plan = String::from_utf8_lossy(&output.stdout);
    // 28 heads are not to be spread over three GPUs.
    assert!(plan.contains("1 experiments, 1 skipped"), "{plan}");
    assert!(!plan.contains("without model.num_attention_heads"), "{plan}");
}
