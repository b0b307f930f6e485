//! Whole checkpoints are found whole, and broken ones are refused with what is wrong and what to do.

mod broken;
mod header;
mod scales;
mod whole;
