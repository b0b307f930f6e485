//! Metrics as an engine serves them, of which the page shows the KV cache.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const TEXT: &str = "# TYPE maxserve_cache_num_used_blocks gauge\n\
    maxserve_cache_num_used_blocks{replica=\"0\"} 1536.0\n\
    # TYPE maxserve_cache_num_total_blocks gauge\n\
    maxserve_cache_num_total_blocks{replica=\"0\"} 4096.0\n";

/// Serves them in a task, and says where.
pub async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 512];
            let _ = stream.read(&mut head).await;
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{TEXT}",
                TEXT.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}
