//! Chat templates: from messages to the text that a model expects. Tokenises nothing.

use std::{fs, path::Path};

use minijinja::{Environment, context};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One message of a conversation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Message {
    /// Who speaks: system, user or assistant.
    pub(crate) role: String,
    /// What is said.
    pub(crate) content: Content,
}

/// The text of a message, whole or in parts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Content {
    /// Whole.
    Text(String),
    /// In parts, of which only texts are understood.
    Parts(Vec<Part>),
}

/// A part of a message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    text: String,
}

impl Content {
    fn joined(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Parts(parts) => parts.iter().map(|part| part.text.as_str()).collect(),
        }
    }
}

/// A model's template.
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    start: String,
    end: String,
}

impl ChatTemplate {
    /// Compiles a template, with the texts of the model's start and end tokens.
    pub(crate) fn new(
        template: &str,
        start: Option<String>,
        end: Option<String>,
    ) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function(
            "raise_exception",
            |message: String| -> Result<String, minijinja::Error> {
                Err(minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, message))
            },
        );
        environment
            .add_template_owned("chat", template.to_owned())
            .map_err(|error| format!("the chat template can't be read: {error}"))?;
        Ok(Self { environment, start: start.unwrap_or_default(), end: end.unwrap_or_default() })
    }

    /// Finds the template of a model directory.
    pub(crate) fn from_directory(folder: &Path) -> Result<Self, String> {
        let config = fs::read_to_string(folder.join("tokenizer_config.json"))
            .unwrap_or_else(|_| "{}".to_owned());
        let config: Value = serde_json::from_str(&config)
            .map_err(|error| format!("tokenizer_config.json: {error}"))?;
        let template = match fs::read_to_string(folder.join("chat_template.jinja")) {
            Ok(template) => template,
            Err(_) => configured(&config).ok_or("the model directory has no chat template")?,
        };
        Self::new(&template, special(&config, "bos_token"), special(&config, "eos_token"))
    }

    /// Renders a conversation, with the start of the assistant's answer at its end.
    pub(crate) fn render(&self, messages: &[Message]) -> Result<String, String> {
        let messages: Vec<_> = messages
            .iter()
            .map(|message| context! { role => message.role, content => message.content.joined() })
            .collect();
        let template = self.environment.get_template("chat").map_err(|error| error.to_string())?;
        template
            .render(context! {
                messages,
                add_generation_prompt => true,
                bos_token => self.start,
                eos_token => self.end,
            })
            .map_err(|error| format!("the chat template refused the messages: {error}"))
    }
}

fn configured(config: &Value) -> Option<String> {
    match config.get("chat_template")? {
        Value::String(template) => Some(template.clone()),
        Value::Array(named) => {
            let default = named.iter().find(|entry| entry["name"] == "default")?;
            default["template"].as_str().map(str::to_owned)
        }
        _ => None,
    }
}

fn special(config: &Value, name: &str) -> Option<String> {
    let token = config.get(name)?;
    token.as_str().or_else(|| token["content"].as_str()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHATML: &str = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + \
        message['content'].strip() + '<|im_end|>' + '\n'}}{% endfor %}\
        {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    fn message(role: &str, content: Content) -> Message {
        Message { role: role.to_owned(), content }
    }

    #[test]
    fn chatml_is_rendered_up_to_the_assistants_turn() {
        let template = ChatTemplate::new(CHATML, None, None).expect("well-formed");
        let parts =
            Content::Parts(vec![Part { text: "Hel".to_owned() }, Part { text: "lo ".to_owned() }]);
        let messages =
            [message("system", Content::Text("Be kind.".to_owned())), message("user", parts)];
        assert_eq!(
            template.render(&messages).expect("renders"),
            "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
        );
    }

    #[test]
    fn a_template_can_refuse_messages_with_its_own_words() {
        let template = ChatTemplate::new("{{ raise_exception('no system please') }}", None, None)
            .expect("well-formed");
        assert!(template.render(&[]).expect_err("refused").contains("no system please"));
    }

    #[test]
    fn templates_are_found_in_the_tokenizer_config() {
        let folder = tempfile::tempdir().expect("temporary directory");
        assert_eq!(
            ChatTemplate::from_directory(folder.path()).err(),
            Some("the model directory has no chat template".to_owned())
        );
        let config = r#"{"chat_template": "{{ bos_token }}{{ messages|length }}", "bos_token": {"content": "<s>"}}"#;
        fs::write(folder.path().join("tokenizer_config.json"), config).expect("writable");
        let template = ChatTemplate::from_directory(folder.path()).expect("found");
        assert_eq!(template.render(&[]).expect("renders"), "<s>0");
    }
}
