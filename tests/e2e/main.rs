//! End-to-end tests of the `llem` command.
