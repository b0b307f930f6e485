//! `mxfp4 build`

mod args;
mod once;
mod watch;

pub use self::args::Args;
use self::once::build;
use crate::context::Context;
use crate::exit::{Exit, Failure};

/// Runs the command.
pub fn run(context: Context, args: Args) -> anyhow::Result<i32> {
    if args.watch {
        return watch::run(context, &args);
    }
    if args.tests.is_given() {
        let message =
            "which tests are run, and how, is for --watch or `mxfp4 test`: a plain build runs none";
        return Err(Failure::new(Exit::Usage, message).into());
    }
    build(&context, &args.build, args.no_setup)?;
    Ok(0)
}
