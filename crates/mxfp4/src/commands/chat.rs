//! `mxfp4 chat`

mod answer;
mod attach;
mod client;
mod command;
mod conversation;
mod editor;
mod markdown;
mod once;
mod remedy;
mod screen;
mod session;
mod tally;
mod terminal;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use mxfp4_env::Workspace;
use mxfp4_launch::Address;

use self::attach::Places;
use self::client::Client;
use self::conversation::{Conversation, Effort};
use self::screen::{Reasoning, Screen};
use self::session::Session;
use crate::context::{Context, Place};
use crate::exit::{Exit, Failure};
use crate::serving::{StartArgs, prepare, start_for_command};
use mxfp4_client::{ClientArgs, Url};

/// Talk to the model in the terminal, or ask it one question.
///
/// Talks to a server that runs: the one at --url, or where `mxfp4 serve` listens. With --model it starts one, and ends it
/// with the chat. A question, or a text from a pipe, is answered once, and the answer alone is standard output; with both
/// the text is put after the question. `/help` says what can be typed in a chat, and @FILE in a message adds a file. Needs
/// no workspace unless it starts a server.
#[derive(clap::Args)]
pub struct Args {
    /// Ask this, print the answer, and end
    #[arg(value_name = "QUESTION")]
    question: Vec<String>,
    /// Talk to the server at this address [default: where `mxfp4 serve` listens, http://127.0.0.1:8000]
    #[arg(long, value_name = "URL", conflicts_with_all = ["model", "devices", "telemetry", "max_flags"])]
    url: Option<Url>,
    #[command(flatten)]
    client: ClientArgs,
    /// Tell the model this before all else
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// How much the model thinks [default: the server's]
    #[arg(long, value_enum)]
    effort: Option<Effort>,
    /// What becomes of the model's reasoning, on standard error [default: show on a terminal, hide elsewhere]
    #[arg(long, value_enum)]
    reasoning: Option<Reasoning>,
    /// Print one JSON object with answer, reasoning, finish_reason, usage and seconds
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    server: StartArgs,
    /// Flags for MAX
    #[arg(last = true, value_name = "MAX FLAGS")]
    max_flags: Vec<OsString>,
}

/// Runs the command.
pub fn run(place: Place, args: Args) -> anyhow::Result<i32> {
    let places = Places {
        folder: place.cwd.clone(),
        home: place.ambient.get_nonempty("HOME").map(PathBuf::from),
    };
    let question = once::question(&args.question, &places)?;
    if question.is_none() && args.json {
        let message = "--json is for one question: name it, or give it by a pipe";
        return Err(Failure::new(Exit::Usage, message).into());
    }
    if args.server.model.is_none() {
        args.refuse_idle()?;
        let url = match &args.url {
            Some(url) => url.clone(),
            None => configured(&args.server, place.root.as_deref(), &place.cwd)?,
        };
        let client = Client::new(&url, &args.client)?;
        return talk(client, question, places, &place, &args);
    }
    let context = Context {
        workspace: Workspace::find(place.root.as_deref(), &place.cwd)?,
        ambient: place.ambient.clone(),
        cwd: place.cwd.clone(),
        verbosity: place.verbosity,
    };
    let mut launch = args.server.plan(&context, &args.max_flags)?;
    // It has no keys, whatever the server has that the configuration is for.
    if args.server.host.is_none() {
        launch.host = Ipv4Addr::LOCALHOST.to_string();
    }
    args.server.check(&context, &launch)?;
    let (sdk, environment) = prepare(&context, args.server.no_setup)?;
    let log = context.workspace.state_dir().join("chat.log");
    let mut server = match start_for_command(&context, &launch, (&sdk, &environment), &log)? {
        Ok(server) => server,
        Err(code) => return Ok(code),
    };
    let client = Client::new(&launch.address().target()?, &ClientArgs::default());
    let result = client.and_then(|client| talk(client, question, places, &place, &args));
    if server.ended() && mxfp4_process::interrupted().is_none() {
        // What it died of matters more than the answers it did not give.
        server.end()?;
        return Err(Failure::new(Exit::Failed, "MAX stopped during the chat").into());
    }
    server.stop()?;
    result
}

impl Args {
    /// Refuses what only a server that is started would follow.
    fn refuse_idle(&self) -> Result<(), Failure> {
        let server = &self.server;
        let idle = [
            ("--devices", server.devices.is_some()),
            ("--frontend", server.frontend.is_some()),
            ("--no-setup", server.no_setup),
            ("--no-check", server.no_check),
            ("--no-self-check", server.no_self_check),
            ("--telemetry", server.telemetry),
            ("what stands after `--`", !self.max_flags.is_empty()),
        ];
        match idle.iter().find(|(_, is_given)| *is_given) {
            Some((name, _)) => {
                let message =
                    format!("{name} is for a server that --model starts; name the model too");
                Err(Failure::new(Exit::Usage, message))
            }
            None => Ok(()),
        }
    }
}

/// Where `mxfp4 serve` listens when it is started here.
fn configured(args: &StartArgs, root: Option<&Path>, cwd: &Path) -> anyhow::Result<Url> {
    let mut address = Address {
        tls: false,
        host: "127.0.0.1".into(),
        port: 8000,
    };
    if root.is_some() || Workspace::locate(None, cwd).is_ok() {
        let config = Workspace::find(root, cwd)?.config.serve;
        (address.host, address.port) = (config.host, config.port);
        address.tls = config.tls_cert.is_some();
    }
    address.host = args.host.clone().unwrap_or(address.host);
    address.port = args.port.unwrap_or(address.port);
    Ok(address.target()?)
}

fn talk(
    client: Client,
    question: Option<String>,
    places: Places,
    place: &Place,
    args: &Args,
) -> anyhow::Result<i32> {
    let model = client.model();
    let model = model.map_err(|lost| remedy::failure(&lost, client.url()))?;
    let conversation = Conversation::new(model, args.system.clone(), args.effort);
    let by_default = match io::stderr().is_terminal() {
        true => Reasoning::Show,
        false => Reasoning::Hide,
    };
    let reasoning = args.reasoning.unwrap_or(by_default);
    match question {
        Some(question) if args.json => once::as_json(&client, &conversation, &question),
        Some(question) => once::as_text(&client, &conversation, &question, Screen::new(reasoning)),
        None => Session::new(client, conversation, places, Screen::new(reasoning))
            .run(editor::history(&place.ambient), place.verbosity),
    }
}
