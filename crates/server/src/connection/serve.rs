//! One connection, and each request on it.

use std::convert::Infallible;
use std::future::poll_fn;
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
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tower::ServiceExt;

use super::activity::{Activity, Busy};
use super::followed::Followed;
use super::protocol::Protocol;
use super::socket::Socket;
use super::streams::Streams;
use crate::api_error::ApiError;
use crate::app::App;
use crate::config::Limits;
use crate::messages;
use crate::record::Record;
use crate::request_id::{REQUEST_ID, request_id};
use crate::route::Route;

/// How long connections get to write what they have when the server closes.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How often a client of HTTP/2 is asked whether it is there, and how long it may take to
/// answer.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(20);
/// Bytes of an answer that wait for a client of HTTP/2 to take them.
const SEND_BUFFER: usize = 64 << 10;
/// Requests that a client of HTTP/2 may have reset before they are looked at. With more it is
/// up to no good.
const RESET: usize = 32;

/// Serves a connection to its end.
pub(super) async fn serve<S>(app: Arc<App>, router: Router, stream: S, protocol: Protocol)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::default());
    let limits = &app.config.limits;
    let socket = Socket::new(stream, protocol, activity.clone(), limits.clone());
    let io = TokioIo::new(socket);
    let service = service_fn(|request| {
        let busy = activity.begin();
        answer(app.clone(), router.clone(), request, busy)
    });
    let ended = match protocol {
        Protocol::Http1 => until_end(&app, http1(limits).serve_connection(io, service)).await,
        Protocol::Http2 => until_end(&app, http2(limits).serve_connection(io, service)).await,
    };
    if let Some(Err(error)) = ended {
        tracing::debug!("a connection ended: {error}");
    }
}

fn http1(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // The socket is stricter. With it hyper polls for the next head as soon as an
        // answer has ended, which starts the socket's timer.
        .header_read_timeout(limits.idle_time + limits.head_time)
        .max_headers(limits.headers)
        .max_header_size(limits.head)
        .max_buf_size(limits.head.max(16 << 10))
        // An event is small: a copy costs less than a list of slices.
        .writev(false);
    builder
}

fn http2(limits: &Limits) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(Streams::new(limits.write_time));
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESET);
    builder
}

/// Runs a connection; where the server closes, it gets time to write what it has. None where
/// that is not enough.
async fn until_end<C>(app: &App, connection: C) -> Option<Result<(), C::Error>>
where
    C: GracefulConnection,
{
    let mut connection = pin!(connection);
    let mut closing = app.closing.waiting();
    let served = poll_fn(|context| match connection.as_mut().poll(context) {
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
        Poll::Pending => closing.poll(context).map(|()| None),
    });
    match served.await {
        Some(ended) => Some(ended),
        None => {
            connection.as_mut().graceful_shutdown();
            timeout(LAST_WORDS, connection).await.ok()
        }
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
    let version = request.version();
    let anthropic = messages::are_spoken(&request);
    let checked = check_host(&request).and_then(|()| check_count(&app.config.limits, &request));
    let mut response = match checked {
        Ok(()) => route_request(router, request.map(Body::new), &record).await,
        Err(error) => error.into_response(),
    };
    if anthropic {
        messages::address(&mut response, record.id(), is_head);
    }
    record.status(response.status().as_u16());
    if is_head {
        record.whole();
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, record.id().clone());
    if app.is_draining() && version < Version::HTTP_2 {
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

/// Refuses what HTTP/1.1 refuses as it is read.
fn check_count<B>(limits: &Limits, request: &hyper::Request<B>) -> Result<(), ApiError> {
    match request.headers().len() {
        count if count > limits.headers => Err(ApiError::many_headers(count, limits.headers)),
        _ => Ok(()),
    }
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
