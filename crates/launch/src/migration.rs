//! What becomes of MAX's own settings, now that HTTP is answered here and MAX is an engine behind a socket.
//!
//! Every flag of `max serve` and every variable that its serving code reads has one row: the front end honours it, MAX gets
//! it as ever, or the start is refused, because it would be without effect. docs/reference/max-settings.md is written from
//! these rows.

mod dotenv;
mod flags;
#[cfg(test)]
mod page;
mod setting;
#[cfg(test)]
mod tests;
mod variables;

use std::ffi::OsStr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use mxfp4_env::Ambient;

use self::setting::{Fate, Setting};
use crate::flags::Flags;

/// The values of a flag without any.
const SWITCH: [&str; 2] = ["true", "false"];

/// How MAX is told of a configuration file in its own package.
const RECIPES: &str = "max/pipelines/architectures/";

/// What a start is given.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// MAX's flags: those of the configuration and those of the command line.
    pub flags: &'a Flags,
    /// The variables.
    pub ambient: &'a Ambient,
    /// The folder that MAX is started in; it reads the file `.env` there.
    pub folder: &'a Path,
    /// Whether `--telemetry` is given.
    pub telemetry: bool,
}

/// What the front end takes over from MAX's settings; `None` where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Honoured {
    /// The address to listen on.
    pub host: Option<String>,
    /// The port to listen on.
    pub port: Option<u16>,
    /// The port of `/metrics`.
    pub metrics_port: Option<u16>,
    /// How long a connection may be idle.
    pub keep_alive: Option<Duration>,
    /// The largest body of a request, in bytes.
    pub max_request_bytes: Option<usize>,
    /// How long running requests get at the end.
    pub drain: Option<Duration>,
}

/// What MAX's settings come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migration {
    /// Why the start is refused, one sentence each; empty where it is not.
    pub refusals: Vec<String>,
    /// What is without effect and hurts nobody, one sentence each.
    pub warnings: Vec<String>,
    /// What the front end takes over.
    pub honoured: Honoured,
}

impl Migration {
    /// Reads what a start of the front end is given. With MAX's own HTTP server all of it goes to MAX, and nothing is
    /// read here.
    pub fn read(given: Given<'_>) -> Self {
        let mut migration = Self::default();
        migration.flags(&given);
        migration.config_files(&given);
        migration.variables(&given);
        migration.dotenv(given.folder);
        migration.honoured(&given);
        migration
    }

    fn flags(&mut self, given: &Given<'_>) {
        for setting in flags::FLAGS {
            if let Some((word, value)) = given.flags.last(setting.name) {
                let value = value.unwrap_or(if word.starts_with("--no-") {
                    "false".into()
                } else {
                    "true".into()
                });
                if setting.refuses(&value) {
                    self.refuse(&word, setting);
                }
            }
        }
    }

    /// A file that `--config-file` names may hold any flag. A name of one that is refused is refused there too.
    fn config_files(&mut self, given: &Given<'_>) {
        for flag in ["config-file", "draft-config-file"] {
            let Some(file) = given.flags.value(flag) else {
                continue;
            };
            let name = file.to_string_lossy();
            if name.starts_with(RECIPES) {
                self.refusals.push(format!(
                    "--{flag} {name} is refused, because MAX's own recipes are for its own models; copy what you need of it to \
                     a file of yours"
                ));
                continue;
            }
            // One that cannot be read is MAX's to complain of.
            let Ok(text) = std::fs::read_to_string(given.folder.join(&file)) else {
                continue;
            };
            for setting in flags::FLAGS {
                if let Some(value) = yaml_value(&text, &setting.name.replace('-', "_"))
                    && !["null", "~"].contains(&value)
                    && setting.refuses(value)
                {
                    let place = format!("{} in {name}", setting.name);
                    self.refuse(&place, setting);
                }
            }
        }
    }

    fn variables(&mut self, given: &Given<'_>) {
        for (name, value) in given.ambient.iter() {
            let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
            // MAX takes an empty one for none, or complains of it by itself.
            if value.is_empty() {
                continue;
            }
            match variables::find(&name) {
                None if name.to_ascii_uppercase().starts_with("MAX_SERVE_") => {
                    self.warnings.push(format!(
                        "{name} is no variable of MAX {} and has no effect; docs/reference/max-settings.md lists those \
                         that have",
                        variables::KNOWN_VERSION
                    ));
                }
                Some(setting) if setting.refuses(&value) => self.refuse(&name, setting),
                // MAX takes it in any case; what is read here is the name as it stands in the table.
                Some(setting) if setting.fate == Fate::Honoured && name != setting.name => {
                    self.refusals
                        .push(format!("{name} is not read; call it {}", setting.name));
                }
                Some(setting) if setting.telemetry && !given.telemetry => {
                    self.warnings.push(format!(
                        "{name} has no effect without --telemetry, because {}",
                        setting.note
                    ));
                }
                _ => {}
            }
        }
    }

