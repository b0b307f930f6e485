//! One connection, and each request on it.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Method, Version, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::ServiceExt;

use super::activity::{Activity, Busy};
use super::followed::Followed;
use super::socket::Socket;
use crate::api_error::ApiError;
use crate::app::App;
use crate::record::Record;
use crate::request_id::{REQUEST_ID, request_id};
use crate::route::Route;

/// How long connections get to write what they have when the server closes.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Serves a connection to its end.
pub(super) async fn serve(app: Arc<App>, router: Router, stream: TcpStream) {
    // An event is to leave at once.
    let _ = stream.set_nodelay(true);
    let activity = Arc::new(Activity::default());
    let limits = &app.config.limits;
    let socket = Socket::new(stream, activity.clone(), limits.clone());
    let service = service_fn(|request| {
        let busy = activity.begin();
        answer(app.clone(), router.clone(), request, busy)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // The socket is stricter. With it hyper polls for the next head as soon as an
        // answer has ended, which starts the socket's timer.
        .header_read_timeout(limits.idle_time + limits.head_time)
        .max_headers(limits.headers)
        .max_header_size(limits.head)
        .max_buf_size(limits.head.max(16 << 10))
        // An event is small: a copy costs less than a list of slices.
        .writev(false)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = pin!(connection);
    let mut closing = app.closing.waiting();
    let served = poll_fn(|context| match connection.as_mut().poll(context) {
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
        Poll::Pending => closing.poll(context).map(|()| None),
    });
    let ended = match served.await {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            match timeout(LAST_WORDS, connection).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended: {error}");
    }
}

async fn answer(
    app: Arc<App>,
    router: Router,
    request: hyper::Request<Incoming>,
    busy: Busy,
) -> Result<Response, Infallible> {
    let route = Route::of(request.uri().path());
    let method = request.method().clone();
    let is_head = method == Method::HEAD;
    let id = request_id(request.headers(), &app.ids);
    let mut record = Record::new(app.metrics.clone(), route, method, id);
    if !route.watches() {
        record.counts_as(app.requests.token());
    }
    let record = Arc::new(record);
    let mut response = match check_host(&request) {
        Ok(()) => route_request(router, request.map(Body::new), &record).await,
        Err(error) => error.into_response(),
    };
    record.status(response.status().as_u16());
    if is_head {
        record.whole();
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, record.id().clone());
    if app.is_draining() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| Body::new(Followed::new(body, record, busy))))
}

/// Refuses what servers in a row might take for different hosts' (RFC 9112, 3.2).
fn check_host<B>(request: &hyper::Request<B>) -> Result<(), ApiError> {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if request.version() == Version::HTTP_11 && hosts != 1 {
        let message = format!("a request has one `host` header, and this has {hosts}");
        return Err(ApiError::invalid(message));
    }
    Ok(())
}

async fn route_request(
    router: Router,
    mut request: hyper::Request<Body>,
    record: &Arc<Record>,
) -> Response {
    request.extensions_mut().insert(record.clone());
    let answered = AssertUnwindSafe(router.oneshot(request)).catch_unwind();
    match answered.await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => {
            tracing::error!(id = ?record.id(), "a request's handler panicked");
            ApiError::internal("the server failed at this request").into_response()
        }
    }
}
