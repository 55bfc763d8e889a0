//! The graph of a crate's modules: an edge from a module to each module whose items it uses.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::{Path, PathBuf},
};

use crate::source::Source;

/// The place of a module below the crate's root, which is empty.
type Name = Vec<String>;

/// The modules of one crate.
pub(crate) struct Crate {
    modules: BTreeMap<Name, Source>,
}

/// What a path leads to.
enum Target {
    Module(Name),
    /// An item that this module defines.
    ItemOf(Name),
    /// A name of another crate, or one that is local to an item.
    Elsewhere,
}

/// More steps than any chain of re-exports has. A chain that leads back to itself ends here.
const MAX_STEPS: usize = 32;

impl Crate {
    /// Reads the crate with this root file. `read` returns the text of a file, if it exists.
    pub(crate) fn read(root: &Path, read: impl Fn(&Path) -> Option<String>) -> Self {
        let mut modules = BTreeMap::new();
        let folder = root.parent().unwrap_or(Path::new("")).to_owned();
        let source = Source::parse(&read(root).unwrap_or_else(|| panic!("no file {}", root.display())));
        let mut open = VecDeque::from([(Name::new(), folder, source)]);
        while let Some((name, folder, mut source)) = open.pop_front() {
            for child in &source.children {
                let files: [PathBuf; 2] = [folder.join(format!("{child}.rs")), folder.join(child).join("mod.rs")];
                // A file that another attribute names, or that is generated, is not followed.
                let Some(text) = files.iter().find_map(|file| read(file)) else { continue };
                open.push_back((below(&name, child), folder.join(child), Source::parse(&text)));
            }
            for (child, content) in std::mem::take(&mut source.inline) {
                open.push_back((below(&name, &child), folder.join(&child), content));
            }
            modules.insert(name, source);
        }
        Self { modules }
    }

    /// The number of modules.
    pub(crate) fn len(&self) -> usize {
        self.modules.len()
    }

    /// The cycles of modules that use each other, with the first path for each step: for each module on a cycle the
    /// shortest one, without those of the same modules.
    pub(crate) fn cycles(&self) -> Vec<Vec<String>> {
        let edges = self.edges();
        let mut known = BTreeSet::new();
        let mut cycles: Vec<_> = edges.keys().filter_map(|start| shortest(&edges, start)).collect();
        cycles.retain(|cycle| known.insert(cycle.iter().cloned().collect::<BTreeSet<_>>()));
        let shown = |step: &[Name]| {
            let path = &edges[&step[0]][&step[1]];
            format!("{} uses {} ({path})", shown(&step[0]), shown(&step[1]))
        };
        cycles.iter().map(|cycle| cycle.windows(2).map(shown).collect()).collect()
    }

    /// For each module, the modules that it uses, and by which path.
    fn edges(&self) -> BTreeMap<Name, BTreeMap<Name, String>> {
        let mut edges = BTreeMap::new();
        for (from, source) in &self.modules {
            let mut used = BTreeMap::new();
            for one in &source.uses {
                // A name that is only passed on to others is no use of it.
                let is_passed_on =
                    |to: &Name| one.is_public && to.starts_with(from) && !source.words.contains(&one.name);
                match self.resolve(from, &one.path, MAX_STEPS) {
                    Target::ItemOf(to) if !is_passed_on(&to) => {
                        used.entry(to).or_insert_with(|| one.path.join("::"));
                    }
                    Target::Module(to) if one.name == "*" && !is_passed_on(&to) => {
                        used.entry(to).or_insert_with(|| format!("{}::*", one.path.join("::")));
                    }
                    // What is used of a module is seen where it is used.
                    _ => {}
                }
            }
            for path in &source.paths {
                if let Target::ItemOf(to) = self.resolve(from, path, MAX_STEPS) {
                    used.entry(to).or_insert_with(|| path.join("::"));
                }
            }
            used.remove(from);
            edges.insert(from.clone(), used);
        }
        edges
    }

    /// What a path in a module leads to.
    fn resolve(&self, from: &Name, path: &[String], steps: usize) -> Target {
        let Some((first, mut rest)) = path.split_first() else { return Target::Elsewhere };
        let mut target = match first.as_str() {
            "crate" => Target::Module(Name::new()),
            "self" => Target::Module(from.clone()),
            "super" => parent(from),
            name => self.member(from, name, steps).unwrap_or(Target::Elsewhere),
        };
        while let Target::Module(module) = &target
            && let Some((next, after)) = rest.split_first()
        {
            target = match next.as_str() {
                "super" => parent(module),
                // A name that is not found is made by a macro.
                name => self.member(module, name, steps).unwrap_or_else(|| Target::ItemOf(module.clone())),
            };
            rest = after;
        }
        target
    }

