//! What a server that does not answer means, and what to do.

use hyper::StatusCode;

use crate::exit::{Exit, Failure};
use mxfp4_client::{Lost, Url};
use mxfp4_toolchain::visible::visible_lines;

/// The error for one who asked the server at `url`.
pub fn failure(lost: &Lost, url: &Url) -> Failure {
    let (exit, message, hint) = told(lost, url);
    // A part of it is the server's.
    let failure = Failure::new(exit, visible_lines(&message));
    match hint {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

fn told(lost: &Lost, url: &Url) -> (Exit, String, Option<String>) {
    let (status, message, retry_after) = match lost {
        Lost::Connection(why) => {
            let hint = "start one with `mxfp4 serve --model openai/gpt-oss-20b`, name another with --url, or have `mxfp4 \
                        chat --model M` start one for this chat";
            let message = format!("no server answers on {url}: {why}");
            return (Exit::Precondition, message, Some(hint.into()));
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
    let (exit, what, hint) = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => (
            Exit::Precondition,
            "wants another key",
            "give it with MXFP4_API_KEY or --api-key".to_owned(),
        ),
        StatusCode::TOO_MANY_REQUESTS => (Exit::Failed, "has as much to do as it takes", again),
        StatusCode::SERVICE_UNAVAILABLE => (
            Exit::Precondition,
            "cannot answer now",
            format!("{again}, once {url}/health answers 200"),
        ),
        StatusCode::NOT_FOUND => (
            Exit::Precondition,
            "does not have what was asked for",
            "check the address, and the model".to_owned(),
        ),
        _ => return (Exit::Failed, format!("{url} refuses: {says}"), None),
    };
    (exit, format!("{url} {what} ({says})"), Some(hint))
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
            (refused(503, None), Exit::Precondition, "/health"),
            (refused(404, None), Exit::Precondition, "address"),
            (refused(400, None), Exit::Failed, "why"),
        ] {
            let error = anyhow::Error::from(failure(&lost, &url));
            let message = crate::ui::error::message(&error);
            assert_eq!(crate::exit::of(&error), exit, "{message}");
            assert!(
                message.contains(said) && message.contains("http://h:1"),
                "{message}"
            );
        }
    }
}
