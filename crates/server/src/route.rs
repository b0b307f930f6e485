//! What requests are counted by.

/// What requests are counted by: the paths that are known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Route {
    Chat,
    Completions,
    Messages,
    CountTokens,
    Responses,
    /// One that is kept.
    Response,
    Models,
    Tokenize,
    Detokenize,
    Version,
    Health,
    Live,
    Metrics,
    Page,
    /// Any other path.
    Other,
}

impl Route {
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/v1/chat/completions" => Self::Chat,
            "/v1/completions" => Self::Completions,
            "/v1/messages" => Self::Messages,
            "/v1/messages/count_tokens" => Self::CountTokens,
            "/v1/responses" => Self::Responses,
            "/v1/models" => Self::Models,
            "/tokenize" => Self::Tokenize,
            "/detokenize" => Self::Detokenize,
            "/version" => Self::Version,
            "/health" => Self::Health,
            "/live" => Self::Live,
            "/metrics" => Self::Metrics,
            "/" => Self::Page,
            _ if path.starts_with("/v1/models/") => Self::Models,
            _ if path.starts_with("/v1/responses/") => Self::Response,
            _ => Self::Other,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Messages => "/v1/messages",
            Self::CountTokens => "/v1/messages/count_tokens",
            Self::Responses => "/v1/responses",
            Self::Response => "/v1/responses/ID",
            Self::Models => "/v1/models",
            Self::Tokenize => "/tokenize",
            Self::Detokenize => "/detokenize",
            Self::Version => "/version",
            Self::Health => "/health",
            Self::Live => "/live",
            Self::Metrics => "/metrics",
            Self::Page => "/",
            Self::Other => "other",
        }
    }

    /// Whether it makes work that a key's limits count.
    pub(crate) fn asks(self) -> bool {
        matches!(
            self,
            Self::Chat
                | Self::Completions
                | Self::Messages
                | Self::CountTokens
                | Self::Responses
                | Self::Tokenize
                | Self::Detokenize
        )
    }

    /// Whether it is asked often by machines that watch, and says little.
    pub(crate) fn watches(self) -> bool {
        matches!(self, Self::Health | Self::Live | Self::Metrics)
    }
}
