//! The command line, as types; nothing else.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use llem_core::{backend::GpuFacts, study::parse_duration};

use crate::{config, exit};

/// Find out what decides the energy of LLM inference
///
/// llem holds model and workload constant, varies the deployment, and reports energy, throughput and
/// latency with intervals.
#[derive(Debug, Parser)]
#[command(name = "llem", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = exit::help())]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a study and write its results
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Show what a study would run, without running it
    #[command(after_help = PLAN_EXAMPLES)]
    Plan(PlanArgs),
    /// List the parameters of a backend
    #[command(after_help = PARAMS_EXAMPLES)]
    Params(ParamsArgs),
    /// Show the results of a run
    Show(ShowArgs),
    /// Judge service levels again from the request logs of a run
    #[command(after_help = SLO_EXAMPLES)]
    Slo(SloArgs),
    /// Compare the experiments that two results share
    Compare(CompareArgs),
    /// Export results as a table
    #[command(after_help = EXPORT_EXAMPLES)]
    Export(ExportArgs),
    /// Write an HTML report of the results of a run
    #[command(after_help = REPORT_EXAMPLES)]
    Report(ReportArgs),
    /// Run one experiment of some results again and compare
    #[command(after_help = RERUN_EXAMPLES)]
    Rerun(RerunArgs),
    /// Compute all figures of a run again from its raw data
    #[command(after_help = RECOMPUTE_HELP)]
    Recompute(RecomputeArgs),
    /// Put traffic on an endpoint that runs already, here or elsewhere
    #[command(after_help = LOAD_EXAMPLES)]
    Load(LoadArgs),
    /// Check the machine: instruments, engines, permissions
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Show the configuration of this machine, and where each value comes from
    Config(ConfigArgs),
    /// Write a commented study file to start from
    Init(InitArgs),
    /// Print the JSON Schema of study files, results or events
    Schema {
        /// What of
        #[arg(value_enum, default_value = "study")]
        of: SchemaOf,
    },
    /// Turn a study of LLenergyMeasure 0.7 into one of llem
    Import(ImportArgs),
    /// List, add, write and test backends
    #[command(subcommand, arg_required_else_help = true)]
    Plugin(PluginCommand),
    /// Show what llem keeps to be faster the next time, or remove it
    Cache(CacheArgs),
    /// Write manual pages, one a command
    Man {
        /// Directory to write them to
        directory: PathBuf,
    },
    /// Print a completion script for a shell
    Completions {
        /// Shell
        shell: clap_complete::Shell,
    },
}

const RUN_EXAMPLES: &str = "Examples:
  llem run --plugin candle examples/quickstart.toml
  llem run study.toml --resume                 go on with the newest results of the study
  llem run study.toml --resume results/DIR     go on with these
  llem run study.toml --json > events.jsonl    events for a machine
  llem run study.toml --executor slurm         as jobs of a cluster
  llem run study.toml --executor slurm --dry-run";

const PLAN_EXAMPLES: &str = "Examples:
  llem plan study.toml                         for the GPUs of this machine, where it has any
  llem plan study.toml --gpu h100              for one H100, on any machine
  llem plan study.toml --gpu 4xa100-40gb       for four, as parallelism needs them";

const EXPORT_EXAMPLES: &str = "Examples:
  llem export results/DIR --format csv -o trials.csv
  llem export results/DIR --format parquet -o trials.parquet
  llem export results/DIR --format jsonl --rows experiments
  llem export results/DIR --format latex       headline figures for a paper";

const REPORT_EXAMPLES: &str = "Examples:
  llem report results/DIR                      writes results/DIR/report.html
  llem report results/DIR -o batching.html     one file, to be opened without a network";

const RERUN_EXAMPLES: &str = "Examples:
  llem rerun results/DIR batch_size=8          an experiment by its label
  llem rerun results/DIR f496d674              or by the beginning of its id";

const RECOMPUTE_HELP: &str =
    "Exit code 0: every figure is as recorded, to the last bit; 1: some differ.

Examples:
  llem recompute results/DIR                           check that the raw data give the figures
  llem recompute results/DIR --config calibrated.toml  what a calibration changes
  llem recompute results/DIR --config calibrated.toml --write";

