//! Other people's clients, unmodified, against the front end: each program in `clients` talks to a server whose engine
//! writes what the test says, and prints what it got.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use mxfp4_engine::scripted::{Answer, Fault, Options, in_turn};
use mxfp4_engine::{EngineListener, Request, ScriptedEngine};
use mxfp4_harmony::Vocabulary;
use mxfp4_harmony::testing::published_vocabulary;
use mxfp4_server::{Config, Server, Store, StoreLimits};

/// The variable that names a Python with the packages of `python/clients`.
const PYTHON: &str = "MXFP4_CLIENTS";

const MODEL: &str = "openai/gpt-oss-20b";

type Test = fn(&Place) -> Result<(), Failed>;

fn main() -> ExitCode {
    let tests: [(&str, Test); 9] = [
        ("anthropic", anthropic),
        ("openai", openai),
        ("responses", responses),
        ("agents", agents),
        ("forms", forms),
        ("langchain", langchain),
        ("litellm", litellm),
        ("llm", llm),
        ("vllm_router", vllm_router),
    ];
    let trials = tests.map(|(name, test)| {
        Trial::ignorable_test(name, move || match Place::find() {
            Err(why) => Ok(Completion::ignored_with(why)),
            Ok(place) => test(&place).map(|()| Completion::Completed),
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

/// What a test needs of the machine.
struct Place {
    python: String,
    vocabulary: Arc<Vocabulary>,
}

/// What a program printed, and what the engines were asked, by server.
struct Ran {
    output: String,
    prompts: Vec<Vec<String>>,
    /// The tags that answers were held to.
    grammars: Vec<Vec<Option<String>>>,
}

impl Place {
    fn find() -> Result<Self, String> {
        let python = std::env::var(PYTHON)
            .map_err(|_| format!("{PYTHON} names no Python with the packages of python/clients"))?;
        Ok(Self {
            python,
            vocabulary: published_vocabulary()?,
        })
    }

    /// Runs a program of `clients` with as many servers as there are scripts. A script is what the model writes, in turn,
    /// from behind `<|start|>assistant`.
    fn run(&self, program: &str, scripts: &[&[&str]]) -> Result<Ran, Failed> {
        let runtime = tokio::runtime::Runtime::new()?;
        let mut servers = Vec::new();
        for script in scripts {
            servers.push(runtime.block_on(self.server(script))?);
        }
        let program = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/clients")
            .join(program);
        let urls = servers
            .iter()
            .map(|(server, _)| format!("http://{}", server.addresses()[0]));
        let ran = Command::new(&self.python)
            .arg(program)
            .args(urls)
            .arg(MODEL)
            .env("NO_PROXY", "127.0.0.1")
            .output()?;
        let prompts = |engine: &ScriptedEngine| -> Vec<String> {
            let text = |request: &Request| self.vocabulary.decode(&request.prompt);
            engine.requests().iter().map(text).collect()
        };
        let grammars = |engine: &ScriptedEngine| -> Vec<Option<String>> {
            let requests = engine.requests();
            requests
                .into_iter()
                .map(|request| request.grammar)
                .collect()
        };
        let stderr = String::from_utf8_lossy(&ran.stderr).into_owned();
        if !ran.status.success() {
            return Err(format!("{}: {stderr}", ran.status).into());
        }
        Ok(Ran {
            output: String::from_utf8(ran.stdout)?,
            prompts: servers.iter().map(|(_, engine)| prompts(engine)).collect(),
            grammars: servers.iter().map(|(_, engine)| grammars(engine)).collect(),
        })
    }

    async fn server(&self, script: &[&str]) -> Result<(Server, ScriptedEngine), Failed> {
        let answer = |text: &&str| match *text {
            FULL => Fault::QueueFull.into(),
            text => Answer {
                fault: text
                    .ends_with(FAILS)
                    .then(|| Fault::Failed("it has no memory".to_owned())),
                ..self
                    .vocabulary
                    .encode_with_special(text.strip_suffix(FAILS).unwrap_or(text))
                    .into()
            },
        };
        let answers = script.iter().map(answer).collect();
        let listener = EngineListener::bind(&std::env::temp_dir())?;
        let mut options = Options::default();
        options.hello.model = MODEL.to_owned();
        options.hello.grammar = true;
        let engine = ScriptedEngine::start(listener.path(), options, in_turn(answers));
        let server = Server::bind(Config {
            port: 0,
            store: Some(Store::memory(StoreLimits::default())),
            ..Config::default()
        })
        .await?;
        server.ready(listener.engine().await?, self.vocabulary.clone());
        Ok((server, engine))
    }
}

fn hold(holds: bool, text: &str) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(text.into()) }
}

fn same(output: &str, expect: &str) -> Result<(), Failed> {
    if output.trim_end() == expect.trim() {
        return Ok(());
    }
    Err(format!("it printed\n{output}\ninstead of\n{}", expect.trim()).into())
}

/// Fails unless the parts stand in the text in this order.
fn holds(text: &str, parts: &[&str]) -> Result<(), Failed> {
    let mut rest = text;
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return Err(format!("{part:?} is not, or not there, in\n{text}").into()),
        }
    }
    Ok(())
}

/// Stands for an engine whose queue is full.
const FULL: &str = "(full)";
const FOUR: &str = "<|channel|>analysis<|message|>Easy.<|end|><|start|>assistant<|channel|>final<|message|>Four.<|return|>";
const SIX: &str = "<|channel|>final<|message|>Six.<|return|>";
const GULL: &str = "<|channel|>analysis<|message|>A bird…<|end|><|start|>assistant<|channel|>final<|message|>A gull 🐦.<|return|>";
const COD: &str = "<|channel|>analysis<|message|>A fish.<|end|><|start|>assistant<|channel|>final<|message|>Cod.<|return|>";
const ROME: &str = "<|channel|>analysis<|message|>Rome first.<|end|><|start|>assistant<|channel|>commentary \
    to=functions.get_weather <|constrain|>json<|message|>{\"city\": \"Rome\"}<|call|>";
const OSLO: &str = "<|channel|>analysis<|message|>Now Oslo.<|end|><|start|>assistant<|channel|>commentary \
    to=functions.get_weather <|constrain|>json<|message|>{\"city\": \"Oslo\"}<|call|>";
const DONE: &str = "<|channel|>analysis<|message|>Both known.<|end|><|start|>assistant<|channel|>final<|message|>Sun \
    and rain.<|return|>";

const PRIME: &str = "<|channel|>final <|constrain|>json<|message|>{\"prime\": true}<|return|>";

fn anthropic(place: &Place) -> Result<(), Failed> {
    let script = [
        FOUR, GULL, GULL, ROME, OSLO, DONE, ROME, DONE, ROME, DONE, PRIME, FULL,
    ];
    let ran = place.run("anthropic_client.py", &[&script])?;
    same(
        &ran.output,
        r"
models: True True active
message: ['Four.'] end_turn
usage: 14 2 0
request: True
events: message_start content_block_start thinking_delta signature_delta content_block_stop content_block_start \
text_delta content_block_stop message_delta message_stop
stream helper: 'A gull ' stop_sequence 🐦
its thinking: 'A bird…'
call: get_weather {'city': 'Rome'} tool_use
call: get_weather {'city': 'Oslo'} tool_use
after calls: 'Sun and rain.'
counted: True
altered: invalid_request_error True
tool runner: 'Sun and rain.' end_turn
tool runner: 'Sun and rain.' end_turn
parse: Verdict(prime=True)
model: NotFoundError not_found_error True
image: BadRequestError invalid_request_error True
tokens: BadRequestError invalid_request_error True
a model's name: NotFoundError not_found_error True
batches: NotFoundError not_found_error True
full: OverloadedError overloaded_error True
"
        .replace("\\\n", "")
        .as_str(),
    )?;
    let prompts = &ran.prompts[0];
    holds(&prompts[0], &["# Instructions\n\nBe short.<|end|>", "2+2?"])?;
    let after = AFTER_CALLS.map(|part| {
        let part = part
            .replace("Rome and Oslo?", "Rome?")
            .replace("{\"sun\": 1}", "sun");
        part.replace("\": \"", "\":\"").replace("rain<", "sun<")
    });
    holds(&prompts[5], &after.each_ref().map(String::as_str))?;
    holds(
        &prompts[7],
        &[
            "// The weather of a city.",
            "<|start|>assistant<|channel|>analysis<|message|>Rome first.<|end|>",
            "sun in Rome<|end|><|start|>assistant",
        ],
    )
}

fn openai(place: &Place) -> Result<(), Failed> {
    let mut script = vec![
        FOUR,
        SIX,
        GULL,
        COD,
        ROME,
        OSLO,
        DONE,
        SIX,
        " a time.<|return|>",
        " a time ago.<|return|>",
    ];
    script.extend([SIX; 8]);
    let ran = place.run("openai_client.py", &[&script])?;
    same(
        &ran.output,
        r#"
models: True True
chat: 'Four.' stop
reasoning: 'Easy.' 14 tokens, 2 of reasoning, True
sent back: 'Six.'
stream: ['assistant'] 'A bird…' 'A gull 🐦.' ['stop']
its last chunk: [] 19 tokens, 3 of reasoning, True
stream helper: ['content.delta', 'content.done'] 'Cod.' stop
call: get_weather {"city": "Rome"} tool_calls
streamed call: [(0, 'get_weather', '{"city": "Oslo"}')]
after calls: 'Sun and rain.'
logprobs: ['Six', '.'] {2} True
completion: ' a time.' stop
its stream: ' a ' ['stop']
at once: 8 {'Six.'} 8
model: NotFoundError model model_not_found
role: BadRequestError messages[0].role None
temperature: BadRequestError temperature None
a model's name: NotFoundError model model_not_found
embeddings: NotFoundError None not_found
"#,
    )?;
    let prompts = &ran.prompts[0];
    // Reasoning before a final answer is not sent to the model again.
    holds(
        &prompts[1],
        &[
            "2+2?",
            "<|channel|>final<|message|>Four.<|end|>",
            "And 3+3?",
        ],
    )?;
    hold(!prompts[1].contains("Easy."), &prompts[1])?;
    holds(&prompts[6], &AFTER_CALLS)
}

/// At the end of what the model writes where the engine fails then.
const FAILS: &str = "(fails)";

const LOOKS: &str = "<|channel|>analysis<|message|>Rome first.<|end|><|start|>assistant<|channel|>commentary<|message|>\
    I look.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>\
    {\"city\": \"Rome\"}<|call|>";
const PATCHES: &str = "<|channel|>analysis<|message|>Write it down.<|end|><|start|>assistant<|channel|>commentary \
    to=functions.patch <|constrain|>json<|message|>{\"input\": \"+ sun\\n\"}<|call|>";
const LUNCH: &str =
    "<|channel|>final <|constrain|>json<|message|>{\"title\": \"Lunch\", \"hour\": 12}<|return|>";
const LUNCH_CALL: &str = "<|channel|>commentary to=functions.Lunch <|constrain|>json<|message|>{\"title\": \"Lunch\", \
    \"hour\": 12}<|call|>";

/// The events of an item, each kind once.
const REASONS: &str = "output_item.added content_part.added reasoning_text.delta \
    reasoning_text.done content_part.done output_item.done";
const SAYS: &str = "output_item.added content_part.added output_text.delta \
    output_text.done content_part.done output_item.done";
const CALLS: &str = "output_item.added function_call_arguments.delta \
    function_call_arguments.done output_item.done";
const CALLS_CUSTOM: &str = "output_item.added custom_tool_call_input.delta \
    custom_tool_call_input.done output_item.done";

fn responses(place: &Place) -> Result<(), Failed> {
    let fails = format!("<|channel|>final<|message|>Six{FAILS}");
    let script = [
        FOUR, SIX, GULL, COD, GULL, LOOKS, PATCHES, OSLO, DONE, LUNCH, LUNCH_CALL, SIX, FOUR,
        &fails,
    ];
    let ran = place.run("responses_client.py", &[&script])?;
    let output = ran
        .output
        .replace(REASONS, "REASONS")
        .replace(SAYS, "SAYS")
        .replace(CALLS, "CALLS")
        .replace(CALLS_CUSTOM, "CUSTOM");
    same(
        &output,
        r#"
whole: 'Four.' completed {'a': 'b'}
items: ['reasoning', 'message'] Easy.
usage: 14 2 True
sent back: 'Six.'
stream: created in_progress REASONS SAYS completed
its text: 'A gull 🐦.' True
helper: 'Cod.' True
cut: created in_progress REASONS incomplete incomplete max_output_tokens
tools: created in_progress REASONS SAYS CALLS completed
call: get_weather {"city": "Rome"}
tools: created in_progress REASONS CUSTOM completed
custom call: patch '+ sun\n'
tools: created in_progress REASONS CALLS completed
call: get_weather {"city": "Oslo"}
tools: created in_progress REASONS SAYS completed
after calls: 'Sun and rain.'
parse: Lunch(title='Lunch', hour=12)
parsed call: {'title': 'Lunch', 'hour': 12}
kept: True
input items: [('message', 'user'), ('message', 'assistant'), ('message', 'user')]
gone: NotFoundError response_id response_not_found
goes on: NotFoundError previous_response_id previous_response_not_found
background: BadRequestError background None
failed: created in_progress SAYS failed server_error
"#,
    )?;
    let prompts = &ran.prompts[0];
    hold(!prompts[1].contains("Easy."), &prompts[1])?;
    // The reasoning came back sealed.
    holds(
        &prompts[8],
        &[
            "Weather in Rome and Oslo?<|end|>",
            "<|start|>assistant<|channel|>analysis<|message|>Rome first.<|end|>",
            "<|start|>assistant<|channel|>commentary<|message|>I look.<|end|>",
            "{\"city\": \"Rome\"}<|call|>",
            "sun<|end|><|start|>assistant<|channel|>analysis<|message|>Write it down.<|end|>",
            "to=functions.patch<|channel|>commentary <|constrain|>json<|message|>{\"input\":\"+ sun\\n\"}<|call|>",
            "<|start|>functions.patch to=assistant<|channel|>commentary<|message|>done<|end|>",
            "{\"city\": \"Oslo\"}<|call|>",
        ],
    )?;
    holds(
        &prompts[12],
        &[
            "One?<|end|>",
            "<|channel|>final<|message|>Six.<|end|>",
            "Two?<|end|>",
        ],
    )
}

const HANDS_OVER: &str =
    "<|channel|>commentary to=functions.transfer_to_cook <|constrain|>json<|message|>{}<|call|>";

fn agents(place: &Place) -> Result<(), Failed> {
    let script = [ROME, DONE, HANDS_OVER, COD, OSLO, GULL, LUNCH];
    let ran = place.run("agents_client.py", &[&script])?;
    same(
        &ran.output,
        r"
tools: 'Sun and rain.' ['reasoning_item', 'tool_call_item', 'tool_call_output_item', 'reasoning_item', 'message_output_item']
handoff: 'Cod.' Cook
stream: 'A gull 🐦.' 'A gull 🐦.' ['reasoning_item_created', 'tool_called', 'tool_output', 'reasoning_item_created', 'message_output_created']
typed: Lunch(title='Lunch', hour=12)
",
    )?;
    holds(
        &ran.prompts[0][1],
        &[
            "{\"city\": \"Rome\"}<|call|>",
            "sun in Rome<|end|><|start|>assistant",
        ],
    )?;
    holds(
        &ran.prompts[0][3],
        &["You cook.", "Who cooks?", "transfer_to_cook"],
    )
}

const EVENT: &str = "<|channel|>analysis<|message|>Lunch.<|end|><|start|>assistant<|channel|>final <|constrain|>json\
    <|message|>{\"title\": \"Lunch\", \"kind\": \"meal\", \"hour\": 12, \"who\": [{\"name\": \"Ann\", \"reports_to\": \
    null}], \"note\": null}<|return|>";
const EVENT_CALL: &str = "<|channel|>commentary to=functions.Event <|constrain|>json<|message|>{\"title\": \"Lunch\", \
    \"kind\": \"meal\", \"hour\": 12, \"who\": [], \"note\": null}<|call|>";
const WEATHER: &str = "<|channel|>commentary to=functions.GetWeather <|constrain|>json<|message|>{\"city\": \"Rome\", \
    \"unit\": \"c\"}<|call|>";
const OBJECT: &str = "<|channel|>final<|message|>{\"lunch\": true}<|return|>";

fn forms(place: &Place) -> Result<(), Failed> {
    let script = [EVENT, EVENT, WEATHER, WEATHER, EVENT, EVENT_CALL, OBJECT];
    let ran = place.run("forms_client.py", &[&script])?;
    same(
        &ran.output,
        r"
parse: title='Lunch' kind=<Kind.MEAL: 'meal'> hour=12 who=[Person(name='Ann', reports_to=None)] note=None stop
stream: Lunch
tool, auto: city='Rome' unit='c' tool_calls
tool, required: city='Rome' unit='c' tool_calls
langchain, json_schema: Lunch
langchain, function_calling: Lunch
langchain, json_mode: {'lunch': True}
refused: response_format.json_schema.schema.uniqueItems
",
    )?;
    holds(
        &ran.prompts[0][0],
        &["# Response Formats\n\n## Event\n\n", "In a few words."],
    )?;
    let hour = r#"{"type":"integer","minimum":0,"maximum":23}"#;
    for (at, part) in [
        hour,
        hour,
        "to=functions.GetWeather",
        "to=functions.GetWeather",
        hour,
        hour,
    ]
    .into_iter()
    .enumerate()
    {
        let tag = ran.grammars[0][at].as_deref().unwrap_or_default();
        holds(tag, &[part])?;
    }
    Ok(())
}

/// The prompt after two calls: the reasoning between them is there, and each result under its function's name.
const AFTER_CALLS: [&str; 7] = [
    "Weather in Rome and Oslo?<|end|>",
    "<|start|>assistant<|channel|>analysis<|message|>Rome first.<|end|>",
    "<|start|>assistant to=functions.get_weather<|channel|>commentary <|constrain|>json<|message|>{\"city\": \"Rome\"}<|call|>",
    "<|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>{\"sun\": 1}<|end|>",
    "<|start|>assistant<|channel|>analysis<|message|>Now Oslo.<|end|>",
    "<|start|>assistant to=functions.get_weather<|channel|>commentary <|constrain|>json<|message|>{\"city\": \"Oslo\"}<|call|>",
    "<|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>rain<|end|><|start|>assistant",
];

fn langchain(place: &Place) -> Result<(), Failed> {
    let ran = place.run("langchain_client.py", &[&[FOUR, GULL, ROME, OSLO, DONE]])?;
    same(
        &ran.output,
        r"
invoke: 'Four.' stop
usage: 14 2
stream: 'A gull 🐦.' stop
invoke, call: get_weather {'city': 'Rome'}
stream, call: get_weather {'city': 'Oslo'}
after calls: 'Sun and rain.'
",
    )?;
    // It forgets reasoning.
    holds(
        &ran.prompts[0][4],
        &[
            "to=functions.get_weather<|channel|>commentary <|constrain|>json<|message|>{\"city\": \"Rome\"}<|call|>",
            "<|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>sun in Rome<|end|>",
            "{\"city\": \"Oslo\"}<|call|>",
            "sun in Oslo<|end|><|start|>assistant",
        ],
    )
}

fn litellm(place: &Place) -> Result<(), Failed> {
    let script = [FOUR, GULL, ROME, DONE];
    let ran = place.run("litellm_client.py", &[&[script, script].concat()])?;
    same(
        &ran.output,
        r#"
openai: 'Four.' stop
reasoning: 'Easy.' 14
stream: 'A gull 🐦.' 'A bird…'
its usage: 19 stop
call: get_weather {"city": "Rome"}
after the call: 'Sun and rain.'
hosted_vllm: 'Four.' stop
reasoning: 'Easy.' 14
stream: 'A gull 🐦.' 'A bird…'
its usage: 19 stop
call: get_weather {"city": "Rome"}
after the call: 'Sun and rain.'
"#,
    )?;
    for prompt in [&ran.prompts[0][3], &ran.prompts[0][7]] {
        holds(
            prompt,
            &[
                "<|start|>assistant<|channel|>analysis<|message|>Rome first.<|end|>",
                "{\"city\": \"Rome\"}<|call|>",
                "sun<|end|><|start|>assistant",
            ],
        )?;
    }
    Ok(())
}

fn llm(place: &Place) -> Result<(), Failed> {
    let ran = place.run("llm_client.py", &[&[FOUR, SIX, GULL, COD, ROME, DONE]])?;
    same(
        &ran.output,
        r"
streamed: 0 'Four.\n'
goes on: 0 'Six.\n'
whole: 0 'A gull 🐦.\n'
options: 0 'Cod.\n'
a function: 0 'Sun and rain.\n'
",
    )?;
    let prompts = &ran.prompts[0];
    holds(
        &prompts[1],
        &["2+2?", "<|message|>Four.<|end|>", "And 3+3?"],
    )?;
    holds(
        &prompts[5],
        &["{\"city\": \"Rome\"}<|call|>", "sun in Rome<|end|>"],
    )
}

fn vllm_router(place: &Place) -> Result<(), Failed> {
    let ran = place.run("router_client.py", &[&[GULL], &[COD]])?;
    same(
        &ran.output,
        r"
models: True
streams: [('A bird… A gull 🐦.', 2), ('A fish. Cod.', 2)] {'stop': 4}
whole: stop
",
    )
}
