//! What a server that does not answer means, and what to do.

use hyper::StatusCode;

use crate::exit::{Exit, Failure};
use crate::ui::visible::visible_lines;
use mxfp4_client::{Lost, Url};

/// The error for one who asked the server at `url`.
pub fn failure(lost: &Lost, url: &Url) -> Failure {
    let (exit, message) = told(lost, url);
    // A part of it is the server's.
    Failure::new(exit, visible_lines(&message))
}

fn told(lost: &Lost, url: &Url) -> (Exit, String) {
    let (status, message, retry_after) = match lost {
        Lost::Connection(why) => {
            let message = format!(
                "no server answers on {url}: {why}\nstart one with `mxfp4 serve --model openai/gpt-oss-20b`, name another \
                 with --url, or have `mxfp4 chat --model M` start one for this chat"
            );
            return (Exit::Precondition, message);
        }
        Lost::Refused {
            status,
            message,
            retry_after,
        } => (*status, message.as_deref(), *retry_after),
    };
    let says = match message {
        Some(message) => format!("{status}: {message}"),
        None => status.to_string(),
    };
    let again = match retry_after {
        Some(1) => "send it again in 1 second".to_owned(),
        Some(seconds) => format!("send it again in {seconds} seconds"),
        None => "send it again later".to_owned(),
    };
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => (
            Exit::Precondition,
            format!("{url} wants another key ({says})\ngive it with MXFP4_API_KEY or --api-key"),
        ),
        StatusCode::TOO_MANY_REQUESTS => (
            Exit::Failed,
            format!("{url} has as much to do as it takes ({says})\n{again}"),
        ),
        StatusCode::SERVICE_UNAVAILABLE => (
            Exit::Precondition,
            format!(
                "{url} cannot answer now ({says})\n{again}; `mxfp4 serve --wait` returns once it is ready"
            ),
        ),
        StatusCode::NOT_FOUND => (
            Exit::Precondition,
            format!(
                "{url} does not have what was asked for ({says})\ncheck the address, and the model"
            ),
        ),
        _ => (Exit::Failed, format!("{url} refuses: {says}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_what_to_do() {
        let url: Url = "http://h:1".parse().unwrap();
        let refused = |status: u16, retry_after| Lost::Refused {
            status: StatusCode::from_u16(status).unwrap(),
            message: Some("why".into()),
            retry_after,
        };
        for (lost, exit, said) in [
            (
                Lost::Connection("refused".into()),
                Exit::Precondition,
                "mxfp4 serve --model",
            ),
            (refused(401, None), Exit::Precondition, "MXFP4_API_KEY"),
            (refused(429, Some(7)), Exit::Failed, "again in 7 seconds"),
            (refused(503, None), Exit::Precondition, "--wait"),
            (refused(404, None), Exit::Precondition, "address"),
            (refused(400, None), Exit::Failed, "why"),
        ] {
            let (found, message) = told(&lost, &url);
            assert_eq!(found, exit, "{message}");
            assert!(
                message.contains(said) && message.contains("http://h:1"),
                "{message}"
            );
        }
    }
}