const DOCTOR_EXAMPLES: &str = "Examples:
  llem doctor                                  at a glance, each warning with its fix
  llem doctor --measure                        watch each instrument, and compare it with a second one
  llem doctor --check                          before a study, in a script
  llem doctor --json                           for a machine";

const SLO_EXAMPLES: &str = "Nothing is measured anew: every bound can be tried on the same results.

Examples:
  llem slo results/DIR                                     the objective of the study
  llem slo results/DIR --time-to-first-token 300ms --percentile 95
  llem slo results/DIR --request-latency 5s --json         for a machine";

const LOAD_EXAMPLES: &str =
    "Throughput and latency only: energy is measured by `llem run`, which starts the engine.
Exit code 1: some requests failed.

Examples:
  llem load http://127.0.0.1:8000/v1 --model MODEL --concurrency 16 --requests 200
  llem load https://api.example.org/v1 --model MODEL --rate 2 --api-key-env API_KEY
  llem load http://127.0.0.1:8000/v1 --model MODEL --prompt token-ids --exact";

const PARAMS_EXAMPLES: &str = "Examples:
  llem params                                  all backends
  llem params vllm                             energy-relevant parameters of vLLM
  llem params vllm --all --search cache        search all of them
  llem params vllm engine.max_num_seqs         one parameter, with its rules";

/// Arguments of `llem run`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct RunArgs {
    /// Study file
    pub(crate) study: PathBuf,
    /// Backend to run: a name or the path of a `.wasm` component
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) plugin: Option<String>,
    /// Permission of a backend that is not part of llem, or to set GPUs, as the error names it (can be repeated)
    #[arg(long, value_name = "PERMISSION")]
    pub(crate) allow: Vec<String>,
    /// Directory below which results are written; default: as configured, else `results`
    #[arg(long, value_name = "DIR")]
    pub(crate) results: Option<PathBuf>,
    /// Go on with earlier results instead of starting anew
    #[arg(long, value_name = "DIR")]
    #[expect(
        clippy::option_option,
        reason = "how clap says that an option's value may be left out"
    )]
    pub(crate) resume: Option<Option<PathBuf>>,
    /// With --resume, run failed trials again
    #[arg(long, requires = "resume")]
    pub(crate) retry_failed: bool,
    /// Run one experiment only, by id, start of the id, or label
    #[arg(long, value_name = "EXPERIMENT")]
    pub(crate) only: Option<String>,
    /// Directory that the study's relative paths are relative to; default: that of the study file
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// Wait for GPUs that another study uses; without it, the study is refused
    #[arg(long)]
    pub(crate) wait: bool,
    /// Write events as JSON lines to standard output
    #[arg(long)]
    pub(crate) json: bool,
    /// Show no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// Arguments of `llem run` that are about clusters.
#[derive(Debug, Args)]
#[command(next_help_heading = "Clusters")]
pub(crate) struct ClusterArgs {
    /// Where trials run: `local` or `slurm`; default: as the study says
    #[arg(long, value_name = "KIND", value_parser = ["local", "slurm"])]
    pub(crate) executor: Option<String>,
    /// Print what would be submitted to the cluster, and submit nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Submit to the cluster and leave; `--resume` follows and merges
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) detach: bool,
    /// Seconds between two looks at the cluster
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = poll_seconds)]
    pub(crate) poll: f64,
    /// Run one shard of a submitted study; jobs call it
    #[arg(long, value_name = "DIR", conflicts_with_all = ["resume", "executor", "dry_run", "detach"])]
    pub(crate) shard: Option<PathBuf>,
}

/// Arguments of `llem plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Study file
    pub(crate) study: PathBuf,
    /// Backend to plan for: a name or the path of a `.wasm` component
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) plugin: Option<String>,
    /// Permission of a backend that is not part of llem, as the error names it (can be repeated)
    #[arg(long, value_name = "PERMISSION")]
    pub(crate) allow: Vec<String>,
    /// GPU to plan for, such as `h100` or `4xh100`; default: those of this machine
    #[arg(long, value_name = "GPU")]
    pub(crate) gpu: Option<GpuFacts>,
    /// Write the plan as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Show the launch plan of each experiment as well
    #[arg(long)]
    pub(crate) launch: bool,
}