    /// What MAX would read from `.env` and the front end does not.
    fn dotenv(&mut self, folder: &Path) {
        let file = folder.join(".env");
        let Ok(text) = std::fs::read_to_string(&file) else {
            return;
        };
        for name in dotenv::names(&text) {
            if let Some(setting) = variables::find(name)
                && setting.fate != Fate::Passed
            {
                self.refusals.push(format!(
                    "{name} stands in {}, where only MAX looks; set the variable {} instead",
                    file.display(),
                    setting.name
                ));
            }
        }
    }

    fn honoured(&mut self, given: &Given<'_>) {
        let port: Option<u16> = self.number(given, Some("port"), "MAX_SERVE_PORT");
        let metrics_port = self.number(given, None, "MAX_SERVE_METRICS_ENDPOINT_PORT");
        let keep_alive = self.number(given, None, "MAX_SERVE_HTTP_KEEPALIVE_TIMEOUT_S");
        let drain = self.number(given, None, "MAX_SERVE_GRACEFUL_SHUTDOWN_TIMEOUT_S");
        let seconds = |seconds: Option<u32>| seconds.map(|n| Duration::from_secs(n.into()));
        self.honoured = Honoured {
            host: given_text(given, Some("host"), "MAX_SERVE_HOST").map(|(_, text)| text),
            port,
            metrics_port,
            keep_alive: seconds(keep_alive),
            max_request_bytes: self.number(given, None, "MAX_SERVE_MAX_REQUEST_BYTES"),
            drain: seconds(drain),
        };
    }

    fn number<N: FromStr>(
        &mut self,
        given: &Given<'_>,
        flag: Option<&str>,
        variable: &str,
    ) -> Option<N> {
        let (name, text) = given_text(given, flag, variable)?;
        let number = text.trim().parse().ok();
        if number.is_none() {
            self.refusals
                .push(format!("{name} is {text:?}, which is no number it can be"));
        }
        number
    }

    fn refuse(&mut self, name: &str, setting: &Setting) {
        let mut sentence = format!("{name} is refused, because {}", setting.note);
        if setting.accepted.iter().any(|value| !SWITCH.contains(value)) {
            let accepted = setting.accepted.join(" or ");
            sentence.push_str(&format!("; what it may be is {accepted}"));
        }
        sentence.push_str("; leave it out, or serve with --frontend max");
        self.refusals.push(sentence);
    }
}

/// What MAX gets of its flags: those that the front end acts on itself stay here.
pub fn for_engine(flags: Flags) -> Flags {
    flags.without(|name| {
        flags::FLAGS
            .iter()
            .any(|setting| setting.name == name && setting.fate == Fate::Honoured)
    })
}

/// What a flag says, or else a variable, and the name of the one that says it.
fn given_text(given: &Given<'_>, flag: Option<&str>, variable: &str) -> Option<(String, String)> {
    let text = |value: &OsStr| value.to_string_lossy().into_owned();
    let of_flag = flag.and_then(|flag| {
        let value = given.flags.value(flag)?;
        Some((format!("--{flag}"), text(&value)))
    });
    of_flag.or_else(|| {
        let value = given.ambient.get_nonempty(variable)?;
        Some((variable.to_owned(), text(value)))
    })
}

/// The value of the first `key:` of a YAML or JSON text, whatever it lies in.
fn yaml_value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let delimits = |byte: &u8| !(byte.is_ascii_alphanumeric() || b"_-".contains(byte));
    text.lines().find_map(|line| {
        let line = line.split(" #").next()?;
        if line.trim_start().starts_with('#') {
            return None;
        }
        line.match_indices(key).find_map(|(start, _)| {
            let before = line.as_bytes()[..start].last();
            let value = line[start + key.len()..].trim_start_matches(['"', '\'']);
            let value = value.trim_start().strip_prefix(':')?;
            let end = value.find([',', '}']).unwrap_or(value.len());
            let value = value[..end].trim().trim_matches(['"', '\'']);
            before.is_none_or(delimits).then_some(value)
        })
    })
}
