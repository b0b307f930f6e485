//! Runs a workspace's Mojo and Python tests, side by side, and reports each as it ends to a
//! [`Screen`].

mod batch;
mod events;
mod filter;
mod jobs;
pub mod junit;
mod mojo;
mod python;
mod report;
mod reporter;
mod run;
mod schedule;
mod screen;
mod suggestion;

pub use filter::Filter;
pub use report::{Again, Case, Language, Report, Verdict};
pub use run::{Interrupted, Listed, Settings, TestRun};
pub use schedule::{list, run};
pub use screen::{Row, Screen};
pub use suggestion::suggestion;
