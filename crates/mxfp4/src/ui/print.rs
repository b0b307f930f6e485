//! `println!` and `eprintln!` that do not panic.
//!
//! The standard ones do when nobody reads any more, which is nothing to die of
//! in the middle of a test run: `mxfp4 test | head` still ends with the result
//! of the tests. What a command is asked for (paths, shell code) is written with
//! `?` instead, so that a full disk is an error.

macro_rules! println {
    ($($arg:tt)*) => {{
        use ::std::io::Write as _;
        let _ = ::std::writeln!(::std::io::stdout(), $($arg)*);
    }};
}

macro_rules! eprintln {
    ($($arg:tt)*) => {{
        use ::std::io::Write as _;
        let _ = ::std::writeln!(::std::io::stderr(), $($arg)*);
    }};
}
