//! What every route of the model begins with.

use std::sync::Arc;

use axum::extract::Request;

use crate::api_error::ApiError;
use crate::app::App;
use crate::body::{Body, throw_away};
use crate::serving::Serving;

/// The model, and a request's body.
pub(super) async fn read(
    app: &Arc<App>,
    request: Request,
) -> Result<(Arc<Serving>, Body), ApiError> {
    match app.serving() {
        Ok(serving) => Ok((serving, Body::read(app, request).await?)),
        Err(error) => {
            throw_away(request).await;
            Err(error)
        }
    }
}
