//! Certificates that are renewed while a server runs.

use std::sync::Arc;
use std::time::Duration;

use super::certificate::Tls;
use crate::app::App;

/// How often the files are looked at.
const PAUSE: Duration = Duration::from_secs(2);

/// Reads a certificate again whenever its files change, until the server closes.
pub(crate) async fn renew(app: Arc<App>, tls: Tls) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = app.closing.given() => return,
        }
        // Files may lie on a disk that is far away.
        let looked = tls.clone();
        let renewed = tokio::task::spawn_blocking(move || {
            if looked.has_changed() {
                read(&looked);
            }
        });
        let _ = renewed.await;
    }
}

/// Reads it, and says what came of it.
pub(crate) fn read(tls: &Tls) {
    match tls.reload() {
        Ok(file) => tracing::info!("{}: the certificate was read again", file.display()),
        Err(error) => tracing::warn!("{error}; the certificate stays as it was"),
    }
}
