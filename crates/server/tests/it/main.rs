//! The front end over HTTP, before an engine that answers by a script.

mod alike;
mod chat;
mod client;
mod completions;
mod errors;
mod grammars;
mod hostile;
mod http2;
mod keys;
mod lifecycle;
mod log;
mod log_probabilities;
mod messages;
mod metrics;
mod mutated;
mod page;
mod pressure;
mod responses;
mod rig;
mod routes;
mod stop_words;
mod tls;
mod vocabulary;
mod wire;
