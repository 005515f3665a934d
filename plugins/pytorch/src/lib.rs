//! TODO adapter.
