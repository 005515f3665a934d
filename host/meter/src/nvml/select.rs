//! From a list as `CUDA_VISIBLE_DEVICES` has it to UUIDs, once and for all.
//!
//! Unlike CUDA, which stops silently at the first entry that it does not know, it says what it did not
//! find.

use super::inventory::{Inventory, Node};

/// A GPU that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) node: Node,
    /// The slice that was named, where one was: its energy is the whole GPU's.
    pub(crate) slice: Option<String>,
}

/// The GPUs that a list names, each once, and the entries that name none.
pub(crate) fn select(list: &str, inventory: &Inventory) -> (Vec<Chosen>, Vec<String>) {
    let (mut chosen, mut unknown): (Vec<Chosen>, Vec<String>) = (Vec::new(), Vec::new());
    let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    for entry in entries {
        // CUDA ends the list at -1.
        if entry == "-1" {
            break;
        }
        match find(entry, inventory) {
            Some(found) if !chosen.iter().any(|known| known.node.uuid == found.node.uuid) => {
                chosen.push(found);
            }
            Some(_) => {}
            None => unknown.push(entry.to_owned()),
        }
    }
    (chosen, unknown)
}

fn find(entry: &str, inventory: &Inventory) -> Option<Chosen> {
    let whole = |node: &Node| Chosen { node: node.clone(), slice: None };
    if let Ok(index) = entry.parse::<u32>() {
        return inventory.iter().find(|node| node.index == index).map(whole);
    }
    if entry.starts_with("GPU-") {
        return only(inventory.iter().filter(|node| node.uuid.starts_with(entry)).map(whole));
    }
    let legacy = entry.strip_prefix("MIG-")?;
    if legacy.starts_with("GPU-") {
        // Drivers before 470 name a slice MIG-<UUID of the GPU>/<instance>/<instance>.
        let parent = legacy.split('/').next().unwrap_or(legacy);
        let node = inventory.iter().find(|node| node.uuid == parent)?;
        return Some(Chosen { node: node.clone(), slice: Some(entry.to_owned()) });
    }
    only(inventory.iter().flat_map(|node| {
        let named = node.slices.iter().filter(|slice| slice.starts_with(entry));
        named.map(|slice| Chosen { node: node.clone(), slice: Some(slice.clone()) })
    }))
}

/// The only item, or nothing where a prefix fits several.
fn only(mut items: impl Iterator<Item = Chosen>) -> Option<Chosen> {
    let first = items.next()?;
    items.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory() -> Inventory {
        let node = |index, uuid: &str, slices: &[&str]| Node {
            index,
            uuid: uuid.to_owned(),
            name: "H100".to_owned(),
            mig: !slices.is_empty(),
            slices: slices.iter().map(|&slice| slice.to_owned()).collect(),
        };
        vec![
            node(0, "GPU-aaaa-1", &[]),
            node(1, "GPU-ab00-2", &[]),
            node(2, "GPU-cc00-3", &["MIG-1111", "MIG-2222"]),
        ]
    }

    fn check(list: &str, expected: &[&str], expected_unknown: &[&str]) {
        let (chosen, unknown) = select(list, &inventory());
        let uuids: Vec<&str> = chosen.iter().map(|c| c.node.uuid.as_str()).collect();
        assert_eq!(uuids, expected, "{list}");
        assert_eq!(unknown, expected_unknown, "{list}");
    }

    #[test]
    fn indices_uuids_prefixes_and_slices_name_gpus() {
        check("1,0", &["GPU-ab00-2", "GPU-aaaa-1"], &[]);
        check("GPU-ab, GPU-cc00-3", &["GPU-ab00-2", "GPU-cc00-3"], &[]);
        check("GPU-a", &[], &["GPU-a"]);
        check("MIG-22,MIG-1111", &["GPU-cc00-3"], &[]);
        check("MIG-GPU-aaaa-1/3/0", &["GPU-aaaa-1"], &[]);
        check("0,-1,1", &["GPU-aaaa-1"], &[]);
        check("7,NoDevFiles", &[], &["7", "NoDevFiles"]);
        check("", &[], &[]);
    }

    #[test]
    fn a_named_slice_is_remembered_beside_its_parent() {
        let (chosen, _) = select("MIG-2222", &inventory());
        assert_eq!(chosen[0].slice.as_deref(), Some("MIG-2222"));
    }
}
