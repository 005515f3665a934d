//! What results look like, for other programs.

use serde_json::Value;

use crate::store::Entry;

/// The JSON Schema of an entry of `journal.jsonl`: what follows the checksum and the blank of each line.
///
/// ```
/// let schema = llem::results::schema();
/// assert!(schema["$defs"]["Record"]["properties"]["outcome"].is_object());
/// ```
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Entry);
    schema.insert("title".to_owned(), "An entry of a results journal of llem".into());
    schema.insert(
        "description".to_owned(),
        "One line of `journal.jsonl` without its checksum of 16 hexadecimal digits and the blank after it. The first entry \
         is the header, whose `format` is the version; a later record of a trial replaces an earlier one. Absent figures \
         are null with a reason. Readers must ignore properties that they do not know."
            .into(),
    );
    schema.to_value()
}
