//! Where the lines go that tell of requests: to standard error, to the file that takes MAX's log, or nowhere.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Mutex;

use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

/// What the front end calls its lines.
const TARGET: &str = "mxfp4::access";

/// Where its lines go.
static PLACE: Mutex<Place> = Mutex::new(Place::Stderr);

/// Where lines about requests go.
#[derive(Debug)]
pub enum Place {
    /// To standard error, as all that is said.
    Stderr,
    /// To a file.
    File(File),
    /// Nowhere.
    Nowhere,
}

/// Sends them there from now on.
pub fn goes_to(place: Place) {
    if let Ok(mut current) = PLACE.lock() {
        *current = place;
    }
}

/// Standard error for all lines but those.
pub struct Writer;

/// Where one line goes.
pub enum Line {
    /// To standard error.
    Stderr,
    /// Where requests are told of.
    Access,
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line::Stderr
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line {
        match meta.target() {
            TARGET => Line::Access,
            _ => Line::Stderr,
        }
    }
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // A line is written whole. That it cannot be written is no reason to stop serving.
        let mut place = PLACE.lock();
        match (self, place.as_deref_mut()) {
            (Self::Access, Ok(Place::File(file))) => drop(file.write_all(line)),
            (Self::Access, Ok(Place::Nowhere)) => {}
            _ => drop(io::stderr().write_all(line)),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
