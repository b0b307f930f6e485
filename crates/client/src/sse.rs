//! Server-sent events, as they come.

use memchr::memchr;

/// Finds the data of events in bytes that come in pieces of any size. It looks at lines: a server of OpenAI's interface
/// writes the data of an event into one.
#[derive(Default)]
pub struct Events {
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
}

impl Events {
    /// Takes what came and hands on the data of each event that is whole now. Stops at the first error.
    pub fn push<E>(
        &mut self,
        mut bytes: &[u8],
        found: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(end) = memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if self.begun.is_empty() {
                data(line).map_or(Ok(()), &mut *found)?;
                continue;
            }
            self.begun.extend_from_slice(line);
            let line = std::mem::take(&mut self.begun);
            data(&line).map_or(Ok(()), &mut *found)?;
        }
        self.begun.extend_from_slice(bytes);
        Ok(())
    }
}

/// What a line holds, if it holds data.
fn data(line: &[u8]) -> Option<&[u8]> {
    let data = line.strip_prefix(b"data:")?;
    let data = data.strip_prefix(b" ").unwrap_or(data);
    Some(data.strip_suffix(b"\r").unwrap_or(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b": a comment\n\ndata: one\n\nevent: x\ndata:two\r\n\r\ndata: \n\ndata: data: 3\nid: 7\n\ndata: cut";

    fn read(pieces: &[&[u8]]) -> Vec<String> {
        let (mut events, mut found) = (Events::default(), Vec::new());
        for piece in pieces {
            let read: Result<(), ()> = events.push(piece, &mut |data| {
                found.push(String::from_utf8_lossy(data).into_owned());
                Ok(())
            });
            read.unwrap();
        }
        found
    }

    #[test]
    fn events_are_the_same_wherever_they_are_cut() {
        let whole = ["one", "two", "", "data: 3"];
        assert_eq!(read(&[STREAM]), whole);
        let bytes: Vec<&[u8]> = STREAM.chunks(1).collect();
        assert_eq!(read(&bytes), whole);
        for first in 0..STREAM.len() {
            for second in first..STREAM.len() {
                let (head, rest) = STREAM.split_at(first);
                let (middle, tail) = rest.split_at(second - first);
                assert_eq!(read(&[head, middle, tail]), whole, "{first} {second}");
            }
        }
    }

    #[test]
    fn an_error_ends_it() {
        let mut seen = 0;
        let stopped = Events::default().push(STREAM, &mut |_| {
            seen += 1;
            Err("no")
        });
        assert_eq!((stopped, seen), (Err("no"), 1));
    }
}
