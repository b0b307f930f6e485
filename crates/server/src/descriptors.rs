//! How many files, and so connections, this process may have open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What a process needs beside its connections.
const OTHERS: usize = 64;

/// Raises the soft limit of open files, as far as the hard one lets it, for so many
/// connections. Returns for how many it is enough: where files run out, connections that
/// were accepted by the system would wait for a word that nobody can send.
pub(crate) fn room_for(connections: usize) -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return connections;
    };
    let wanted = (connections + OTHERS) as u64;
    let mut limit = soft;
    if soft < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard).is_ok() {
        limit = wanted.min(hard);
    }
    if limit >= wanted {
        return connections;
    }
    let room = usize::try_from(limit).unwrap_or(usize::MAX) - OTHERS.min(limit as usize);
    tracing::warn!(
        "at most {room} clients can be connected: this process may open {limit} files (ulimit -n)"
    );
    room.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hard_limit_is_the_most() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(room_for(16), 16);
        if let Some(more) = usize::try_from(hard)
            .ok()
            .and_then(|hard| hard.checked_add(1000))
        {
            assert_eq!(room_for(more), more - 1000 - OTHERS);
        }
    }
}
