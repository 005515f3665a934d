//! Bindings generated from the WIT package `llem:backend`. Nothing here is written by hand.

wasmtime::component::bindgen!({
    path: "wit",
    world: "backend",
    exports: { default: async },
});