    /// What a name stands for in a module; `None` if it is not found.
    fn member(&self, module: &Name, name: &str, steps: usize) -> Option<Target> {
        let steps = steps.checked_sub(1)?;
        let source = self.modules.get(module)?;
        let child = below(module, name);
        if self.modules.contains_key(&child) {
            return Some(Target::Module(child));
        }
        if source.items.contains(name) {
            return Some(Target::ItemOf(module.clone()));
        }
        // In a file that was not found.
        if source.children.iter().any(|known| known == name) {
            return Some(Target::Elsewhere);
        }
        if let Some(one) = source.uses.iter().find(|one| one.name == name) {
            // Another crate, under its own name.
            let is_crate = one.path.first().is_some_and(|first| first == name);
            return Some(if is_crate { Target::Elsewhere } else { self.resolve(module, &one.path, steps) });
        }
        let globs = source.uses.iter().filter(|one| one.name == "*");
        let mut found = globs.filter_map(|one| match self.resolve(module, &one.path, steps) {
            Target::Module(other) => self.member(&other, name, steps),
            _ => None,
        });
        found.next()
    }
}

/// The shortest way from a module back to it.
fn shortest(edges: &BTreeMap<Name, BTreeMap<Name, String>>, start: &Name) -> Option<Vec<Name>> {
    let mut seen = BTreeSet::new();
    let mut open = VecDeque::from([vec![start.clone()]]);
    while let Some(way) = open.pop_front() {
        for next in edges.get(way.last()?).into_iter().flat_map(BTreeMap::keys) {
            let longer = || way.iter().chain([next]).cloned().collect();
            if next == start {
                return Some(longer());
            }
            if seen.insert(next) {
                open.push_back(longer());
            }
        }
    }
    None
}

fn below(module: &Name, child: &str) -> Name {
    module.iter().map(String::as_str).chain([child]).map(str::to_owned).collect()
}

fn parent(module: &Name) -> Target {
    module.split_last().map_or(Target::Elsewhere, |(_, parent)| Target::Module(parent.to_vec()))
}

fn shown(module: &Name) -> String {
    if module.is_empty() { "the crate's root".to_owned() } else { module.join("::") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crate_of(files: &[(&str, &str)]) -> Crate {
        Crate::read(Path::new("src/lib.rs"), |path| {
            let file = files.iter().find(|(name, _)| Path::new("src").join(name) == path);
            file.map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn modules_that_use_each_other_are_a_cycle() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; pub use a::A;"),
            ("a.rs", "pub struct A; fn f() { crate::b::g() }"),
            ("b/mod.rs", "mod d; pub use self::d::D; pub fn g() {}"),
            ("b/d.rs", "use crate::c::C; pub struct D(C);"),
            // The root passes `A` on: this leads to module `a`.
            ("c.rs", "use crate::A; pub struct C(A);"),
        ];
        assert_eq!(crate_of(&files).len(), 5);
        assert!(crate_of(&files).cycles().is_empty());
        let mut changed = files;
        changed[1].1 = "pub struct A; use crate::b::D;";
        assert_eq!(
            crate_of(&changed).cycles(),
            [["a uses b::d (crate::b::D)", "b::d uses c (crate::c::C)", "c uses a (crate::A)"]]
        );
    }

    #[test]
    fn a_child_may_use_its_parent_unless_the_parent_uses_the_child() {
        let child = ("a/b.rs", "use super::A; pub struct B(A);");
        let passes_on = [("lib.rs", "mod a;"), ("a/mod.rs", "mod b; pub use b::B; pub struct A;"), child];
        assert!(crate_of(&passes_on).cycles().is_empty());
        for parent in [
            "mod b; pub use b::B; pub struct A; fn f() -> B { todo!() }",
            "mod b; use b::B; pub struct A;",
            "mod b; pub struct A; fn f() { b::g() }",
        ] {
            let cycles = crate_of(&[("lib.rs", "mod a;"), ("a/mod.rs", parent), child]).cycles();
            assert!(cycles.len() == 1 && cycles[0].len() == 2, "{parent}: {cycles:?}");
        }
    }

    #[test]
    fn names_that_a_module_imports_lead_to_where_they_are_defined() {
        let files = [
            ("lib.rs", "mod a; mod e;"),
            ("a/mod.rs", "mod b; mod c; use self::c::*; use crate::e; pub struct A; fn f() { e::f() }"),
            ("a/b.rs", "use super::{C, e}; pub struct B(C); fn g() { e::f() }"),
            ("a/c.rs", "pub struct C;"),
            ("e.rs", "pub fn f() {}"),
        ];
        assert!(crate_of(&files).cycles().is_empty());
    }
}
