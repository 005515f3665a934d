//! What fuzz targets reach of the conversion of values.

use llem_core::backend::Value;

use crate::{bindings::llem::backend::types as guest, convert};

/// Converts a setting made of these bytes as a plugin could send it, and back.
///
/// # Panics
///
/// Where an accepted value does not come back as it went.
pub fn values(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let (path, text) = rest.split_at(rest.len().min(usize::from(*kind >> 3)));
    let (path, text) = (String::from_utf8_lossy(path), String::from_utf8_lossy(text).into_owned());
    let number = rest.first_chunk::<8>().copied().unwrap_or_default();
    let value = match kind & 7 {
        0 => guest::Value::Null,
        1 => guest::Value::Boolean(rest.len() % 2 == 0),
        2 => guest::Value::Integer(i64::from_le_bytes(number)),
        3 => guest::Value::Number(f64::from_le_bytes(number)),
        4 => guest::Value::Text(text),
        _ => guest::Value::Json(text),
    };
    let setting = guest::Setting { path: path.into_owned(), value };
    let Ok(config) = convert::config(vec![setting.clone(), setting.clone()]) else {
        // Twice the same is never accepted; once may be.
        if let Ok(once) = convert::config(vec![setting]) {
            let again = convert::config(convert::to_config(&once)).expect("it was accepted before");
            assert!(once.values().all(is_finite));
            assert_eq!(once, again);
        }
        return;
    };
    panic!("accepted twice: {config:?}");
}

fn is_finite(value: &Value) -> bool {
    !matches!(value, Value::Number(number) if !number.is_finite())
}
