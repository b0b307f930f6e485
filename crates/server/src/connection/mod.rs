//! Connections of clients: accepted, bounded, and served.

mod activity;
mod followed;
mod listen;
mod protocol;
mod serve;
mod socket;
mod streams;

pub(crate) use listen::listen;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::listen;
    use crate::app::App;
    use crate::config::Config;

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let app = Arc::new(App::new(Config::default()));
        let listeners = listen("127.0.0.1", 0).await.unwrap();
        let address = listeners.addresses().unwrap()[0];
        let router = Router::new()
            .route(
                "/panics",
                get(async || -> &'static str { panic!("on purpose") }),
            )
            .route("/answers", get(async || "well"));
        listeners.serve(&app, &router);
        for (path, status) in [("/panics", "500"), ("/answers", "200")] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer.split(' ').nth(1), Some(status), "{answer}");
        }
        app.closing.give();
    }
}
