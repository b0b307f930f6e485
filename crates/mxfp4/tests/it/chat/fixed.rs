//! A server that answers as it is told, byte for byte.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::spawn;

/// What it says to a chat request.
#[derive(Clone, Copy)]
pub enum Say {
    /// A status, headers each with its end, a body.
    Status(&'static str, &'static str, &'static str),
    /// A stream with these events, then the end of the connection.
    Events(&'static [&'static str]),
}

/// A server; each request that it got, head and body.
pub struct Fixed {
    pub url: String,
    pub got: Arc<Mutex<Vec<String>>>,
}

impl Fixed {
    /// One that names its model, and says these in turn.
    pub fn chat(answers: &'static [Say]) -> Self {
        const MODELS: Say = Say::Status("200 OK", "", r#"{"data":[{"id":"the model"}]}"#);
        Self::start(&MODELS, answers)
    }

    /// One that says `models` when it is asked for its models.
    pub fn start(models: &'static Say, answers: &'static [Say]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let got = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&got);
        spawn(move || {
            let mut next = answers.iter().cycle();
            for stream in listener.incoming().flatten() {
                let request = request(&stream).unwrap_or_default();
                let say = match request.starts_with("GET /v1/models ") {
                    true => Some(models),
                    false => next.next(),
                };
                kept.lock().expect("no test panics with it").push(request);
                // A client that leaves is no error.
                let _ = say.map(|say| answer(&stream, say));
            }
        });
        Self {
            url: format!("http://{address}"),
            got,
        }
    }

    /// The requests.
    pub fn requests(&self) -> Vec<String> {
        self.got.lock().expect("no test panics with it").clone()
    }
}

fn request(stream: &TcpStream) -> std::io::Result<String> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            break;
        }
    }
    for line in head.to_ascii_lowercase().lines() {
        if let Some(number) = line.strip_prefix("content-length:") {
            length = number.trim().parse().expect("it is a number");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(head + &String::from_utf8_lossy(&body))
}

fn answer(mut stream: &TcpStream, say: &Say) -> std::io::Result<()> {
    match say {
        Say::Status(status, headers, body) => {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n"
            );
            stream.write_all((head + body).as_bytes())
        }
        Say::Events(events) => {
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
            stream.write_all(head.as_bytes())?;
            events
                .iter()
                .try_for_each(|event| stream.write_all(format!("data: {event}\n\n").as_bytes()))
        }
    }
}
