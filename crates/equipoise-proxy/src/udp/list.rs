//! A list of numbers, from which any one can be removed.

/// A list of different numbers. Each operation takes O(1) time. The memory is that of the largest number.
#[derive(Debug, Default)]
pub(super) struct List {
    /// The neighbours of each number that is in the list.
    links: Vec<Option<Links>>,
    first: Option<usize>,
    last: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Links {
    previous: Option<usize>,
    next: Option<usize>,
}

impl List {
    pub(super) fn first(&self) -> Option<usize> {
        self.first
    }

    /// Moves a number to the end, and adds it if it is not in the list.
    pub(super) fn push(&mut self, number: usize) {
        if self.last == Some(number) {
            return;
        }
        self.remove(number);
        if self.links.len() <= number {
            self.links.resize(number + 1, None);
        }
        let previous = self.last.replace(number);
        self.links[number] = Some(Links { previous, next: None });
        match self.of(previous) {
            Some(links) => links.next = Some(number),
            None => self.first = Some(number),
        }
    }

    /// Removes a number. Does nothing if it is not in the list.
    pub(super) fn remove(&mut self, number: usize) {
        let Some(Links { previous, next }) = self.links.get_mut(number).and_then(Option::take) else { return };
        match self.of(previous) {
            Some(links) => links.next = next,
            None => self.first = next,
        }
        match self.of(next) {
            Some(links) => links.previous = previous,
            None => self.last = previous,
        }
    }

    fn of(&mut self, number: Option<usize>) -> Option<&mut Links> {
        self.links.get_mut(number?)?.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_list_has_the_order_of_its_pushes(changes in prop::collection::vec((0..6_usize, any::<bool>()), 0..60)) {
            let (mut list, mut model) = (List::default(), Vec::new());
            for (number, pushes) in changes {
                model.retain(|other| *other != number);
                match pushes {
                    true => {
                        list.push(number);
                        model.push(number);
                    }
                    false => list.remove(number),
                }
                let follow = |from: Option<usize>, next: fn(&Links) -> Option<usize>| {
                    std::iter::successors(from, |number| list.links[*number].as_ref().and_then(next)).take(9).collect::<Vec<_>>()
                };
                let mut backwards = follow(list.last, |links| links.previous);
                backwards.reverse();
                prop_assert_eq!((&follow(list.first(), |links| links.next), &backwards), (&model, &model));
            }
        }
    }
}
