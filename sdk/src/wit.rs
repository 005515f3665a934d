//! Bindings generated from the WIT package `llem:backend`. Nothing here is written by hand.
#![expect(
    missing_docs,
    clippy::same_length_and_capacity,
    reason = "generated; the WIT documents its items"
)]

wit_bindgen::generate!({
    path: "../wit",
    world: "backend",
    pub_export_macro: true,
    export_macro_name: "export",
    default_bindings_module: "llem_sdk::wit",
    additional_derives: [PartialEq],
});
