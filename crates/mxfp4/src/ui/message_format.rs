//! Results for a person, or as JSON for a program.

use mxfp4_toolchain::build::Event;
use mxfp4_toolchain::diagnostics::{Message, Style};
use serde_json::{Value, json};

use super::color;

/// How wide a terminal is taken to be where there is none to ask.
const WIDTH: usize = 140;

/// For whom results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum MessageFormat {
    /// A person.
    #[default]
    Human,
    /// A program: one JSON object a line on stdout, see docs/guides/building.md.
    Json,
}

impl MessageFormat {
    /// Whether stdout belongs to JSON.
    pub fn is_json(self) -> bool {
        self == Self::Json
    }

    /// Prints what happens in a build: to stdout as JSON, or what the compiler says to stderr.
    pub fn event(self, event: &Event) {
        match self {
            Self::Human => {
                if let Event::Message { message, .. } = event {
                    eprintln!("{}", message.render(stderr_style()));
                    if matches!(message, Message::Diagnostic(_)) {
                        eprintln!();
                    }
                }
            }
            Self::Json => print(&event_json(event)),
        }
    }
}

/// Prints a JSON object as a line of stdout.
pub fn print(value: &Value) {
    println!("{value}");
}

fn event_json(event: &Event) -> Value {
    match event {
        Event::Message {
            name,
            message: Message::Text(text),
        } => json!({"reason": "compiler-output", "package": name, "text": text}),
        Event::Message {
            name,
            message: message @ Message::Diagnostic(diagnostic),
        } => {
            let style = Style {
                color: false,
                width: WIDTH,
            };
            let mut value = diagnostic.to_json();
            value["rendered"] = message.render(style).into();
            json!({"reason": "compiler-message", "package": name, "message": value})
        }
        Event::Made { name, path, fresh } => json!({
            "reason": "compiler-artifact",
            "package": name,
            "path": path.to_string_lossy(),
            "fresh": fresh,
        }),
    }
}

fn stderr_style() -> Style {
    let terminal = console::Term::stderr();
    Style {
        color: color::on_stderr(),
        width: terminal
            .size_checked()
            .map_or(WIDTH, |(_, columns)| columns.into()),
    }
}
