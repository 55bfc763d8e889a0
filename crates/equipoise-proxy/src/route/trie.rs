use equipoise_tower::RequestHead;

use super::{
    candidates::{Candidates, Keyed},
    hash::TextMap,
    path::{PathPattern, Segment},
};

/// The paths of all routes of one host, as a tree of segments. A lookup visits the nodes of its path, and not the other
/// routes.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    texts: TextMap<usize>,
    parameter: Option<usize>,
    /// The routes whose path ends here.
    whole: Candidates,
    /// The routes whose prefix ends here.
    prefix: Candidates,
}

impl Trie {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()] }
    }

    /// Adds a route. Routes with the same pattern must be added in their order.
    pub(super) fn add(&mut self, pattern: &PathPattern, route: usize, keyed: Option<Keyed<'_>>) {
        let mut at = 0;
        for segment in &pattern.segments {
            let next = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else { return };
            at = match segment {
                Segment::Text(text) => *node.texts.entry(text.clone()).or_insert(next),
                Segment::Parameter => *node.parameter.get_or_insert(next),
            };
            if at == next {
                self.nodes.push(Node::default());
            }
        }
        if let Some(node) = self.nodes.get_mut(at) {
            let routes = if pattern.is_prefix { &mut node.prefix } else { &mut node.whole };
            routes.add(route, keyed);
        }
    }

    /// Returns the first route in the order of specificity that `accept` accepts.
    ///
    /// Each node is reached in one way only, so the time is at most that of visiting all nodes, and usually that of
    /// visiting one node for each segment.
    pub(super) fn find(&self, path: &str, head: RequestHead<'_>, accept: impl Fn(usize) -> bool) -> Option<usize> {
        self.below(0, path.strip_prefix('/'), head, &accept)
    }

    /// `rest` is the path without the segments that led to the node, and `None` at its end.
    fn below(
        &self,
        node: usize,
        rest: Option<&str>,
        head: RequestHead<'_>,
        accept: &impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let node = self.nodes.get(node)?;
        match rest {
            None => {
                if let Some(route) = node.whole.find(head, accept) {
                    return Some(route);
                }
            }
            Some(rest) => {
                let (segment, rest) = match rest.split_once('/') {
                    Some((segment, rest)) => (segment, Some(rest)),
                    None => (rest, None),
                };
                if let Some(&next) = node.texts.get(segment)
                    && let Some(route) = self.below(next, rest, head, accept)
                {
                    return Some(route);
                }
                if let Some(next) = node.parameter
                    && !segment.is_empty()
                    && let Some(route) = self.below(next, rest, head, accept)
                {
                    return Some(route);
                }
            }
        }
        node.prefix.find(head, accept)
    }
}
