//! Development tasks that need more than cargo.

fn main() {}
