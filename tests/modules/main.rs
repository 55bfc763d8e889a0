//! The modules of each crate form a directed acyclic graph, so that each can be understood without those above it.
//!
//! A module has an edge to each module with an item that it uses, by a `use` declaration or by a path. If the name is
//! re-exported or imported, the edge goes to the module that defines the item. `mod child;` is not an edge, and neither
//! is `pub use child::Name` in a parent whose own items do not use that name. So a child may use items of its parent,
//! if the parent's own items use none of the child's. Items under `cfg(test)` do not count.
//!
//! The sources are read as text. Names that macros generate are not found, and neither are methods, because no path
//! names them.

mod graph;
mod source;

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::graph::Crate;

/// The root files of all libraries and programs in the workspace, without tests.
fn roots(folder: &Path, roots: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the workspace") {
        let path = entry.expect("an entry of the folder").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "tests" {
                self::roots(&path, roots);
            }
        } else if matches!(name, "lib.rs" | "main.rs") {
            roots.push(path);
        }
    }
}

#[test]
fn modules_form_a_directed_acyclic_graph() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder of the workspace");
    let mut roots = Vec::new();
    self::roots(workspace, &mut roots);
    roots.sort();
    let (mut modules, mut cycles) = (0, Vec::new());
    for root in &roots {
        let read = Crate::read(root, |path| fs::read_to_string(path).ok());
        modules += read.len();
        for cycle in read.cycles() {
            let root = root.strip_prefix(workspace).unwrap_or(root).display();
            cycles.push(format!("{root}:\n  {}", cycle.join("\n  ")));
        }
    }
    // Otherwise the sources were not found.
    assert!(roots.len() > 7 && modules > 200, "{} roots, {modules} modules", roots.len());
    assert!(cycles.is_empty(), "modules use each other:\n{}", cycles.join("\n"));
}
