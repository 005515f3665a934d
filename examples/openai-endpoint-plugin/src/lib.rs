//! An engine that is already running at a URL: it is measured as it is, not started and not stopped.

use llem_sdk::prelude::*;

/// Name of the secret that endpoints with an API key get: the variable `ENDPOINT_KEY`.
const KEY: &str = "endpoint-key";

const FROM: &str = "OpenAI API reference, create completion";

static TABLE: SchemaTable = SchemaTable {
    release: "1.0.0",
    sections: &[
        SectionDef { id: "engine", title: "Endpoint", doc: "Where the engine is." },
        SectionDef { id: "sampling", title: "Sampling", doc: "How tokens are drawn." },
    ],
    parameters: &[
        Param::new(
            "engine.url",
            &[Type::Text { pattern: Some("https?://[^/@ ]+"), max_len: Some(256), format: None }],
            Fallback::Fixed(Val::Text("http://127.0.0.1:8000")),
        )
        .doc("Address of the engine, without a path.")
        .suggest(&[Val::Text("http://127.0.0.1:8001")]),
        Param::new(
            "engine.base_path",
            &[Type::Text { pattern: Some("(/[A-Za-z0-9._-]+)*"), max_len: Some(128), format: None }],
            Fallback::Fixed(Val::Text("/v1")),
        )
        .doc("Path that all of its functions share.")
        .suggest(&[Val::Text("/api/v1")]),
        Param::new("engine.served_model", &[text()], Fallback::Engine("the study's model id"))
            .doc("Name under which the endpoint serves the model.")
            .suggest(&[Val::Text("my-model")]),
        Param::new(
            "engine.protocol",
            &[Type::Words(&[
                ("openai-completions", "POST /completions"),
                ("openai-chat", "POST /chat/completions"),
            ])],
            Fallback::Fixed(Val::Text("openai-completions")),
        )
        .doc("How requests are asked."),
        Param::new("engine.reports_usage", &[Type::Boolean], Fallback::Fixed(Val::Bool(true)))
            .doc("Whether streams end with token counts; otherwise each chunk counts as one token."),
        Param::new("engine.elsewhere", &[Type::Boolean], Fallback::Fixed(Val::Bool(false)))
            .doc("The address is a tunnel's or a proxy's: the engine runs on another machine."),
        Param::new("sampling.temperature", &[number(0.0, 2.0)], Fallback::Fixed(Val::Num(1.0)))
            .doc("Spread of the distribution that tokens are drawn from.")
            .source(FROM)
            .request("temperature"),
        Param::new("sampling.top_p", &[number(0.0, 1.0)], Fallback::Fixed(Val::Num(1.0)))
            .doc("Share of the probability that tokens are drawn from.")
            .source(FROM)
            .request("top_p"),
        Param::new("sampling.ignore_eos", &[Type::Boolean], Fallback::Engine("false"))
            .doc("Go on after the end of the text; vLLM, SGLang and llama.cpp know it.")
            .request("ignore_eos"),
    ],
    rules: &[],
    code_rules: false,
    unknown: UnknownPolicy::Reject,
};

struct Endpoint;

impl Backend for Endpoint {
    fn describe() -> Descriptor {
        Descriptor::new(
            "openai-endpoint",
            "OpenAI-compatible endpoint",
            "0.1.0",
            "Measures an engine that is already running.",
        )
        .with_modes(&[Mode::Server])
        .with_runners(&[Runner::Process])
        .allowing(Permission::Network("requests go to the endpoint that the study names".to_owned()))
        .allowing(Permission::Secret(KEY.to_owned()))
    }

    fn releases() -> Vec<EngineRelease> {
        vec![EngineRelease::stable(TABLE.release, ">=1.0.0, <2.0.0", &[Mode::Server])]
    }

    fn schema(release: &str) -> Result<Schema, Error> {
        (release == TABLE.release)
            .then(|| TABLE.to_schema())
            .ok_or_else(|| Error::unknown_release(release))
    }

    fn plan(config: &Config, context: &Context) -> Result<LaunchPlan, Error> {
        let all = TABLE.with_defaults(config);
        let given = |path| all.text(path).unwrap_or_default().to_owned();
        let drive = Drive::Http(HttpApi {
            protocol: given("engine.protocol"),
            base_path: given("engine.base_path"),
            served_model: config.text("engine.served_model").unwrap_or(&context.model.id).to_owned(),
            body: TABLE.fields(config, Phase::Request),
            reports_usage: all.boolean("engine.reports_usage").unwrap_or(true),
        });
        let models = HttpRequest::get("models", &format!("{}/models", given("engine.base_path")));
        let step = Step::attached("endpoint", "Endpoint", drive)
            .with_inspection(models)
            .with_inspection(HttpRequest::get("version", "/version"));
        let mut plan = LaunchPlan::of(step, config).attached_to(given("engine.url"));
        if context.secrets.iter().any(|it| it == KEY) {
            plan = plan.with_key(KEY);
        }
        let is_elsewhere = all.boolean("engine.elsewhere") == Some(true);
        Ok(if is_elsewhere { plan.elsewhere() } else { plan })
    }

    fn parse(_: &Config, _: &Context, output: &RunOutput) -> Result<Observation, Error> {
        let version = output.inspections.iter().find(|it| it.id == "version" && it.status == 200);
        Ok(Observation {
            engine_version: version.and_then(|it| member(&it.body, "version")),
            ..Observation::default()
        })
    }
}

/// The text of a member of a flat JSON object.
fn member(json: &str, name: &str) -> Option<String> {
    let (_, rest) = json.split_once(&format!("\"{name}\""))?;
    let (_, rest) = rest.split_once('"')?;
    rest.split_once('"').map(|(text, _)| text.to_owned()).filter(|it| it.len() <= 64)
}

llem_sdk::export!(Endpoint);

#[cfg(test)]
mod tests {
    use llem_sdk::testing;

    use super::*;

    #[test]
    fn the_plugin_keeps_the_contract() {
        assert_eq!(testing::check::<Endpoint>(), []);
    }

    #[test]
    fn nothing_is_started() {
        let config = Config::from_iter([("engine.url", "http://10.0.0.7:8000")]);
        let plan = Endpoint::plan(&config, &testing::context("1.0.0", Mode::Server)).unwrap();
        assert_eq!(plan.extra, [("attach".to_owned(), "http://10.0.0.7:8000".to_owned())]);
        assert_eq!(testing::argv(&plan.steps[0]), [""; 0]);
    }

    #[test]
    fn a_key_goes_along_where_the_study_gives_it() {
        let mut context = testing::context("1.0.0", Mode::Server);
        context.secrets.push(KEY.to_owned());
        let config = Config::from_iter([("engine.elsewhere", true)]);
        let plan = Endpoint::plan(&config, &context).unwrap();
        let keys: Vec<&str> = plan.extra.iter().map(|it| it.0.as_str()).collect();
        assert_eq!(keys, ["attach", "attach-secret", "attach-elsewhere"]);
    }

    #[test]
    fn a_version_is_read_where_the_endpoint_has_one() {
        assert_eq!(member(r#"{"version":"0.11.2"}"#, "version").as_deref(), Some("0.11.2"));
        assert_eq!(member("<html>", "version"), None);
    }
}
