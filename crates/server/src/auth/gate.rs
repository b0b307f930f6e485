//! What stands before all routes: a key, and what it may take.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::rate_headers;
use crate::api_error::ApiError;
use crate::app::App;
use crate::body::throw_away;
use crate::record::Record;
use crate::route::Route;

/// Whether a request for the page has a right key, or needs none. The page says itself what
/// it lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MayEnter(pub(crate) bool);

/// Lets requests with a right key through, as far as it may take more. The body of one that
/// has none is not read.
pub(crate) async fn gate(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let route = Route::of(request.uri().path());
    if is_open(&app, route) {
        return next.run(request).await;
    }
    let key = app.config.keys.check(request.headers());
    if is_page(&request) {
        request.extensions_mut().insert(MayEnter(key.is_ok()));
        return next.run(request).await;
    }
    let key = match key {
        Ok(key) => key,
        Err(error) => return refuse(error, request).await,
    };
    let record = request.extensions().get::<Arc<Record>>().cloned();
    let Some(record) = record else {
        return ApiError::internal("the server lost track of this request").into_response();
    };
    record.has_key(key.clone());
    if !route.asks() {
        return next.run(request).await;
    }
    let mut response = match key.meter.begin() {
        Ok(permit) => {
            record.permitted(permit);
            next.run(request).await
        }
        Err(refused) => refuse(refused.into(), request).await,
    };
    rate_headers::write(response.headers_mut(), &key.meter);
    response
}

async fn refuse(error: ApiError, request: Request) -> Response {
    throw_away(request).await;
    error.into_response()
}

/// Whether a route answers anyone.
fn is_open(app: &App, route: Route) -> bool {
    match route {
        Route::Health | Route::Live => true,
        Route::Metrics => app.config.metrics_without_key,
        _ => false,
    }
}

/// Whether the page answers. Where there is none, `/` is a path like any other.
fn is_page(request: &Request) -> bool {
    let is_read = [Method::GET, Method::HEAD].contains(request.method());
    let route = request.extensions().get::<MatchedPath>();
    is_read && route.is_some_and(|route| route.as_str() == "/")
}
