//! The parameter space, checked and turned into a table while the plugin is built.

fn main() {
    llem_sdk::build::table("parameters.toml");
}