/// Arguments of `llem params`.
#[derive(Debug, Args)]
pub(crate) struct ParamsArgs {
    /// Backend: a name or the path of a `.wasm` component
    pub(crate) plugin: Option<String>,
    /// Path of one parameter, such as `engine.max_num_seqs`
    pub(crate) parameter: Option<String>,
    /// Engine release; default: the newest stable one
    #[arg(long)]
    pub(crate) release: Option<String>,
    /// Only parameters whose path or documentation has this text
    #[arg(long, value_name = "TEXT")]
    pub(crate) search: Option<String>,
    /// All parameters, not only the energy-relevant ones
    #[arg(long)]
    pub(crate) all: bool,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `llem show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Results directory
    pub(crate) results: PathBuf,
    /// One experiment, by id, start of the id, or label, with each of its trials
    pub(crate) experiment: Option<String>,
    /// Write the summary as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `llem slo`.
#[derive(Debug, Args)]
pub(crate) struct SloArgs {
    /// Results directory
    pub(crate) results: PathBuf,
    /// Bound of the time to first token, such as 500ms; without any bound, the study's objective holds
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) time_to_first_token: Option<Duration>,
    /// Bound of the time for each output token after the first
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) time_per_output_token: Option<Duration>,
    /// Bound of every gap between tokens
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) inter_token_latency: Option<Duration>,
    /// Bound of the whole request
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) request_latency: Option<Duration>,
    /// Percent of requests that must meet every bound; default: the study's, else 99
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub(crate) percentile: Option<f64>,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `llem load` sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PromptKind {
    /// A message of common words to `/chat/completions`.
    Chat,
    /// Common words to `/completions`.
    Text,
    /// Token ids, whose length is exact, to `/completions`.
    TokenIds,
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|it| *it > 0.0 && *it <= 100.0);
    number.ok_or_else(|| "expected a number above 0 and up to 100".to_owned())
}

/// Arguments of `llem load`.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// Address of an OpenAI-compatible endpoint, such as `https://host/v1`
    pub(crate) endpoint: String,
    /// Model to ask for
    #[arg(long)]
    pub(crate) model: String,
    /// Requests in flight
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) concurrency: u32,
    /// Requests a second, with Poisson arrivals, instead
    #[arg(long, conflicts_with = "concurrency")]
    pub(crate) rate: Option<f64>,
    /// Requests in all
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) requests: u64,
    /// Prompt length in tokens
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) input_tokens: u32,
    /// Output length in tokens
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) output_tokens: u32,
    /// What is sent, and to which endpoint
    #[arg(long, value_enum, default_value = "chat")]
    pub(crate) prompt: PromptKind,
    /// Ask for exactly the output length (`ignore_eos`, `min_tokens`), which not every endpoint knows
    #[arg(long)]
    pub(crate) exact: bool,
    /// Name of the environment variable that holds the API key
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) api_key_env: Option<String>,
    /// Certificates of authorities to trust, in PEM; default: the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) authorities: Option<PathBuf>,
    /// Bound of the time to first token to judge by, such as 500ms
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) time_to_first_token: Option<Duration>,
    /// Bound of the whole request to judge by
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) request_latency: Option<Duration>,
    /// Percent of requests that must meet the bounds
    #[arg(long, value_name = "PERCENT", default_value_t = 99.0, value_parser = percent)]
    pub(crate) percentile: f64,
    /// Seed of prompts and arrivals
    #[arg(long, default_value_t = 42)]
    pub(crate) seed: u64,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `llem compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Results directory to compare with
    pub(crate) first: PathBuf,
    /// Results directory that is compared
    pub(crate) second: PathBuf,
    /// Figure or metric to compare (can be repeated); default: energy, throughput and time to first token
    #[arg(long, value_name = "NAME")]
    pub(crate) figure: Vec<String>,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `llem export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Results directory
    pub(crate) results: PathBuf,
    /// Format
    #[arg(long, value_enum)]
    pub(crate) format: ExportFormat,
    /// What a row is, in CSV, JSON lines and Parquet; the other formats have one an experiment
    #[arg(long, value_enum, default_value = "trials")]
    pub(crate) rows: ExportRows,
    /// File to write; default: standard output
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Formats of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// Comma-separated values.
    Csv,
    /// One JSON object a line.
    Jsonl,
    /// Typed columns, with their units in the file's metadata.
    Parquet,
    /// LaTeX table of the headline figures.
    Latex,
    /// Markdown table of the headline figures.
    Markdown,
}

