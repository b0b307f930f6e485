//! Hugging Face: where models are kept, who asks for them, whether the hub answers.

use std::path::PathBuf;

use mxfp4_launch::{Model, hub_cache, hub_home, is_offline};
use mxfp4_process::Command;
use nix::unistd::{AccessFlags, access};

use super::ask::ask;
use super::facts::Facts;
use super::finding::Finding;

/// Asks for the headers of one file; standard library only.
const ASK: &str = include_str!("ask_hub.py");

/// Where the hub is, unless HF_ENDPOINT says otherwise.
const ENDPOINT: &str = "https://huggingface.co";

/// The cache and the token. What the token is, is nobody's business.
pub fn local(facts: &Facts) -> anyhow::Result<Finding> {
    let ambient = facts.ambient();
    let Some(cache) = hub_cache(ambient) else {
        return Ok(Finding::warning(
            "there is no place for its cache: HOME is not set",
            "set HOME, HF_HOME or HF_HUB_CACHE",
        ));
    };
    let there = cache.ancestors().find(|folder| folder.exists());
    if there.is_none_or(|folder| !folder.is_dir() || access(folder, AccessFlags::W_OK).is_err()) {
        return Ok(Finding::warning(
            format!("its cache {} cannot be written", cache.display()),
            "name a folder that can be with HF_HUB_CACHE or HF_HOME",
        ));
    }
    let token = match token(facts) {
        Token::Variable(name) => format!("a token in {name}"),
        Token::File(file) => format!("a token in {}", file.display()),
        Token::None => "no token, which GPT-OSS needs none of".into(),
        Token::Unreadable(file, why) => {
            let file = file.display();
            return Ok(Finding::warning(
                format!("the token in {file} cannot be read: {why}"),
                "see to its permissions, or set HF_TOKEN",
            ));
        }
    };
    let offline = match is_offline(ambient) {
        true => ", HF_HUB_OFFLINE is set",
        false => "",
    };
    Ok(Finding::ok(format!(
        "{}, {token}{offline}",
        cache.display()
    )))
}

enum Token {
    Variable(&'static str),
    File(PathBuf),
    Unreadable(PathBuf, std::io::Error),
    None,
}

/// The token, as Hugging Face's library looks for it.
fn token(facts: &Facts) -> Token {
    let ambient = facts.ambient();
    for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
        if ambient.get_nonempty(name).is_some() {
            return Token::Variable(name);
        }
    }
    let named = ambient.get_nonempty("HF_TOKEN_PATH").map(PathBuf::from);
    let Some(file) = named.or_else(|| Some(hub_home(ambient)?.join("token"))) else {
        return Token::None;
    };
    match mxfp4_fs::open(&file) {
        Ok(_) => Token::File(file),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Token::None,
        Err(why) => Token::Unreadable(file, why),
    }
}

/// Whether the hub has the model for us.
pub fn online(facts: &Facts) -> anyhow::Result<Finding> {
    if !facts.online {
        return Ok(Finding::not_applicable("not asked: `--online` asks it"));
    }
    let Ok(launch) = &facts.launch else {
        return Ok(Finding::not_applicable(
            "it is not known what to ask for, see settings",
        ));
    };
    let Model::Repository { name, cached } = &launch.model else {
        return Ok(Finding::not_applicable("the model is a folder"));
    };
    if is_offline(facts.ambient()) {
        return Ok(Finding::not_applicable("HF_HUB_OFFLINE forbids to ask it"));
    }
    let python = facts.found_sdk().and_then(|sdk| sdk.python.clone());
    let Some(python) = python.or_else(|| facts.program("python3")) else {
        return Ok(Finding::not_applicable("there is no Python to ask it with"));
    };
    let endpoint = facts.ambient().get_nonempty("HF_ENDPOINT");
    let endpoint = endpoint.map_or(ENDPOINT.into(), |endpoint| endpoint.to_string_lossy());
    let endpoint = endpoint.trim_end_matches('/');
    let mut command = Command::new(python)
        .args(["-I", "-c", ASK])
        .arg(format!("{endpoint}/{name}/resolve/main/config.json"));
    if let Token::File(file) = token(facts) {
        command = command.arg(file);
    }
    let finding = match ask(command)? {
        Ok(status) if status.starts_with('2') => {
            return Ok(Finding::ok(format!("{endpoint} has {name}")));
        }
        Ok(status) if ["401", "403"].contains(&status.as_str()) => Finding::failing(
            format!("{endpoint} does not give us {name} (status {status})"),
            "check the name; for a private or gated model accept its licence on its page, and set HF_TOKEN",
        ),
        Ok(status) => Finding::failing(
            format!("{endpoint} does not have {name} (status {status})"),
            "check --model, or serve.model in mxfp4.toml",
        ),
        Err(why) => Finding::failing(
            format!("{endpoint} does not answer: {why}"),
            "see to the network or its proxy (HTTPS_PROXY), or give --model a folder",
        ),
    };
    // A model that is here already is served without it.
    Ok(match cached {
        Some(_) => finding.into_warning(),
        None => finding,
    })
}
