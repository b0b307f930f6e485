//! The paths of the server.

mod chat;
mod completions;
mod messages;
mod metrics;
mod models;
mod read;
mod respond;
mod responses;
mod state;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use crate::api_error::ApiError;
use crate::app::App;
use crate::auth::gate;
use crate::body::throw_away;
use crate::cors;
use crate::page::page;

/// All paths.
pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    if app.config.page {
        router = router.route("/", get(page));
    }
    let router = router
        .route("/v1/chat/completions", post(chat::chat))
        .route("/v1/completions", post(completions::completions))
        .route("/v1/messages", post(messages::messages))
        .route("/v1/messages/count_tokens", post(messages::count_tokens))
        .route("/v1/responses", post(responses::create))
        .route(
            "/v1/responses/{id}",
            get(responses::retrieve).delete(responses::delete),
        )
        .route("/v1/responses/{id}/cancel", post(responses::cancel))
        .route(
            "/v1/responses/{id}/input_items",
            get(responses::input_items),
        )
        .route("/v1/models", get(models::models))
        .route("/v1/models/{*id}", get(models::model))
        .route("/tokenize", post(tokens::tokenize))
        .route("/detokenize", post(tokens::detokenize))
        .route("/version", get(state::version))
        .route("/health", get(state::health))
        .route("/live", get(state::live))
        .route("/metrics", get(metrics::metrics))
        .fallback(unknown_path)
        .method_not_allowed_fallback(method)
        .layer(from_fn_with_state(app.clone(), gate))
        .with_state(app.clone());
    match app.config.origins.as_slice() {
        [] => router,
        origins => router.layer(cors::layer(origins)),
    }
}

/// The paths of the port for metrics.
pub(crate) fn metrics_router(app: Arc<App>) -> Router {
    Router::new()
        .route("/metrics", get(metrics::metrics))
        .fallback(unknown_path)
        .method_not_allowed_fallback(method)
        .layer(from_fn_with_state(app.clone(), gate))
        .with_state(app)
}

async fn unknown_path(request: Request) -> ApiError {
    let error = ApiError::unknown_path(request.uri().path());
    throw_away(request).await;
    error
}

async fn method(request: Request) -> ApiError {
    let error = ApiError::method(request.method().as_str(), request.uri().path());
    throw_away(request).await;
    error
}