/// What a row of a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportRows {
    /// Every trial.
    Trials,
    /// Every experiment, with intervals.
    Experiments,
}

/// Arguments of `llem report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Results directory
    pub(crate) results: PathBuf,
    /// File to write; default: `report.html` in the results directory; `-` is standard output
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Id or label of an experiment whose power over time is shown however large the study is (can be repeated)
    #[arg(long, value_name = "EXPERIMENT")]
    pub(crate) trace: Vec<String>,
}

/// Arguments of `llem rerun`.
#[derive(Debug, Args)]
pub(crate) struct RerunArgs {
    /// Results directory that has the experiment
    pub(crate) results: PathBuf,
    /// Experiment, by id, start of the id, or label
    pub(crate) experiment: String,
    /// Backend to run: a name or the path of a `.wasm` component; default: the name that the results have
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) plugin: Option<String>,
    /// Permission of a backend that is not part of llem, or to set GPUs, as the error names it (can be repeated)
    #[arg(long, value_name = "PERMISSION")]
    pub(crate) allow: Vec<String>,
    /// Directory below which results are written; default: as configured, else `results`
    #[arg(long = "results", value_name = "DIR")]
    pub(crate) below: Option<PathBuf>,
    /// Directory that the study's relative paths are relative to; default: where the study file was
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Write events as JSON lines to standard output
    #[arg(long)]
    pub(crate) json: bool,
    /// Show no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// Arguments of `llem recompute`.
#[derive(Debug, Args)]
pub(crate) struct RecomputeArgs {
    /// Results directory
    pub(crate) results: PathBuf,
    /// Calibrations and electricity from this file; default: as the run had them, in `settings.json`
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Append the records that differ to the journal, and summarise anew
    #[arg(long)]
    pub(crate) write: bool,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `llem doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Exit with code 1 where there is a warning
    #[arg(long)]
    pub(crate) check: bool,
    /// Measure for six seconds, to see whether instruments agree
    #[arg(long)]
    pub(crate) measure: bool,
}

/// Arguments of `llem config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `llem init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Backend
    #[arg(long, default_value = "candle")]
    pub(crate) plugin: String,
    /// Name of the study
    #[arg(long, default_value = "study")]
    pub(crate) name: String,
    /// Model: a hub id, a directory, a `.gguf` file, or `random:SHAPE`
    #[arg(long, default_value = "random:tiny-llama-15m")]
    pub(crate) model: String,
}

/// Arguments of `llem import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Study of LLenergyMeasure 0.7 (YAML)
    pub(crate) file: PathBuf,
    /// Write the study here, unless there is a file already; default: standard output
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// What to do with backends.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// List the backends that are there
    List(PluginListArgs),
    /// Take in a component from a file, a directory, an https address or a registry
    #[command(after_help = ADD_EXAMPLES)]
    Add(PluginAddArgs),
    /// Show who a component is and what it asks for; nothing is started
    Inspect(PluginInspectArgs),
    /// Remove added plugins and what they were allowed
    Remove(PluginRemoveArgs),
    /// Check that added plugins are what was added; exit code 1 where one is not
    Verify(PluginVerifyArgs),
    /// Hold a component to the contract; exit code 1 where it breaks a rule
    Test(PluginTestArgs),
    /// Write a project for a backend of your own
    New(PluginNewArgs),
}

