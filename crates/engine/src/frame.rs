//! Frames on the socket: four bytes of length, little endian, and a message.

use bytes::{Buf, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The most bytes that a message may have, either way.
pub const MAX_FRAME: usize = 16 << 20;

/// Bytes that say how long a message is.
const LENGTH: usize = 4;

/// Bytes that are asked of the socket at a time.
const READ: usize = 64 << 10;

/// A frame that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream ended, between frames or within one.
    #[error("the connection ended")]
    Ended,
    /// The stream failed.
    #[error("the connection failed: {0}")]
    Socket(#[from] io::Error),
    /// The frame is longer than [`MAX_FRAME`].
    #[error("a frame of {0} bytes, where {MAX_FRAME} are allowed")]
    TooLong(usize),
    /// The message is not one that is known.
    #[error("a frame that is no message of this protocol: {0}")]
    Message(#[from] rmp_serde::decode::Error),
}

/// Reads messages from a stream.
pub struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
    /// Bytes of the frame that was handed out last.
    used: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads from `stream`, which is at the beginning of a frame.
    pub fn new(stream: R) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            used: 0,
        }
    }

    /// Waits for the next message. Dropping this future loses nothing.
    pub async fn next<M: DeserializeOwned>(&mut self) -> Result<M, FrameError> {
        let message = self.bytes().await?;
        Ok(rmp_serde::from_slice(message)?)
    }

    async fn bytes(&mut self) -> Result<&[u8], FrameError> {
        self.buffer.advance(std::mem::take(&mut self.used));
        let length = loop {
            if let Some(head) = self.buffer.first_chunk::<LENGTH>() {
                let length = u32::from_le_bytes(*head) as usize;
                if length > MAX_FRAME {
                    return Err(FrameError::TooLong(length));
                }
                if self.buffer.len() >= LENGTH + length {
                    break length;
                }
                self.buffer.reserve(LENGTH + length - self.buffer.len());
            }
            self.buffer.reserve(READ);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(FrameError::Ended);
            }
        };
        self.used = LENGTH + length;
        Ok(&self.buffer[LENGTH..LENGTH + length])
    }
}

/// Appends a message's frame to `buffer`; leaves that as it was where the frame would
/// be too long.
pub fn write<M: Serialize>(buffer: &mut Vec<u8>, message: &M) -> Result<(), FrameError> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; LENGTH]);
    rmp_serde::encode::write_named(buffer, message).expect("a message of ours is msgpack");
    let length = buffer.len() - start - LENGTH;
    if length > MAX_FRAME {
        buffer.truncate(start);
        return Err(FrameError::TooLong(length));
    }
    let head = u32::try_from(length).expect("less than the limit");
    buffer[start..start + LENGTH].copy_from_slice(&head.to_le_bytes());
    Ok(())
}
