use mxfp4_env::Layout;

use super::facts::Facts;
use super::finding::Finding;
use super::goal::Goal;

/// One thing to look at.
pub struct Check {
    /// Its name, which stays the same.
    pub id: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// What cannot work where it fails.
    pub needed_by: fn(Layout) -> &'static [Goal],
    /// Looks.
    pub look: fn(&Facts) -> anyhow::Result<Finding>,
}