/// Arguments of `llem cache`.
#[derive(Debug, Args)]
pub(crate) struct CacheArgs {
    #[command(subcommand)]
    pub(crate) command: Option<CacheCommand>,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to do with the cache.
#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Remove artefacts that no run uses, those used longest ago first
    Clean {
        /// Keep at most this much of them, GiB
        #[arg(long, default_value = "0")]
        gib: u64,
        /// Compiled plugins as well; the next start compiles them again
        #[arg(long)]
        all: bool,
    },
}

const ADD_EXAMPLES: &str = "Examples:
  llem plugin add ./my-engine.wasm             asks on a terminal what it may do
  llem plugin add ./my-engine --allow program:my-engine
  llem plugin add https://example.org/x.wasm#sha256=3f1c...
  llem plugin add oci://ghcr.io/org/llem-x:1.2.0";

/// Arguments of `llem plugin list`.
#[derive(Debug, Args)]
pub(crate) struct PluginListArgs {
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `llem plugin add`.
#[derive(Debug, Args)]
pub(crate) struct PluginAddArgs {
    /// File, directory with one `.wasm`, https address, or `oci://HOST/REPOSITORY:TAG`
    #[arg(value_name = "FILE|DIR|URL|OCI")]
    pub(crate) source: String,
    /// Permission that it gets, as `llem plugin inspect` names it (can be repeated)
    #[arg(long, value_name = "PERMISSION")]
    pub(crate) allow: Vec<String>,
    /// Put it in the place of one with the same id and another component
    #[arg(long)]
    pub(crate) replace: bool,
}

/// Arguments of `llem plugin inspect`.
#[derive(Debug, Args)]
pub(crate) struct PluginInspectArgs {
    /// Component: a name or the path of a `.wasm` file
    pub(crate) component: String,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `llem plugin remove`.
#[derive(Debug, Args)]
pub(crate) struct PluginRemoveArgs {
    /// Ids of added plugins
    #[arg(required = true)]
    pub(crate) ids: Vec<String>,
}

/// Arguments of `llem plugin verify`.
#[derive(Debug, Args)]
pub(crate) struct PluginVerifyArgs {
    /// Ids of added plugins; default: all
    pub(crate) ids: Vec<String>,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `llem plugin new`.
#[derive(Debug, Args)]
pub(crate) struct PluginNewArgs {
    /// Name of the backend and of its directory
    pub(crate) name: String,
    /// Language to write it in
    #[arg(long, value_enum, default_value = "rust")]
    pub(crate) lang: Language,
    /// Rust: use the SDK of this directory instead of a copy within the project
    #[arg(long, value_name = "DIR")]
    pub(crate) sdk: Option<PathBuf>,
}

/// Language of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// The SDK, about 60 lines.
    Rust,
    /// Through componentize-py.
    Python,
    /// Through jco.
    Js,
}

/// Arguments of `llem plugin test`.
#[derive(Debug, Args)]
pub(crate) struct PluginTestArgs {
    /// Component: a name or the path of a `.wasm` file
    #[arg(required_unless_present = "rules")]
    pub(crate) component: Option<String>,
    /// List the rules instead
    #[arg(long)]
    pub(crate) rules: bool,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// Study files, with the parameters of all backends.
    Study,
    /// Entries of `journal.jsonl`, records among them.
    Results,
    /// Events of `llem run --json`.
    Events,
}

/// Where progress goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// A live line on a terminal, plain lines elsewhere.
    Human,
    /// JSON lines on standard output.
    Json,
    /// Nowhere.
    Quiet,
}

/// Seconds above zero and below a day.
fn poll_seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|it| *it > 0.0 && *it <= 86_400.0);
    seconds.ok_or_else(|| "expected a number of seconds above 0".to_owned())
}

impl RunArgs {
    /// Where progress goes.
    pub(crate) fn progress(&self) -> Progress {
        match (self.json, self.quiet) {
            (true, _) => Progress::Json,
            (false, true) => Progress::Quiet,
            (false, false) => Progress::Human,
        }
    }
    /// Directory below which results are written.
    pub(crate) fn parent(&self) -> PathBuf {
        let named = self.results.clone().or_else(|| config::RESULTS.path());
        named.unwrap_or_else(|| PathBuf::from("results"))
    }
}
