//! The forms of names that a plan may hold.

/// Name of a program: never a path.
pub(super) fn is_program_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && !name.starts_with(['.', '-'])
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-'))
}

/// Name of an environment variable.
pub(super) fn is_variable_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// Id of a step or an artefact: it becomes part of file names.
pub(super) fn is_step_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

/// A path below a directory.
pub(super) fn is_relative_path(name: &str) -> bool {
    let segment = |it: &str| {
        !it.is_empty()
            && it != "."
            && it != ".."
            && it.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    };
    name.len() <= 200 && name.split('/').all(segment)
}

/// The path of a request to the step's own port; anything else could name another host.
pub(super) fn is_request_path(path: &str) -> bool {
    let clean = |c: char| c.is_ascii_graphic() && c != '\\' && c != '@';
    path.len() <= 1024
        && path.starts_with('/')
        && !path.starts_with("//")
        && path.chars().all(clean)
}

/// `registry/repository`, in the lower case that registries keep to, without tag or digest.
pub(super) fn is_repository(name: &str) -> bool {
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => {
            (Some(host), path)
        }
        _ => (None, name),
    };
    let is_host = |it: &str| {
        let (host, port) = it.split_once(':').map_or((it, "1"), |(host, port)| (host, port));
        port.parse::<u16>().is_ok()
            && host.split('.').all(|label| {
                !label.is_empty()
                    && label
                        .chars()
                        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            })
    };
    let component = |it: &str| {
        let edge =
            |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        edge(it.chars().next())
            && edge(it.chars().next_back())
            && it.chars().all(|c| {
                c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-')
            })
    };
    name.len() <= 255 && host.is_none_or(is_host) && path.split('/').all(component)
}

/// A tag of an image.
pub(super) fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// A digest of an image.
pub(super) fn is_digest(digest: &str) -> bool {
    digest.strip_prefix("sha256:").is_some_and(|it| {
        it.len() == 64 && it.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Whether a text holds what looks like a token of the model hub: `hf_` and at least 20 letters or digits.
pub(super) fn has_hub_token(text: &str) -> bool {
    text.match_indices("hf_").any(|(at, mark)| {
        text[at + mark.len()..].chars().take_while(char::is_ascii_alphanumeric).take(20).count()
            == 20
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_have_one_spelling() {
        for name in
            ["vllm/vllm-openai", "docker.io/vllm/vllm-openai", "localhost:5000/x", "llem_candle"]
        {
            assert!(is_repository(name), "{name}");
        }
        for name in [
            "",
            "Vllm/x",
            "docker.io/vllm/x:latest",
            "x@sha256:00",
            "a//b",
            "../x",
            "d\u{43e}cker.io/x",
            "a b",
            "/x",
            "h:99999/x",
        ] {
            assert!(!is_repository(name), "{name}");
        }
    }

    #[test]
    fn a_hub_token_is_seen_wherever_it_stands() {
        assert!(has_hub_token("--token=hf_abcdefghijklmnopqrst"));
        assert!(!has_hub_token("hf_transfer") && !has_hub_token("--hf_overrides"));
    }
}
