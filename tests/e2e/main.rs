//! End-to-end tests of the `llem` command.

mod architecture;
mod cli;
mod documents;
mod failure;
mod params;
mod quickstart;
mod resume;
