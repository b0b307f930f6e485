//! Finding, in what a server printed before it died, the line that says why.

use std::collections::VecDeque;

/// How many lines are kept.
const KEPT: usize = 400;

/// What to do about an error of MAX, by a piece of its text in lower case.
const REMEDIES: [(&str, &str); 9] = [
    (
        "out of memory",
        "give MAX less to hold with `-- --max-length 8192` or `-- --max-batch-size 16`, or free memory on the GPU",
    ),
    ("already in use", "choose another port with --port"),
    (
        "no module named 'mxfp4",
        "run from a workspace whose python/ folder holds the mxfp4 package",
    ),
    (
        "no module named 'max",
        "the SDK is incomplete: run `mxfp4 setup`",
    ),
    (
        "gated repo",
        "accept the model's licence on its page and set HF_TOKEN, or give --model a local folder",
    ),
    (
        "hf_hub_offline",
        "unset HF_HUB_OFFLINE once to fetch the model, or give --model a local folder",
    ),
    (
        "name resolution",
        "there is no network: give --model a local folder that holds the model",
    ),
    (
        "max retries exceeded",
        "there is no network: give --model a local folder that holds the model",
    ),
    (
        "no such option",
        "the installed MAX does not know a flag given after `--`; `mxfp4 serve -- --help` lists those it knows",
    ),
];

/// The last lines of a server's output.
#[derive(Debug, Default)]
pub struct LogTail(VecDeque<String>);

impl LogTail {
    /// Keeps a line.
    pub fn push(&mut self, line: &str) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(line.to_owned());
    }

    /// The line that says why the server died: the last exception, else the last error logged, else the last line.
    pub fn reason(&self) -> Option<&str> {
        let last = |wanted: fn(&str) -> bool| {
            self.0
                .iter()
                .rev()
                .map(|line| line.trim_end())
                .find(|line| wanted(line))
        };
        last(is_exception)
            .or_else(|| last(is_error))
            .or_else(|| last(|line| !line.is_empty()))
    }

    /// What to do about it, where that is known.
    pub fn remedy(&self) -> Option<&'static str> {
        let reason = self.reason()?.to_lowercase();
        let known = REMEDIES.iter().find(|(text, _)| reason.contains(text));
        known.map(|(_, remedy)| *remedy)
    }
}

/// `ValueError: …`, `package.module.SomeError: …`: at the line's start, as Python prints an uncaught exception.
pub fn is_exception(line: &str) -> bool {
    let Some((class, _)) = line.split_once(": ") else {
        return false;
    };
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let name = class.rsplit('.').next().unwrap_or(class);
    class.chars().all(word)
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && (name.ends_with("Error") || name.ends_with("Exception"))
}

fn is_error(line: &str) -> bool {
    line.contains("ERROR") || line.starts_with("Error: ") || line.starts_with("error: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(text: &str) -> LogTail {
        let mut tail = LogTail::default();
        text.lines().for_each(|line| tail.push(line));
        tail
    }

    #[test]
    fn the_exception_counts_more_than_what_is_logged_after_it() {
        let tail = tail(
            "20:02:23.102 INFO: Starting server...\n\
             Traceback (most recent call last):\n  File \"x.py\", line 1, in run\n\
             ValueError: Device 0 was requested but no devices were found.\n\
             20:02:35.750 ERROR: Worker crashed (1), shutting down...",
        );
        assert_eq!(
            tail.reason(),
            Some("ValueError: Device 0 was requested but no devices were found.")
        );
        assert_eq!(tail.remedy(), None);
    }

    #[test]
    fn an_error_line_counts_more_than_the_last_line() {
        let tail = tail("Usage: max serve [OPTIONS]\n\nError: No such option: --bogus\nbye");
        assert_eq!(tail.reason(), Some("Error: No such option: --bogus"));
        assert!(tail.remedy().unwrap().contains("-- --help"));
    }

    #[test]
    fn without_either_the_last_line_that_says_something_counts() {
        assert_eq!(tail("one\ntwo\n\n").reason(), Some("two"));
        assert_eq!(tail("").reason(), None);
        assert_eq!(tail("").remedy(), None);
    }

    #[test]
    fn an_exception_is_told_from_prose() {
        for (line, expect) in [
            ("torch.cuda.OutOfMemoryError: CUDA out of memory", true),
            ("RuntimeError: MXFP4 experts need the Hopper kernel", true),
            ("20:02 ERROR: ValueError: x", false),
            ("    raise ValueError: x", false),
            ("The Error: x", false),
        ] {
            assert_eq!(is_exception(line), expect, "{line}");
        }
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let mut tail = LogTail::default();
        tail.push("ValueError: long ago");
        for n in 0..KEPT {
            tail.push(&n.to_string());
        }
        assert_eq!(
            tail.reason(),
            Some(KEPT - 1).map(|n| n.to_string()).as_deref()
        );
    }
}
