use crate::report::Case;

/// Where a run shows how it goes, as it goes: it is told each thing when it happens.
pub trait Screen: Sync {
    /// Whether everything is shown that the tests print.
    fn is_verbose(&self) -> bool;
    /// Whether several tasks may show something at once.
    fn is_shared(&self) -> bool;
    /// Prints lines for a person, which stay together.
    fn line(&self, text: &str);
    /// Says what the user should know of the run itself.
    fn warning(&self, text: &str);
    /// A line for what a task is at, where there may be several.
    fn row(&self) -> Option<Box<dyn Row + '_>>;
    /// Shows how far the run is, and what runs where that is one task.
    fn head(&self, counts: &str, what: &str);
    /// Shows how a test ended, after what `before` has of it.
    fn ended(&self, case: &Case, before: &str);
    /// Shows that a test failed and is tried again, after what `before` has of it.
    fn retry(&self, case: &Case, before: &str);
}

/// The line of one of several tasks, until it is dropped.
pub trait Row {
    /// Shows what the task is at from now on.
    fn running(&self, what: &str);
}
