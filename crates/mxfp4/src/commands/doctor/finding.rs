//! What a check says.

/// What state a thing is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Ok,
    /// Something works, and not as it should; or will have to be made first.
    Warning,
    /// What needs it cannot work.
    Failing,
    /// It plays no part here.
    NotApplicable,
}

impl State {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failing => "failing",
            Self::NotApplicable => "not-applicable",
        }
    }
}

/// What was found, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The state.
    pub state: State,
    /// What there is.
    pub found: String,
    /// What to do; always there where something is wrong.
    pub fix: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(found: impl Into<String>) -> Self {
        Self {
            state: State::Ok,
            found: found.into(),
            fix: None,
        }
    }

    /// It plays no part, for this reason.
    pub fn not_applicable(reason: impl Into<String>) -> Self {
        Self {
            state: State::NotApplicable,
            found: reason.into(),
            fix: None,
        }
    }

    /// It could be better.
    pub fn warning(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            state: State::Warning,
            found: found.into(),
            fix: Some(fix.into()),
        }
    }

    /// It must be otherwise.
    pub fn failing(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            state: State::Failing,
            ..Self::warning(found, fix)
        }
    }

    /// It must be otherwise, as an error of the environment has it. `fix` stands in for a hint that it does not give.
    pub fn refused(error: &mxfp4_env::Error, fix: &str) -> Self {
        Self::failing(error.to_string(), error.hint().unwrap_or(fix))
    }

    /// The same, as no more than a warning.
    pub fn into_warning(mut self) -> Self {
        if self.state == State::Failing {
            self.state = State::Warning;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_may_be_no_more_than_a_warning() {
        let finding = Finding::refused(&mxfp4_env::Error::Record("X"), "else");
        assert_eq!(
            finding.fix.as_deref(),
            Some("unset it, or start a new shell")
        );
        let finding = Finding::refused(&mxfp4_env::Error::Config("it is broken".into()), "mend it");
        assert_eq!(finding, Finding::failing("it is broken", "mend it"));
        assert_eq!(finding.into_warning().state, State::Warning);
        assert_eq!(Finding::ok("x").into_warning(), Finding::ok("x"));
    }
}
