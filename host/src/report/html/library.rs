//! The chart library, as it lies packed in the repository.

use miniz_oxide::inflate::decompress_to_vec;

/// Vega, Vega-Lite and Vega-Embed.
pub(super) fn script() -> String {
    unpacked(include_bytes!("../../../assets/report/vega.js.deflate"))
}

/// The licences of everything in them.
pub(super) fn licences() -> String {
    unpacked(include_bytes!("../../../assets/report/licences.txt.deflate"))
}

fn unpacked(packed: &[u8]) -> String {
    let bytes = decompress_to_vec(packed).expect("the packed file is part of this program");
    String::from_utf8(bytes).expect("the packed file is text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_can_stand_in_a_script_element_and_has_its_licences() {
        let script = script();
        assert!(script.len() > 500_000);
        for never in ["</script", "<!--"] {
            assert!(!script.to_lowercase().contains(never), "{never}");
        }
        let licences = licences();
        for name in ["vega", "vega-lite", "vega-embed", "d3-scale"] {
            assert!(licences.contains(name), "{name}");
        }
    }
}
