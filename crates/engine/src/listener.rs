//! Where the engine connects.

use crate::engine::Engine;
use crate::error::{BindError, StartError};
use crate::frame::{self, FrameError, FrameReader};
use crate::hello::{Hello, PROTOCOL};
use crate::link::Lifeline;
use crate::wire::{FromEngine, ToEngine};
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};

/// The environment variable that gives the socket's path to the engine.
pub const VARIABLE: &str = "MXFP4_ENGINE_SOCKET";

/// A socket that waits for an engine, in a folder of its own that only this user may
/// enter. The folder is removed when this is dropped.
#[derive(Debug)]
pub struct EngineListener {
    listener: UnixListener,
    place: Place,
    own: u32,
}

/// The folder with the socket.
#[derive(Debug)]
struct Place {
    folder: PathBuf,
    socket: PathBuf,
}

impl EngineListener {
    /// Listens in a new folder in `parent`, for which the system's temporary folder
    /// will do: a socket's path may have 107 bytes.
    ///
    /// # Errors
    ///
    /// Where the folder or the socket cannot be made.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn bind(parent: &Path) -> Result<Self, BindError> {
        let place = Place::make(parent).map_err(|source| BindError::Folder {
            parent: parent.to_owned(),
            source,
        })?;
        let bound = UnixListener::bind(&place.socket).and_then(|listener| {
            fs::set_permissions(&place.socket, Permissions::from_mode(0o600))?;
            Ok((listener, fs::metadata(&place.folder)?.uid()))
        });
        match bound {
            Ok((listener, own)) => Ok(Self {
                listener,
                place,
                own,
            }),
            Err(source) => Err(BindError::Socket {
                path: place.socket.clone(),
                source,
            }),
        }
    }

    /// The socket's path: the value of [`VARIABLE`].
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.place.socket
    }

    /// Waits until the engine is ready for requests, which takes as long as its model
    /// takes to load. The caller ends the wait where the engine's process ends before
    /// it connects at all.
    ///
    /// # Errors
    ///
    /// Where the engine speaks another version, or ends.
    pub async fn engine(self) -> Result<Engine, StartError> {
        let mut lifeline = self.lifeline().await?;
        // Nothing more comes on it but its end.
        let (hello, reader, writer) = tokio::select! {
            connected = self.hello() => connected?,
            end = lifeline.0.next::<FromEngine>() => return Err(started(end)),
        };
        Ok(Engine::new(hello, reader, writer, lifeline))
    }

    async fn lifeline(&self) -> Result<Lifeline, StartError> {
        let (mut reader, mut writer) = self.accept().await?;
        let FromEngine::Lifeline { protocol } = first(&mut reader).await? else {
            return Err(StartError::Frame("no lifeline came first".into()));
        };
        // The engine tells of another version, too.
        let mut welcome = Vec::new();
        frame::write(&mut welcome, &ToEngine::Welcome { protocol: PROTOCOL })
            .expect("a short message");
        writer.write_all(&welcome).await?;
        same(protocol)?;
        Ok((reader, writer))
    }

    async fn hello(
        &self,
    ) -> Result<(Hello, FrameReader<OwnedReadHalf>, OwnedWriteHalf), StartError> {
        let (mut reader, writer) = self.accept().await?;
        match first(&mut reader).await? {
            FromEngine::Hello(hello) => {
                same(hello.protocol)?;
                Ok((hello, reader, writer))
            }
            _ => Err(StartError::Frame("no hello came first".into())),
        }
    }

    /// Waits for a connection of this user's.
    async fn accept(&self) -> Result<(FrameReader<OwnedReadHalf>, OwnedWriteHalf), StartError> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            if self.is_own(&stream)? {
                let (reader, writer) = stream.into_split();
                return Ok((FrameReader::new(reader), writer));
            }
        }
    }

    fn is_own(&self, stream: &UnixStream) -> io::Result<bool> {
        let peer = stream.peer_cred()?.uid();
        if peer != self.own {
            tracing::warn!(
                "refused a process of another user (uid {peer}, not {}) at the engine's socket",
                self.own
            );
        }
        Ok(peer == self.own)
    }
}

async fn first(reader: &mut FrameReader<OwnedReadHalf>) -> Result<FromEngine, StartError> {
    reader.next().await.map_err(|error| match error {
        FrameError::Ended => StartError::Ended,
        FrameError::Socket(error) => StartError::Socket(error),
        error => StartError::Frame(error.to_string()),
    })
}

fn started(end: Result<FromEngine, FrameError>) -> StartError {
    match end {
        Ok(_) => StartError::Frame("a message on the lifeline".into()),
        Err(FrameError::Ended | FrameError::Socket(_)) => StartError::Ended,
        Err(error) => StartError::Frame(error.to_string()),
    }
}

fn same(protocol: u32) -> Result<(), StartError> {
    if protocol == PROTOCOL {
        return Ok(());
    }
    Err(StartError::Protocol {
        theirs: protocol,
        ours: PROTOCOL,
    })
}

impl Place {
    fn make(parent: &Path) -> io::Result<Self> {
        loop {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let nanoseconds = now.map_or(0, |now| now.subsec_nanos());
            let name = format!("mxfp4-{}-{nanoseconds:x}", std::process::id());
            let folder = parent.join(name);
            match DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => {
                    let socket = folder.join("engine");
                    return Ok(Self { folder, socket });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed stays in a temporary folder.
        let _ = fs::remove_file(&self.socket);
        let _ = fs::remove_dir(&self.folder);
    }
}
